-- database.commit: makes everything since begin happen.
commit
