-- auth.touch_sessions: notes that a person's sign-in of a second goes on, and tells whether it was ended.
update mayfly_auth.session
set refresh_time = greatest(refresh_time, $3)
where
    user_id = $1
    and auth_time = $2
returning revoke_time is not null as "is_over!"
