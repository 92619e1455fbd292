-- database.ping: whether anybody is at the other end.
select 1 as "one!"
