-- database.start_session: what every connection of a function's pool runs under.
--
-- The role has no DDL and sees two schemas. The backend looks after its client while a statement
-- runs, so that the work of a process that was killed ends with it; one whose machine is gone is
-- found out by keepalives within half a minute, and leaves no transaction open until then. A backend
-- that was somebody's before us, and was not reset, is shared behind our back.
select
    pg_backend_pid() as "pid!",
    coalesce(current_setting('mayfly.session', true), '') <> '' as "is_shared!",
    set_config('mayfly.session', 'started', false) as session,
    set_config('role', $1, false) as role,
    set_config('application_name', $1, false) as application_name,
    set_config('statement_timeout', $2, false) as statement_timeout,
    set_config(
        'idle_in_transaction_session_timeout',
        least($2::text::int, 5000)::text,
        false
    ) as idle_timeout,
    set_config('client_connection_check_interval', '250ms', false) as check_interval,
    set_config('tcp_keepalives_idle', '15', false) as keepalives_idle,
    set_config('tcp_keepalives_interval', '5', false) as keepalives_interval,
    set_config('tcp_keepalives_count', '3', false) as keepalives_count,
    set_config('tcp_user_timeout', '30s', false) as user_timeout,
    set_config('timezone', 'UTC', false) as timezone
