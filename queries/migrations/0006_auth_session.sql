-- Who signed in where, who tried too often, which machines come with a secret, and what happened.
create schema mayfly_auth;

-- A sign-in that was made through the function.
create table mayfly_auth.session (
    session_id   uuid        not null,   -- in the order of time
    user_id      text        not null,   -- Firebase uid
    auth_time    bigint      not null,   -- names the sign-in in its tokens; seconds since 1970
    device_name  text        not null,   -- as the person names it, or empty
    create_time  timestamptz not null,
    refresh_time timestamptz not null,   -- when it was last refreshed through the function
    revoke_time  timestamptz,            -- when it was ended

    constraint session_session_id_key primary key (session_id),
    constraint session_user_id_length check (char_length(user_id) between 1 and 128),
    constraint session_device_name_length check (char_length(device_name) <= 100)
);
create index session_user_id on mayfly_auth.session (user_id, session_id) where revoke_time is null;

-- How often somebody has tried what must not be tried without end, and from when on they may again.
create table mayfly_auth.attempt (
    subject       bytea       not null,   -- a keyed hash: of what is tried, and of an account or an address
    count         integer     not null,
    blocked_until timestamptz not null,
    attempt_time  timestamptz not null,   -- when it was last tried

    constraint attempt_subject_key primary key (subject)
);
create index attempt_attempt_time on mayfly_auth.attempt (attempt_time);

-- A machine that comes with an id and a secret. Its secret is 256 bits of chance, so a plain hash keeps
-- it: there is nothing to guess from a list of words, and nothing for a slow hash to slow down.
create table mayfly_auth.api_client (
    api_client_id        uuid        not null,   -- in the order of time
    display_name         text        not null,
    scopes               text[]      not null,
    secret_hash          bytea       not null,   -- SHA-256
    previous_secret_hash bytea       not null,   -- the one before, or again the same
    previous_expire_time timestamptz not null,   -- until when it is good as well
    creator              text        not null,   -- "person:<uid>"
    create_time          timestamptz not null,
    rotate_time          timestamptz not null,

    constraint api_client_api_client_id_key primary key (api_client_id),
    constraint api_client_display_name_length check (char_length(display_name) between 1 and 80),
    constraint api_client_scopes_count check (cardinality(scopes) <= 20)
);

-- What has happened, for whoever looks into it later. It holds no secret, and is dropped after 400 days.
create table mayfly_auth.audit (
    audit_id      uuid        not null default gen_random_uuid(),
    event         text        not null,
    actor         text        not null,   -- "person:<uid>", "nobody"
    person_id     text,                   -- whom it concerns, if that is known; the row is the operator's
    subject       bytea,                  -- the keyed hash of the address they came with, if that is all there is
    api_client_id uuid,                   -- which API client it concerns
    request_id    uuid        not null,
    address       text,                   -- where the call came from
    create_time   timestamptz not null,

    constraint audit_audit_id_key primary key (audit_id)
);
create index audit_create_time on mayfly_auth.audit (create_time);
create index audit_person_id on mayfly_auth.audit (person_id, create_time);

-- Hash who tried, and sign the access tokens of API clients.
insert into mayfly.secret (name, value)
values
    ('auth_subject', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
    ('auth_access', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

-- What the function runs as: its own rows and the shared ones, and no DDL. What happened it only adds
-- to, and drops; nobody rewrites it.
do $$
begin
    if not exists (select from pg_roles where rolname = 'mayfly_auth') then
        create role mayfly_auth nologin;
    end if;
exception
    -- Another database of this cluster was migrated at the same moment.
    when duplicate_object or unique_violation then null;
end
$$;
grant mayfly_auth to current_user;
grant usage on schema mayfly, mayfly_auth to mayfly_auth;
grant select, insert, update, delete on
    mayfly_auth.session,
    mayfly_auth.attempt,
    mayfly_auth.api_client
to mayfly_auth;
grant select, insert, delete on mayfly_auth.audit to mayfly_auth;
grant select, insert, update, delete on mayfly.exactly_once to mayfly_auth;
grant select, insert, update on mayfly.revocation to mayfly_auth;
grant select on mayfly.secret, mayfly.migrations to mayfly_auth;
