-- changes.read: where the log stands, and the next changes of some topics after a place.
--
-- It comes in one statement, so that both are of one moment. Each topic is read along its index for
-- no more than can be told: the cost does not grow with how far behind the reader is.
--
-- The log is settled behind its newest entry, and not up to the horizon: a transaction that only
-- notifies commits without a word to the disk, and after a crash its xid is given to another. What
-- has an xid that was not given out yet came with a restore into a younger cluster: an entry is not
-- ours then, and a sweep has not been.
with log as materialized (
    select
        mayfly.change_epoch() as epoch,
        pg_snapshot_xmin(pg_current_snapshot()) as horizon,
        case
            when swept_xid < pg_snapshot_xmin(pg_current_snapshot()) then swept_xid
            else '0'
        end as swept_xid,
        swept_sequence,
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
    log.horizon::text::bigint as "horizon!",
    least(
        log.horizon::text::bigint,
        1 + greatest(log.newest, log.swept_xid)::text::bigint
    ) as "settled!",
    log.swept_xid::text::bigint as "swept_xid!",
    log.swept_sequence as "swept_sequence!",
    next.xid::text::bigint as "xid?",
    next.sequence as "sequence?",
    next.key as "key?",
    next.payload as "payload?"
from log
left join lateral (
    select of_topic.*
    from unnest($1::text[]) as watched (topic)
    cross join lateral (
        select
            change.xid,
            change.sequence,
            change.key,
            change.payload
        from mayfly.change
        where
            change.topic = watched.topic
            and (change.xid, change.sequence) > ($2::bigint::text::xid8, $3::bigint)
            and change.xid < log.horizon
        order by change.xid, change.sequence
        limit $4
    ) as of_topic
    order by of_topic.xid, of_topic.sequence
    limit $4
) as next on true
order by next.xid, next.sequence
