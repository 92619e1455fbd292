-- revocation.begin_change: has a person's tokens of before a time to come refreshed, since what they
-- say of the person is about to change, unless another such change is under way.
insert into mayfly.revocation (user_id, issued_from)
values ($1, $3)
on conflict (user_id) do update
set
    issued_from = $3,
    xid = pg_current_xact_id(),
    update_time = now()
where revocation.issued_from <= $2
