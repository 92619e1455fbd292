-- What Firebase has to be told and was not: the sign-ins of a person that were ended here.
create table mayfly_auth.untold (
    person_id  text        not null,   -- Firebase uid; the row is the operator's
    valid_from bigint      not null,   -- sign-ins from before this are over; seconds since 1970
    try_time   timestamptz not null,   -- when it was last tried

    constraint untold_person_id_key primary key (person_id),
    constraint untold_person_id_length check (char_length(person_id) between 1 and 128)
);
create index untold_try_time on mayfly_auth.untold (try_time);
grant select, insert, update, delete on mayfly_auth.untold to mayfly_auth;
