-- database.sweep_answers: drops some answers that have been kept long enough, out of anybody's way.
delete from mayfly.exactly_once
where (caller, rpc, key_hash) in (
    select caller, rpc, key_hash
    from mayfly.exactly_once
    where expire_time <= now()
    order by expire_time
    limit 200
    for update skip locked
)
