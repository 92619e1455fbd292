-- What is known of the revocations is of one database, so whoever reads them asks which it is, as
-- those who watch do: mayfly.change_epoch() looks into the change log.
grant select on mayfly.change_log to mayfly_auth;
