-- database.read_answer: what was answered under the key, and to which request.
select
    request_hash,
    answer,
    expire_time <= now() as "is_expired!"
from mayfly.exactly_once
where caller = $1 and rpc = $2 and key_hash = $3
