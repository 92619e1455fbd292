-- auth.get_api_client: an API client, if there is one.
select
    api_client_id::text as "id!",
    display_name,
    scopes,
    secret_hash,
    previous_secret_hash,
    previous_expire_time,
    create_time,
    rotate_time
from mayfly_auth.api_client
where api_client_id = $1
