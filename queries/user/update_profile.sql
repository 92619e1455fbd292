-- user.update_profile: writes what a person changed, under a new etag.
update mayfly_user.profile
set
    handle = $2,
    display_name = $3,
    bio = $4,
    locale = $5,
    avatar_file_id = $6,
    visibility = $7,
    etag = gen_random_uuid(),
    update_time = now()
where user_id = $1
returning
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
