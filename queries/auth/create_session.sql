-- auth.create_session: keeps a sign-in.
insert into mayfly_auth.session (
    session_id,
    user_id,
    auth_time,
    device_name,
    create_time,
    refresh_time
)
values ($1, $2, $3, $4, $5, $5)
