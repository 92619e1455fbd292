-- Every function asks of which database the revocations are that it reads, so the question must not
-- need a grant that a new function's migration can forget: without it each signed-in call was refused.
-- The function looks into the change log as its owner, and tells nothing of it but the epoch.
alter function mayfly.change_epoch() security definer set search_path = pg_catalog, pg_temp;
