-- auth.lock_session: a person's sign-in that is not over, which nobody else ends until this transaction does.
select
    session_id::text as "id!",
    user_id,
    auth_time,
    device_name,
    create_time,
    refresh_time
from mayfly_auth.session
where
    user_id = $1
    and session_id = $2
    and revoke_time is null
for update
