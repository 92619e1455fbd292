-- database.claim_key: makes this transaction the one that answers for the key, unless one did.
--
-- It waits for a transaction that holds the key, and then finds its row, or finds it rolled back.
insert into mayfly.exactly_once (caller, rpc, key_hash, request_hash, expire_time)
values ($1, $2, $3, $4, now() + interval '24 hours')
on conflict do nothing
