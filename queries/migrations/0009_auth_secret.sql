-- A key whose name begins with a function's is that function's alone: whoever gets into another cannot
-- sign as this one, or find out who tried. The others are everybody's; the owner sees them all.
alter table mayfly.secret enable row level security;
create policy secret_of_function on mayfly.secret for select using (
    strpos(name, '_') = 0
    or current_user = 'mayfly_' || split_part(name, '_', 1)
);
