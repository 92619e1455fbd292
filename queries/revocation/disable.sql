-- revocation.disable: refuses every token of a person, until they are enabled again; what marks that.
insert into mayfly.revocation (user_id, is_disabled)
values ($1, true)
on conflict (user_id) do update
set
    is_disabled = true,
    xid = pg_current_xact_id(),
    update_time = now()
returning xid::text::bigint as "mark!"
