-- auth.lock_person: has whatever begins or ends the sign-ins of a person, or says who they are and
-- whether they may call, wait for whatever else does.
--
-- One that is about to be kept has no row yet that could be locked.
select true as "is_ours!"
from pg_advisory_xact_lock(hashtext('mayfly_auth.session'), hashtext($1))
