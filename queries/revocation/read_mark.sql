-- revocation.read_mark: what marks what was last written of a person, if anything was.
select xid::text::bigint as "mark!"
from mayfly.revocation
where user_id = $1
