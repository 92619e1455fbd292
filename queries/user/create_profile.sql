-- user.create_profile: makes a person's profile.
insert into mayfly_user.profile (
    user_id,
    handle,
    display_name,
    bio,
    locale,
    avatar_file_id,
    visibility
)
values ($1, $2, $3, $4, $5, $6, $7)
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
