-- schema.set_limits: a migration that waits for a table's lock holds up every reader behind it.
select set_config('lock_timeout', '1s', false)
