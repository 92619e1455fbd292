-- database.start_session: what every connection of a function's pool runs under.
--
-- The role has no DDL and sees two schemas. The backend looks after its client while a statement
-- runs, so that the work of a process that was killed ends with it.
select
    pg_backend_pid() as "pid!",
    set_config('role', $1, false) as role,
    set_config('application_name', $1, false) as application_name,
    set_config('statement_timeout', $2, false) as statement_timeout,
    set_config('idle_in_transaction_session_timeout', $2, false) as idle_timeout,
    set_config('client_connection_check_interval', '250ms', false) as check_interval,
    set_config('timezone', 'UTC', false) as timezone
