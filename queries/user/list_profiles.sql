-- user.list_profiles: public profiles whose handle begins so, after a place in the list.
--
-- Handles are made of letters, digits and underscores, which all sort before '~'.
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
where
    visibility = 2
    and handle_key >= lower($1::text) collate "C"
    and handle_key < lower($1::text) || '~' collate "C"
    and handle_key > coalesce($2::text, '') collate "C"
order by handle_key
limit $3
