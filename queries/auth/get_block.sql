-- auth.get_block: from when on the next attempt may be made.
select blocked_until
from mayfly_auth.attempt
where subject = $1
