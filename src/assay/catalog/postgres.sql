-- Only a version with a passing verdict can be published.
create function judged() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from verdicts where version = new.version and status in ('passed', 'warning')) then
    raise exception 'unjudged version';
  end if;
  return new;
end $$;
create trigger pointers_insert_judged before insert on pointers for each row execute function judged();
create trigger pointers_update_judged before update of version on pointers for each row execute function judged();

-- The order in which rows were inserted; SQLite has it by itself.
alter table verdicts add column rowid bigint generated always as identity;
alter table listings add column rowid bigint generated always as identity;

-- The last write of each process: if its commit was not answered, a row here shows that it was done.
create table writes (
  writer text primary key,
  number bigint not null,
  at     timestamptz not null default now()
);
