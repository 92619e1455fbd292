-- auth.list_sessions: one person's sign-ins that are not over, the latest first, after a place in the list.
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
    and revoke_time is null
    and ($2::uuid is null or session_id < $2)
order by session_id desc
limit $3
