-- auth.forget_attempts: counts none of the attempts so far.
delete from mayfly_auth.attempt
where subject = $1
