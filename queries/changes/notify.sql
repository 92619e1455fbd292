-- changes.notify: has every process that listens look at the log. Never sent by a writer: a
-- transaction that notifies holds a lock of the whole cluster while it commits.
select pg_notify('mayfly_change', $1)
