-- database.store_answer: keeps the answer beside the effect, in its transaction.
update mayfly.exactly_once
set answer = $4
where caller = $1 and rpc = $2 and key_hash = $3
