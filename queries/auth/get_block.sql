-- auth.get_block: from when on the next attempt may be made, if it may not be made by now.
select blocked_until
from mayfly_auth.attempt
where
    subject = $1
    and blocked_until > greatest($2, attempt_time)
    and blocked_until <= $2 + interval '30 minutes'
