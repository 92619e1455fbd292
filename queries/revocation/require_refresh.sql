-- revocation.require_refresh: has a person's tokens of before a time refreshed, since what they say
-- of the person holds no longer.
insert into mayfly.revocation (user_id, issued_from)
values ($1, $2)
on conflict (user_id) do update
set
    issued_from = greatest(revocation.issued_from, excluded.issued_from),
    xid = pg_current_xact_id(),
    update_time = now()
