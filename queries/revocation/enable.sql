-- revocation.enable: has a person's tokens taken again, those that were revoked excepted.
insert into mayfly.revocation (user_id, is_disabled)
values ($1, false)
on conflict (user_id) do update
set
    is_disabled = false,
    xid = pg_current_xact_id(),
    update_time = now()
