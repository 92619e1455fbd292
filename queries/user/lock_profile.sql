-- user.lock_profile: one person's profile, which nobody else changes until this transaction ends.
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
where user_id = $1
for update
