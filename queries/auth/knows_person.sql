-- auth.knows_person: whether anything here is of a person.
select
    exists (
        select
        from mayfly_auth.session
        where user_id = $1
    )
    or exists (
        select
        from mayfly.revocation
        where user_id = $1
    ) as "is_known!"
