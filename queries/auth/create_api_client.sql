-- auth.create_api_client: a new API client.
insert into mayfly_auth.api_client (
    api_client_id,
    display_name,
    scopes,
    secret_hash,
    previous_secret_hash,
    previous_expire_time,
    creator,
    create_time,
    rotate_time
)
values ($1, $2, $3, $4, $4, $6, $5, $6, $6)
