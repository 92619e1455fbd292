-- schema.unmark: takes our mark from a backend that serves others as well, and nobody else's.
select case
    when current_setting('mayfly.session', true) = 'migrating'
        then set_config('mayfly.session', '', false)
end as session
