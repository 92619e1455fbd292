-- revocation.enable: has a person's tokens taken again, those that were revoked excepted, unless
-- something was written of them since a mark.
update mayfly.revocation
set
    is_disabled = false,
    xid = pg_current_xact_id(),
    update_time = now()
where
    user_id = $1
    and xid = $2::bigint::text::xid8
