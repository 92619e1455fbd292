-- schema.set_limits: what a migrating session runs under, once it is known to be nobody else's.
--
-- A migration that waits for a table's lock holds up every reader behind it. One that computes would
-- go on after its process has gone, under the lock that the next try waits for; so would one whose
-- machine is gone, which keepalives find out, or the time for which it is told nothing where
-- something between the two still answers for it. The next try waits for longer than either takes.
select
    set_config('lock_timeout', '1s', false) as lock_timeout,
    set_config('client_connection_check_interval', '1s', false) as check_interval,
    set_config('idle_in_transaction_session_timeout', '5s', false) as idle_timeout,
    set_config('idle_session_timeout', '5s', false) as session_timeout,
    set_config('tcp_keepalives_idle', '15', false) as keepalives_idle,
    set_config('tcp_keepalives_interval', '5', false) as keepalives_interval,
    set_config('tcp_keepalives_count', '3', false) as keepalives_count,
    set_config('tcp_user_timeout', '30s', false) as user_timeout
