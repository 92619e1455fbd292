-- How a person shows themself.
create schema mayfly_user;

create table mayfly_user.profile (
    user_id        text        not null,   -- Firebase uid
    handle         text        not null,   -- as the person spells it
    handle_key     text        collate "C" -- as it is compared and sorted
                               generated always as (lower(handle)) stored,
    display_name   text        not null,
    bio            text        not null,
    locale         text        not null,   -- BCP 47, or empty
    avatar_file_id uuid,
    visibility     smallint    not null,   -- the numbers of mayfly.user.v1.Visibility
    etag           uuid        not null default gen_random_uuid(),
    create_time    timestamptz not null default now(),
    update_time    timestamptz not null default now(),

    constraint profile_user_id_key primary key (user_id),
    constraint profile_handle_key unique (handle_key),
    constraint profile_handle_shape check (handle ~ '^[A-Za-z][A-Za-z0-9_]{2,29}$'),
    constraint profile_display_name_length check (char_length(display_name) between 1 and 80),
    constraint profile_bio_length check (char_length(bio) <= 500),
    constraint profile_locale_length check (char_length(locale) <= 35),
    constraint profile_visibility_known check (visibility in (1, 2))
);

-- ListProfiles reads the public ones in this order.
create index profile_public_handle on mayfly_user.profile (handle_key) where visibility = 2;

-- What the function runs as: its own rows and the shared ones, and no DDL.
do $$
begin
    if not exists (select from pg_roles where rolname = 'mayfly_user') then
        create role mayfly_user nologin;
    end if;
exception
    -- Another database of this cluster was migrated at the same moment.
    when duplicate_object or unique_violation then null;
end
$$;
grant mayfly_user to current_user;
grant usage on schema mayfly, mayfly_user to mayfly_user;
grant select, insert, update, delete on mayfly_user.profile to mayfly_user;
grant select, insert, update, delete on mayfly.exactly_once to mayfly_user;
grant select on mayfly.secret, mayfly.migrations to mayfly_user;
