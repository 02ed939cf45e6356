-- Only a version with a passing verdict can be published.
create trigger pointers_insert_judged before insert on pointers
when not exists (select 1 from verdicts where version = new.version and status in ('passed', 'warning'))
begin select raise(abort, 'unjudged version'); end;
create trigger pointers_update_judged before update of version on pointers
when not exists (select 1 from verdicts where version = new.version and status in ('passed', 'warning'))
begin select raise(abort, 'unjudged version'); end;
