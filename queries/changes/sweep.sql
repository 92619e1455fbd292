-- changes.sweep: drops some of what has been kept for a day, and remembers up to which place.
--
-- One sweeps at a time, and nobody waits for it. The place only rises: what is dropped last may lie
-- before what was dropped first, as a transaction's age is that of its beginning.
with log as (
    select
        swept_xid,
        swept_sequence
    from mayfly.change_log
    for update skip locked
),
oldest as materialized (
    select
        change.xid,
        change.sequence,
        change.create_time
    from mayfly.change
    where
        exists (select from log)
        and change.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by change.xid, change.sequence
    limit 500
),
dropped as (
    delete from mayfly.change
    using oldest
    where
        change.xid = oldest.xid
        and change.sequence = oldest.sequence
        and oldest.create_time < now() - interval '24 hours'
    returning change.xid, change.sequence
),
last as (
    select
        xid,
        sequence
    from dropped
    union all
    select
        swept_xid,
        swept_sequence
    from log
    order by xid desc, sequence desc
    limit 1
)
update mayfly.change_log
set
    swept_xid = last.xid,
    swept_sequence = last.sequence
from last
where exists (select from dropped)
returning (select count(*) from dropped) as "dropped!"
