-- revocation.revoke_session: ends one of a person's sign-ins.
--
-- A hundred are kept. Where there are more, all sign-ins up to the oldest of them are over: rather
-- one too many than one too few.
insert into mayfly.revocation (user_id, sessions)
values ($1, array[$2::bigint])
on conflict (user_id) do update
set
    valid_from = greatest(revocation.valid_from, 1 + (
        select distinct session
        from unnest(revocation.sessions || excluded.sessions) as session
        order by session desc
        offset 100
        limit 1
    )),
    sessions = array(
        select distinct session
        from unnest(revocation.sessions || excluded.sessions) as session
        where session >= revocation.valid_from
        order by session desc
        limit 100
    ),
    xid = pg_current_xact_id(),
    update_time = now()
