-- auth.take_untold: what Firebase has not been told for a minute, for one caller to try.
update mayfly_auth.untold
set try_time = $1
where
    person_id = (
        select person_id
        from mayfly_auth.untold
        where try_time <= $1::timestamptz - interval '1 minute'
        order by try_time
        limit 1
        for update skip locked
    )
returning person_id, valid_from
