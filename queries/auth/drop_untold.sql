-- auth.drop_untold: Firebase was told.
delete from mayfly_auth.untold
where
    person_id = $1
    and valid_from <= $2
