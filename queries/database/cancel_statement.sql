-- database.cancel_statement: ends what a backend is doing for a caller that has gone.
select pg_cancel_backend($1) as "cancelled!"
