-- auth.get_surplus_sign_in: up to which second a person has signed in more often than may be open, if so.
select auth_time
from mayfly_auth.session
where
    user_id = $1
    and revoke_time is null
order by auth_time desc
offset $2
limit 1
