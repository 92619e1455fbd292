-- auth.block_attempts: says from when on the next attempt may be made.
update mayfly_auth.attempt
set blocked_until = $2
where subject = $1
