-- platform.has_database: whether the local cluster has a database of that name.
select exists (select from pg_database where datname = $1)
