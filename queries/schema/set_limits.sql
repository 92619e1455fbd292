-- schema.set_limits: what a migrating session runs under, once it is known to be nobody else's.
--
-- A migration that waits for a table's lock holds up every reader behind it. One that computes would
-- go on after its process has gone, under the lock that the next try waits for.
select
    set_config('lock_timeout', '1s', false) as lock_timeout,
    set_config('client_connection_check_interval', '1s', false) as check_interval
