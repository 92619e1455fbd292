-- auth.list_api_clients: the API clients, the latest first, after a place in the list.
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
where $1::uuid is null or api_client_id < $1
order by api_client_id desc
limit $2
