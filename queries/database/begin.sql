-- database.begin: opens a transaction.
begin
