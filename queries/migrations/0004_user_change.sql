-- The function appends to the change log, reads it, sweeps it, and erases what it says of a person.
grant select, insert, update, delete on mayfly.change to mayfly_user;
grant select, update on mayfly.change_log to mayfly_user;
