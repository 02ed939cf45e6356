-- What readers see must have been judged good: nothing but a passing verdict lets a version out.
create function judged() returns trigger language plpgsql as $$
begin
  if not exists (select 1 from verdicts where version = new.version and status in ('passed', 'warning')) then
    raise exception 'unjudged version';
  end if;
  return new;
end $$;
create trigger pointers_insert_judged before insert on pointers for each row execute function judged();
create trigger pointers_update_judged before update of version on pointers for each row execute function judged();

-- The order in which rows came, which SQLite has of itself.
alter table verdicts add column rowid bigint generated always as identity;
alter table listings add column rowid bigint generated always as identity;

-- The last write of each process, so that one whose commit was never answered is not done twice.
create table writes (
  writer text primary key,
  number bigint not null,
  at     timestamptz not null default now()
);
