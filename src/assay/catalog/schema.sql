-- The catalog: immutable facts (versions, verdicts, releases), and the pointers, which move.
-- Times are ISO 8601 in UTC; digests are hex; JSON is canonical.
-- In SQLite's dialect; postgres_server.py translates types. What only one database needs is in
-- sqlite.sql or postgres.sql.

create table meta (name text primary key, value text not null);

create table runs (
  id          text primary key,
  state       text not null,              -- running, done, interrupted, crashed
  started_at  text not null,
  environment text not null,
  host        text not null,
  pid         bigint not null,
  asked       text not null default '',   -- the command, in words; '' for a run that builds nothing
  ended_at    text,                       -- when it ended, if it was not killed
  seconds     double precision,           -- how long it took
  results     text not null default '{}', -- JSON: {built, counts: {result: products}, names: {result:
                                          --   the first products}}
  code        text not null default '',   -- digest of the code that it built and judged by; '': not known
  who         text not null default ''    -- the user of the system who ran it; '': not known
);
create index runs_when on runs (environment, started_at);

-- The code that runs built and judged by: files and declarations of a project, as they were read.
create table codes (
  digest   text primary key,              -- of everything that the declarations depended on
  tools    text not null,                 -- JSON: versions of Python, the engines and libraries
  files    text not null,                 -- JSON: path -> digest of its text
  declared text not null                  -- JSON: product or source -> digest of its declaration
);

-- What digests in `codes` stand for.
create table texts (
  digest text primary key,                -- SHA-256
  content text not null
);

-- A path that a run may write: recovery removes the files in it that no version names.
create table intents (
  path text primary key,                  -- relative to the store
  run  text not null
);

-- A product that a living run may build: no other run builds the same key meanwhile.
create table claims (
  product text not null,
  key     text not null,                  -- digest of code and inputs, '' while it is not known
  run     text not null,
  primary key (product, run)
);

create table versions (
  id           text primary key,
  seq          integer not null,          -- order of recording
  product      text not null,
  key          text not null,             -- digest of code and inputs
  code         text not null,
  code_parts   text not null,             -- JSON: name -> digest
  inputs       text not null,             -- JSON: name -> digest
  digest       text not null,             -- of the content
  columns      text not null,             -- JSON: [[name, type], ...]
  rows         bigint not null,
  bytes        bigint not null,
  built_at     text not null,
  seconds      double precision not null,
  peak         bigint not null default 0, -- bytes of memory that the build needed, 0: not known
  rows_in      bigint,                    -- rows before some were set aside
  data_as_of   text,                      -- business time, with or without an offset, as in the data
  run          text not null,
  held         text not null default '{}',-- JSON: part held back -> digest of the part in its place
  parts        text not null default ''   -- ids of its parts, in order: '1-34,40'
);
create unique index versions_seq on versions (seq);
create index versions_key on versions (product, key, seq);
create index versions_code on versions (product, code);
create index versions_run on versions (run, product, id);

-- Rows that versions share: a file, or rows of one.
create table parts (
  id         integer primary key,
  product    text not null,
  key        text not null,               -- '' for the only part of an unpartitioned version
  made_of    text not null,               -- digest of code and inputs; '' in an unpartitioned version
  inputs     text not null,               -- JSON: alias -> digest of the rows that were used
  digest     text not null,               -- of the content
  columns    text not null,               -- JSON: [[name, type], ...]
  rows       bigint not null,
  seconds    double precision not null,
  data_as_of text,
  path       text not null,
  start      bigint not null,             -- its first row in the file
  "of"       bigint,                      -- rows of the file, if it has other parts too
  bytes      bigint not null,             -- of the file
  checksum   text not null,               -- SHA-256 of the file
  modified   bigint not null default 0,   -- when it was written (ns); 0: not known
  aside      bigint,                      -- the part of the rows that were set aside; null: no rule sets any
  rows_in    bigint                       -- rows before some were set aside
);
create unique index parts_place on parts (path, start, key);
create index parts_made on parts (product, made_of);

