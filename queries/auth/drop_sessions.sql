-- auth.drop_sessions: drops a person's sign-ins that are over, as the revocations say they are.
delete from mayfly_auth.session
where
    user_id = $1
    and revoke_time is not null
