-- database.erase_answers: takes out what was answered to a caller by a service, and what was asked.
--
-- The keys stay until they expire: a call that is repeated late does not happen once more. The
-- claim of the call that erases has no answer yet, and is left as it is.
update mayfly.exactly_once
set
    answer = null,
    request_hash = ''
where
    caller = $1
    and starts_with(rpc, $2)
    and answer is not null
