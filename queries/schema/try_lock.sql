-- schema.try_lock: takes the lock that one migrating session holds, if nobody else has it.
select pg_try_advisory_lock(hashtext('mayfly.migrations'))
