-- revocation.end_change: has a person's tokens of before another time refreshed than was said when a
-- change began, unless that was said of another change since.
update mayfly.revocation
set
    issued_from = $3,
    xid = pg_current_xact_id(),
    update_time = now()
where
    user_id = $1
    and issued_from = $2
