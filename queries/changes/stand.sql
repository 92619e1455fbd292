-- changes.stand: where the log stands: what it is, how far it is settled, how much was dropped.
select
    mayfly.change_epoch() as "epoch!",
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint as "horizon!",
    swept_xid::text::bigint as "swept_xid!",
    swept_sequence
from mayfly.change_log
