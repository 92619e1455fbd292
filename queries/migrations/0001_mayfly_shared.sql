-- What every function shares. Each function's role sees this schema and its own, and no other.
create schema if not exists mayfly;

-- The answers of exactly-once calls, kept so that a repeated call gets the same one.
-- A row is written in the transaction of the effect it stands for: both are there, or neither.
create table mayfly.exactly_once (
    caller       text        not null,   -- "person:<uid>" or "service:<name>"
    rpc          text        not null,   -- "/mayfly.user.v1.UserService/CreateProfile"
    key_hash     bytea       not null,   -- SHA-256 of the idempotency key
    request_hash bytea       not null,   -- SHA-256 of the decoded message
    answer       bytea,                  -- sealed under the idempotency key; null while the effect is under way
    expire_time  timestamptz not null,

    constraint exactly_once_key primary key (caller, rpc, key_hash)
);
create index exactly_once_expire_time on mayfly.exactly_once (expire_time);

-- Keys that all machines of a function must agree on and nobody else may know.
create table mayfly.secret (
    name  text  not null,
    value bytea not null,

    constraint secret_name_key primary key (name)
);

-- Signs page tokens. Two random UUIDs hold 244 bits of the server's strong randomness.
insert into mayfly.secret (name, value)
values ('page', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