-- Files that hold no part now: removed when no reader can have them open.
create table replaced (
  path  text primary key,
  since text not null,                    -- when its last part left it
  seen  text not null default ''          -- until when it was published
);

-- Findings of the rules about single rows in a part, and its totals, for all versions that have it.
create table judged_parts (
  part    bigint not null,
  rules   text not null,                  -- digest of those rules
  results text not null,                  -- JSON
  primary key (part, rules)
);

create table verdicts (
  version   text not null,
  contract  text not null,
  against   text not null,                -- digest of the other tables that the rules read
  status    text not null,
  results   text not null,                -- JSON
  judged_at text not null,
  run       text not null,
  restated  text not null default '',     -- why settled rows were allowed to change
  failed_parts text not null default '[]',-- JSON: the parts that failed a rule
  primary key (version, contract, against)
);
create index verdicts_run on verdicts (run, version);
create index verdicts_when on verdicts (status, judged_at);

-- Failing rows of a version that a person examined and allowed to be published, in one environment.
create table restatements (
  environment text not null,
  version     text not null,
  rule        text not null,
  at          text not null,
  product     text not null,
  parts       text not null,              -- JSON: part -> digest of its failing rows
  because     text not null,
  who         text not null,
  approved_by text not null default '',   -- '' for who restated it
  primary key (environment, version, rule, at)
);

-- What people allow to be published although a rule fails, until a day.
create table waivers (
  id          text primary key,
  environment text not null,              -- '' for every one
  product     text not null,
  rule        text not null,
  until       text not null,              -- the last day on which it counts
  because     text not null,
  author      text not null,
  approved_by text not null,              -- '' for the author
  at          text not null,
  tolerates   text not null,              -- JSON: parts, rows (digests by part), most_rows, most_measured,
                                          --   rule (digest of the rule)
  withdrawn   text                        -- when; null: it was not
);
create index waivers_product on waivers (product);

-- Which waivers ever let something through.
create table waivers_used (
  environment text not null,
  waiver      text not null,              -- its id; that of a declared one is in no table
  since       text not null,              -- when it first did
  primary key (environment, waiver)
);

-- How a version that was held back, or restated, differs from what was published: in figures.
create table differences (
  before  text not null,                  -- a version
  after   text not null,                  -- a version
  figures text not null,                  -- JSON: rows, and sums of columns that are not sensitive
  primary key (before, after)
);
create index differences_after on differences (after);

-- Who agreed that a version of a product may be published, in one environment, and with what.
create table approvals (
  id          text primary key,
  environment text not null,
  product     text not null,
  version     text not null,
  content     text not null,              -- digest of its content; '' for a declared one, as are the next two
  logic       text not null,              -- digest of its code, without the clock
  findings    text not null,              -- digest of its contract, and of what its rules found
  approver    text not null,
  author      text not null,              -- the user of the system who recorded it
  because     text not null,
  at          text not null,
  place       text not null,              -- file:line of a declared one; '' for one that was recorded
  withdrawn   text,                       -- when; null: it was not
  release     bigint not null             -- that it let out; 0: none
);
create index approvals_product on approvals (environment, product);

create table releases (
  id          integer primary key,
  environment text not null,
  at          text not null,
  run         text not null,
  why         text not null
);
create index releases_when on releases (environment, at);

create table moves (
  release  bigint not null,
  product  text not null,
  version  text not null,                 -- '' when the product was withdrawn
  previous text not null,                 -- the version it replaced, '' for none
  primary key (release, product)
);
create index moves_product on moves (product, release);

create table pointers (
  environment text not null,
  product     text not null,
  version     text not null,
  release     bigint not null,
  previous    text not null,
  pinned      integer not null default 0,
  first_at    text,                       -- when it was published in the environment that it was
                                          --   copied from; null: it was not copied
  primary key (environment, product)
);

