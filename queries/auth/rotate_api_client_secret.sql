-- auth.rotate_api_client_secret: replaces a secret; the one before stays good until a time. Without
-- grace none is kept, as for a new client: by a clock that is behind its time would not be over.
update mayfly_auth.api_client
set
    secret_hash = $2,
    previous_secret_hash = case when $3::timestamptz > $4::timestamptz then secret_hash else $2 end,
    previous_expire_time = $3,
    rotate_time = $4
where api_client_id = $1
returning
    api_client_id::text as "id!",
    display_name,
    scopes,
    secret_hash,
    previous_secret_hash,
    previous_expire_time,
    create_time,
    rotate_time
