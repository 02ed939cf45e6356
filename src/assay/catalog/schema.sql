-- The catalog: immutable facts (versions, verdicts, releases) and one mutable thing, the pointers.
-- Times are ISO 8601 in UTC; digests are hex; JSON is canonical. Schema version 7.
-- As SQLite reads it; postgres.py says how PostgreSQL does. What only one of them has is in sqlite.sql and postgres.sql.

create table meta (name text primary key, value text not null);

create table runs (
  id          text primary key,
  state       text not null,              -- running, done, interrupted, crashed
  started_at  text not null,
  environment text not null,
  host        text not null,
  pid         bigint not null
);

-- A path that a run may write: what recovery removes when no version names it.
create table intents (
  path text primary key,                  -- relative to the store
  run  text not null
);

-- What a living run may build: nobody else builds the same meanwhile.
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
  rows_in      bigint,                    -- rows before some were set aside
  data_as_of   text,                      -- business time, with or without an offset, as the data has it
  run          text not null,
  held         text not null default '{}',-- JSON: part held back -> digest of the one that stands in for it
  parts        text not null default ''   -- ids of its parts, in order: '1-34,40'
);
create unique index versions_seq on versions (seq);
create index versions_key on versions (product, key, seq);
create index versions_code on versions (product, code);

-- Rows that versions share: a file, or rows of one.
create table parts (
  id         integer primary key,
  product    text not null,
  key        text not null,               -- '' for the only part of an unpartitioned version
  made_of    text not null,               -- digest of code and inputs; '' for a part that is no fact of its own
  inputs     text not null,               -- JSON: alias -> digest of what was used of it
  digest     text not null,               -- of the content
  columns    text not null,               -- JSON: [[name, type], ...]
  rows       bigint not null,
  seconds    double precision not null,
  data_as_of text,
  path       text not null,
  start      bigint not null,             -- its first row in the file
  "of"       bigint,                      -- rows of the file, where it holds other parts as well
  bytes      bigint not null,             -- of the file
  checksum   text not null,               -- SHA-256 of the file
  modified   bigint not null default 0    -- when it was written (ns); 0: not known
);
create unique index parts_place on parts (path, start, key);
create index parts_made on parts (product, made_of);

-- Files in which no part is any more: kept until nobody can be reading them.
create table replaced (
  path  text primary key,
  since text not null,                    -- when the catalog let go of it
  seen  text not null default ''          -- until when readers were sent to it
);

-- How the rules about single rows came out on a part, and what its totals are, once for all versions that have it.
create table judged_parts (
  part    bigint not null,
  rules   text not null,                  -- digest of those rules
  results text not null,                  -- JSON
  primary key (part, rules)
);

create table verdicts (
  version   text not null,
  contract  text not null,
  against   text not null,                -- digest of what the rules read besides the version
  status    text not null,
  results   text not null,                -- JSON
  judged_at text not null,
  run       text not null,
  restated  text not null default '',     -- why settled rows were allowed to change
  failed_parts text not null default '[]',-- JSON: the parts that failed a rule
  primary key (version, contract, against)
);

-- Failing rows that somebody looked at and lets go out, of one version in one environment.
create table waivers (
  environment text not null,
  version     text not null,
  rule        text not null,
  at          text not null,
  product     text not null,
  parts       text not null,              -- JSON: part -> digest of its failing rows
  because     text not null,
  who         text not null,
  primary key (environment, version, rule, at)
);

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
  version  text not null,                 -- '' when the product was taken away from readers
  previous text not null,                 -- what it replaced, '' when nothing was published before
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
  primary key (environment, product)
);

-- The files behind the last few content digests of each source, to say which of them changed; those of the last, so that
-- an unchanged file is only looked at.
create table listings (
  digest text primary key,
  source text not null,
  files  text not null                    -- JSON: [[path, size, ctime (ns; 0: its time does not tell), SHA-256, part, inode, device], ...]
);

-- Files of sources, by content, that were read whole and are what is declared, of sources that are read like this.
create table inspected (
  digest  text not null,
  reading text not null,
  primary key (digest, reading)
);
