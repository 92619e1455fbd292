-- RefreshToken finds a sign-in by its second, whether it is over or not.
create index session_sign_in on mayfly_auth.session (user_id, auth_time);

-- What was tried from an address that many share is forgotten bit by bit, also while they go on. A
-- binary of before counts without it.
alter table mayfly_auth.attempt
    add column drain_time timestamptz not null default now();   -- up to when the count has gone down
