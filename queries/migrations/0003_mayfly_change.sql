-- What has changed, for those who watch: a row is appended in the transaction of the change.
--
-- Transactions commit in another order than they begin, so a reader sees what is below the oldest
-- one that runs, and no further: there, nothing can appear any more. A place in the log is the
-- pair (xid, sequence).
create table mayfly.change (
    xid         xid8        not null default pg_current_xact_id(),
    sequence    bigint      not null generated always as identity,
    topic       text        collate "C" not null,   -- what is watched, "user.profile/<user id>"
    key         text        not null,               -- what in it has changed
    payload     bytea,                              -- what a reader needs besides, or nothing
    create_time timestamptz not null default now(),

    constraint change_place_key primary key (xid, sequence),
    constraint change_topic_length check (char_length(topic) between 1 and 256),
    constraint change_key_length check (char_length(key) between 1 and 256),
    constraint change_payload_length check (octet_length(payload) <= 1024)
);
create index change_topic on mayfly.change (topic, xid, sequence);

-- The one row of what is known of the log as a whole.
create table mayfly.change_log (
    is_only        boolean not null default true,
    id             uuid    not null default gen_random_uuid(),
    swept_xid      xid8    not null default '0',   -- the last place that was dropped for its age
    swept_sequence bigint  not null default 0,

    constraint change_log_is_only_key primary key (is_only),
    constraint change_log_is_only check (is_only)
);
insert into mayfly.change_log default values;

-- The log's epoch: places of different epochs cannot be compared. It is another one after the log
-- was made anew, was restored into another cluster or database, or lost its end in a failover.
create function mayfly.change_epoch() returns uuid
language sql stable parallel safe
return (
    select md5(concat_ws(
        '/',
        log.id,
        control.system_identifier,
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
        (select oid from pg_database where datname = current_database())
    ))::uuid
    from mayfly.change_log as log
    cross join pg_control_system() as control
);

-- Signs the cursors of those who watch.
insert into mayfly.secret (name, value)
values ('cursor', uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
