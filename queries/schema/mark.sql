-- schema.mark: tells whether a session is somebody else's too, and marks one that is not.
--
-- A backend that bears a mark of ours already serves others between our statements, so no lock of it
-- is ours. A mark that is there stays as it is: it is that of whoever it serves.
select
    coalesce(current_setting('mayfly.session', true), '') <> '' as is_shared,
    case
        when coalesce(current_setting('mayfly.session', true), '') = ''
            then set_config('mayfly.session', 'migrating', false)
    end as session
