-- deploy.seed: people, so that a restore has something to bring back.
insert into mayfly_user.profile (user_id, handle, display_name, bio, locale, visibility)
select
    'person-' || number,
    'person_' || number,
    'Person ' || number,
    repeat('x', number % 500),
    'en',
    1 + number % 2
from generate_series(1, 2000) as number
