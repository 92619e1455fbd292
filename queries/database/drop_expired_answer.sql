-- database.drop_expired_answer: frees a key whose answer has been kept long enough.
delete from mayfly.exactly_once
where caller = $1 and rpc = $2 and key_hash = $3 and expire_time <= now()
