-- changes.is_there: whether anybody is at the other end of a listener.
select 1
