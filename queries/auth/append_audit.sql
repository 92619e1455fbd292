-- auth.append_audit: adds what has happened; a few rows that have been kept for long enough are dropped.
--
-- By one transaction at a time: others would wait for the same rows until it is over, and whoever may
-- lock a row to step around it may also rewrite it.
with turn as materialized (
    select pg_try_advisory_xact_lock(hashtext('mayfly_auth.audit')) as is_ours
),
old as materialized (
    select audit_id
    from mayfly_auth.audit
    where
        create_time < $8::timestamptz - interval '400 days'
        and (select is_ours from turn)
    order by create_time
    limit 10
),
dropped as (
    delete from mayfly_auth.audit
    using old
    where audit.audit_id = old.audit_id
)
insert into mayfly_auth.audit (
    event,
    actor,
    person_id,
    subject,
    api_client_id,
    request_id,
    address,
    create_time,
    roles
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
