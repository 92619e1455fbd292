-- changes.tail: which topics have changed after a place, which log it is and how far settled, and
-- whether there is more that waits for an older transaction to end. See changes.read for how far it
-- is settled, and for what came with a restore.
with log as materialized (
    select
        mayfly.change_epoch() as epoch,
        pg_snapshot_xmin(pg_current_snapshot()) as horizon,
        case
            when swept_xid < pg_snapshot_xmin(pg_current_snapshot()) then swept_xid
            else '0'
        end as swept_xid,
        (
            select change.xid
            from mayfly.change
            where change.xid < pg_snapshot_xmax(pg_current_snapshot())
            order by change.xid desc, change.sequence desc
            limit 1
        ) as newest
    from mayfly.change_log
    limit 1
)
select
    log.epoch as "epoch!",
    least(
        log.horizon::text::bigint,
        1 + greatest(log.newest, log.swept_xid)::text::bigint
    ) as "settled!",
    coalesce(log.newest >= log.horizon, false) as "is_unsettled!",
    next.xid::text::bigint as "xid?",
    next.sequence as "sequence?",
    next.topic as "topic?"
from log
left join lateral (
    select
        change.xid,
        change.sequence,
        change.topic
    from mayfly.change
    where
        (change.xid, change.sequence) > ($1::bigint::text::xid8, $2::bigint)
        and change.xid < log.horizon
    order by change.xid, change.sequence
    limit $3
) as next on true
order by next.xid, next.sequence
