-- auth.uncount_attempt: takes one attempt back, which was none, and what it has blocked.
update mayfly_auth.attempt
set
    count = greatest(count - 1, 0),
    blocked_until = least($2, attempt_time)
where subject = $1
