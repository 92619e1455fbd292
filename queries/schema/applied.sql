-- schema.applied: the migrations that are in this database.
select version
from mayfly.migrations
where success
