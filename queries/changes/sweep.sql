-- changes.sweep: drops some of what has been kept for a day, and remembers up to which place.
--
-- One sweeps at a time, and nobody waits for it. The place only rises: what is dropped last may lie
-- before what was dropped first, as a transaction's age is that of its beginning.
--
-- What has an xid that was not given out yet came with a restore into a younger cluster: such
-- entries go at once, before their xids are another's, and such a place is as good as none.
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
restored as materialized (
    select
        change.xid,
        change.sequence
    from mayfly.change
    where
        exists (select from log)
        and change.xid >= pg_snapshot_xmax(pg_current_snapshot())
    order by change.xid, change.sequence
    limit 500
),
leaving as materialized (
    select
        xid,
        sequence
    from oldest
    where create_time < now() - interval '24 hours'
    union all
    select
        xid,
        sequence
    from restored
),
dropped as (
    delete from mayfly.change
    using leaving
    where
        change.xid = leaving.xid
        and change.sequence = leaving.sequence
    returning change.xid, change.sequence
),
place as (
    select
        xid,
        sequence
    from dropped
    union all
    select
        swept_xid,
        swept_sequence
    from log
    union all
    select
        '0'::xid8,
        0
),
last as (
    select
        xid,
        sequence
    from place
    where xid < pg_snapshot_xmax(pg_current_snapshot())
    order by xid desc, sequence desc
    limit 1
)
update mayfly.change_log
set
    swept_xid = last.xid,
    swept_sequence = last.sequence
from last
where
    exists (select from dropped)
    or exists (
        select from log
        where log.swept_xid >= pg_snapshot_xmax(pg_current_snapshot())
    )
returning (select count(*) from dropped) as "dropped!"
