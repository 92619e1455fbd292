-- revocation.read: which database it is, how far the writers are settled, what has changed from a
-- place on, and how some people stand.
--
-- A writer that was running when the last reader looked has at least that reader's horizon for its
-- xid, so nothing is missed, and little is read twice. Behind the newest change nothing is settled:
-- after a crash the xids of transactions that wrote nothing are given to others. A row with an xid
-- that was not given out yet came with a restore into a younger cluster, and is no change.
with log as materialized (
    select
        mayfly.change_epoch() as epoch,
        pg_snapshot_xmin(pg_current_snapshot()) as horizon,
        (
            select newest.xid
            from mayfly.revocation as newest
            where newest.xid < pg_snapshot_xmax(pg_current_snapshot())
            order by newest.xid desc
            limit 1
        ) as newest
)
select
    log.epoch as "epoch!",
    least(
        log.horizon::text::bigint,
        1 + coalesce(log.newest, '0')::text::bigint
    ) as "horizon!",
    found.is_change as "is_change?",
    found.user_id as "user_id?",
    found.valid_from as "valid_from?",
    found.issued_from as "issued_from?",
    found.sessions as "sessions?",
    found.is_disabled as "is_disabled?"
from log
left join lateral (
    (
        select
            true as is_change,
            changed.user_id,
            changed.valid_from,
            changed.issued_from,
            changed.sessions,
            changed.is_disabled
        from mayfly.revocation as changed
        where
            changed.xid >= $1::bigint::text::xid8
            and changed.xid < pg_snapshot_xmax(pg_current_snapshot())
        order by changed.xid
        limit $2
    )
    union all
    select
        false as is_change,
        asked.user_id,
        asked.valid_from,
        asked.issued_from,
        asked.sessions,
        asked.is_disabled
    from mayfly.revocation as asked
    where asked.user_id = any($3)
) as found on true
