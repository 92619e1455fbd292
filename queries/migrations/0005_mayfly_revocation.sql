-- Whose tokens are refused although they are signed and their time is not over.
--
-- A row stays for as long as a refresh token may live, which is without end: a refreshed token
-- keeps the time of its sign-in. So there is at most one row for a person, and a process reads
-- those of the persons who call it. It also stays when a person is erased, as an opaque id with
-- times: without it, the tokens that they still hold would be good again.
create table mayfly.revocation (
    user_id     text        not null,                -- Firebase uid
    valid_from  bigint      not null default 0,      -- sign-ins before this are over; seconds since 1970, as in auth_time
    issued_from bigint      not null default 0,      -- tokens made before this must be refreshed; seconds since 1970, as in iat
    sessions    bigint[]    not null default '{}',   -- sign-ins from valid_from on that are over, by their auth_time
    is_disabled boolean     not null default false,
    xid         xid8        not null default pg_current_xact_id(),   -- who wrote it last, by which readers find it
    update_time timestamptz not null default now(),

    constraint revocation_user_id_key primary key (user_id),
    constraint revocation_user_id_length check (char_length(user_id) between 1 and 128),
    constraint revocation_sessions_count check (cardinality(sessions) <= 100)
);
create index revocation_xid on mayfly.revocation (xid);

-- Every function reads it; none but the one that revokes writes it, and that one's migration says so.
grant select on mayfly.revocation to mayfly_user;