-- The environments that were created, and those of older catalogs. The one of the settings exists
-- always, also without a row.
create table environments (
  name       text primary key,
  parent     text not null,               -- the environment that it was created from, '' for none
  created_at text not null,
  dropped_at text                         -- null: it was not dropped
);

-- What the parent of an environment published when its pointers were copied or promoted last.
create table bases (
  environment text not null,
  product     text not null,
  version     text not null,
  primary key (environment, product)
);

-- The files of the last few content digests of each source, to report which of them changed, and of
-- those that versions were built from. With the last one, an unchanged file is not read again.
create table listings (
  digest text primary key,
  source text not null,
  seen   text not null default '',        -- when it was observed
  used   integer not null default 0,      -- 1: a version was built from it
  files  text not null                    -- JSON: [[path, size, ctime (ns; 0: too recent to trust),
                                          --   SHA-256, part, inode, device,
                                          --   written (ns)], ...]
);

-- Files of sources, by content, that were read as a whole and are as declared, if read like this.
create table inspected (
  digest  text not null,
  reading text not null,                  -- how it was read, and the column of its event times
  event   text,                           -- its last event time, as in the data; null: none
  primary key (digest, reading)
);

-- Since when the promises of a product or source have been watched: earlier ones do not count.
create table windows (
  environment text not null,
  name        text not null,              -- product or source
  freshness   text not null,              -- JSON: the promise, as declared
  since       text not null,
  primary key (environment, name)
);

-- Promises that fell due, and how each came out.
create table promises (
  environment text not null,
  name        text not null,
  due         text not null,              -- when it fell due
  state       text not null,              -- kept, late, missed
  came        text,                       -- when the data came, if it was late
  as_of       text,                       -- how far the data reached when it fell due
  cause       text not null,              -- why it was not kept, '' when it was
  basis       text not null,              -- JSON: the promise, what it had to reach, the days of the
                                          --   calendar that were used and where they are from
  primary key (environment, name, due)
);
create index promises_due on promises (environment, due, name, state);

-- When new content of a source, or of one of its parts, was there.
create table arrivals (
  source text not null,
  part   text not null,                   -- '' for the source as a whole
  at     text not null,
  seen   text not null,                   -- when it was observed
  primary key (source, part, at)
);

-- Columns that files of a source have and that it does not declare, and the first file that has each; of the name '',
-- the first file that was inspected.
create table undeclared_columns (
  source  text not null,
  reading text not null,                  -- digest of how the files were read
  name    text not null,
  part    text not null,
  file    text not null,
  seen    text not null,                  -- when it was first observed
  primary key (source, reading, name)
);

-- What people are told about: one incident for each cause, from when it was noticed until it ended.
create table incidents (
  id          integer primary key,
  environment text not null,
  about       text not null,              -- what the cause is about: a product or source (with ': too often late'), too much work
  opened      text not null,              -- when it was noticed
  closed      text,                       -- when it ended
  ending      text not null,              -- restored, merged or undeclared; '' while it is open
  cause       text not null,              -- JSON: what is wrong, and what waits for it
  told        text not null               -- JSON: everything that people were told about it
);
create unique index incidents_open on incidents (environment, about) where closed is null;

-- Messages about incidents, and whether they were delivered.
create table notices (
  id        integer primary key,
  incident  integer not null,
  route     text not null,                -- name of the route in the settings
  event     text not null,                -- opened, changed, closed
  at        text not null,                -- when it was written
  retry_at  text,                         -- when it is tried next; null once it is delivered or given up
  sent      text,                         -- when it was delivered
  tries     integer not null,
  error     text not null,                -- why the last try failed, '' for none
  message   text not null                 -- JSON: subject, text and recipients
);
create index notices_waiting on notices (retry_at) where retry_at is not null;
