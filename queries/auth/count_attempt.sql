-- auth.count_attempt: counts an attempt before it is made, unless it comes too early; tells which it is.
--
-- One attempt is forgotten in so many seconds, whatever comes in between; what is older than a day
-- counts no longer, and a few such rows of others are dropped on the way.
-- The time is that of whoever asks, whose clock may be slow, or set back since: what was not blocked
-- is not so by another clock, and what is blocked for longer than anything ever is, is not blocked.
-- It was also read before the row was waited for, so twice the longest wait is still one.
with old as materialized (
    select subject
    from mayfly_auth.attempt
    where
        attempt_time < $2::timestamptz - interval '1 day'
        and subject <> $1
    order by attempt_time
    limit 10
    for update skip locked
),
dropped as (
    delete from mayfly_auth.attempt
    using old
    where attempt.subject = old.subject
)
insert into mayfly_auth.attempt as known (subject, count, blocked_until, attempt_time, drain_time)
values ($1, 1, $2, $2, $2)
on conflict (subject) do update
set
    (count, drain_time) = (
        select
            greatest(known.count - drained, 0) + 1,
            case
                when drained < known.count
                    then known.drain_time + drained * $3::float8 * interval '1 second'
                else $2
            end
        from (
            select case
                when known.attempt_time < $2 - interval '1 day' then known.count
                else greatest(floor(extract(epoch from $2 - known.drain_time) / $3::float8), 0)::int
            end as drained
        ) as leak
    ),
    blocked_until = $2,
    attempt_time = $2
where
    known.blocked_until <= greatest($2, known.attempt_time)
    or known.blocked_until > $2 + interval '30 minutes'
returning count
