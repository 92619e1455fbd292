-- changes.start_listening: what the session of a listener runs under.
--
-- One whose machine is gone is found out by keepalives, and is not told of changes for hours.
select
    set_config('statement_timeout', '5s', false),
    set_config('idle_in_transaction_session_timeout', '5s', false),
    set_config('tcp_keepalives_idle', '15', false),
    set_config('tcp_keepalives_interval', '5', false),
    set_config('tcp_keepalives_count', '3', false),
    set_config('tcp_user_timeout', '30s', false)
