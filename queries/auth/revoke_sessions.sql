-- auth.revoke_sessions: ends a person's sign-ins from one second to another.
update mayfly_auth.session
set revoke_time = $4
where
    user_id = $1
    and auth_time between $2 and $3
    and revoke_time is null
