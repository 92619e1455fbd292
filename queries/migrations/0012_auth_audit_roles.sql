-- Who was given which roles, for whoever looks into it later. A binary of before tells none.
alter table mayfly_auth.audit
    add column roles text[];   -- those that a person was to have, where it is about that
