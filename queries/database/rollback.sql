-- database.rollback: makes nothing since begin happen.
rollback
