-- revocation.revoke: ends a person's sign-ins before a time. It only ever moves forward.
insert into mayfly.revocation (user_id, valid_from)
values ($1, $2)
on conflict (user_id) do update
set
    valid_from = greatest(revocation.valid_from, excluded.valid_from),
    sessions = array(
        select session
        from unnest(revocation.sessions) as session
        where session >= greatest(revocation.valid_from, excluded.valid_from)
        order by session desc
    ),
    xid = pg_current_xact_id(),
    update_time = now()
