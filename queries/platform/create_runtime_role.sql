-- platform.create_runtime_role: makes the login that functions use.
--
-- It owns nothing and inherits nothing; it may only become one of the functions' roles.
do $$
declare
    function_role name;
begin
    if not exists (select from pg_roles where rolname = 'mayfly_runtime') then
        create role mayfly_runtime login noinherit;
    end if;
    for function_role in
        select rolname from pg_roles where rolname ~ '^mayfly_' and not rolcanlogin
    loop
        execute format('grant %I to mayfly_runtime', function_role);
    end loop;
end
$$
