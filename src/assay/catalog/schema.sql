-- The catalog: immutable facts (versions, verdicts, releases) and one mutable thing, the pointers.
-- Times are ISO 8601 in UTC; digests are hex; JSON is canonical. Schema version 2.

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
  run          text not null
);
create unique index versions_seq on versions (seq);
create index versions_key on versions (product, key, seq);
create index versions_code on versions (product, code);

create table parts (
  version  text not null,
  key      text not null,                 -- '' for the only part of an unpartitioned version
  path     text not null unique,
  rows     bigint not null,
  bytes    bigint not null,
  checksum text not null,                 -- SHA-256 of the file
  primary key (version, key)
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
  primary key (version, contract, against)
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
  version  text not null,
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

-- What readers see must have been judged good: nothing but a passing verdict lets a version out.
create trigger pointers_insert_judged before insert on pointers
when not exists (select 1 from verdicts where version = new.version and status in ('passed', 'warning'))
begin select raise(abort, 'unjudged version'); end;
create trigger pointers_update_judged before update of version on pointers
when not exists (select 1 from verdicts where version = new.version and status in ('passed', 'warning'))
begin select raise(abort, 'unjudged version'); end;

-- The files behind the content digest of a source, once per digest.
create table listings (
  digest text primary key,
  files  text not null                    -- JSON: path -> SHA-256
);

-- Digests of files already read, so that an unchanged file is only looked at.
create table seen (
  path     text primary key,              -- relative to the project
  size     bigint not null,
  mtime_ns bigint not null,
  digest   text not null
);
