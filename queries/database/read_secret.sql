-- database.read_secret: a key that all machines of a function agree on.
select value
from mayfly.secret
where name = $1
