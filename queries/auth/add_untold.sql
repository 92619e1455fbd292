-- auth.add_untold: keeps in mind that Firebase has to be told of a person's sign-ins.
insert into mayfly_auth.untold as known (person_id, valid_from, try_time)
values ($1, $2, $3)
on conflict (person_id) do update
set
    valid_from = greatest(known.valid_from, $2),
    try_time = $3
