-- auth.delete_api_client: deletes an API client.
delete from mayfly_auth.api_client
where api_client_id = $1
