-- schema.set_limits: what a migrating session runs under, and whether it is somebody else's too.
--
-- A migration that waits for a table's lock holds up every reader behind it. One that computes would
-- go on after its process has gone, under the lock that the next try waits for. A backend that bears
-- a mark of ours already serves others between our statements, so no lock of it is ours.
select
    coalesce(current_setting('mayfly.session', true), '') <> '' as is_shared,
    set_config('mayfly.session', 'migrating', false) as session,
    set_config('lock_timeout', '1s', false) as lock_timeout,
    set_config('client_connection_check_interval', '1s', false) as check_interval
