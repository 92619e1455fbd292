-- revocation.mark: marks what is written of a person, if anything is, so that whoever has marked it
-- before finds out.
update mayfly.revocation
set
    xid = pg_current_xact_id(),
    update_time = now()
where user_id = $1
returning xid::text::bigint as "mark!"
