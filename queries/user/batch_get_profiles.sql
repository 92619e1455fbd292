-- user.batch_get_profiles: the profiles of some people, of those who have one.
select
    user_id,
    handle,
    handle_key as "handle_key!",
    display_name,
    bio,
    locale,
    avatar_file_id,
    visibility,
    etag,
    create_time,
    update_time
from mayfly_user.profile
where user_id = any($1)
