-- schema.set_limits: what a migrating session runs under.
--
-- A migration that waits for a table's lock holds up every reader behind it. One that computes would
-- go on after its process has gone, under the lock that the next try waits for.
select
    set_config('lock_timeout', '1s', false),
    set_config('client_connection_check_interval', '1s', false)
