-- user.delete_profile: removes a person's profile, and frees its handle.
delete from mayfly_user.profile
where user_id = $1
