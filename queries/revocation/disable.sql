-- revocation.disable: refuses every token of a person, until they are enabled again.
insert into mayfly.revocation (user_id, is_disabled)
values ($1, true)
on conflict (user_id) do update
set
    is_disabled = true,
    xid = pg_current_xact_id(),
    update_time = now()
