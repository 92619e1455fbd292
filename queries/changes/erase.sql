-- changes.erase: takes out of some topics what was said beyond that there was a change.
update mayfly.change
set payload = null
where topic = any($1) and payload is not null
