-- changes.append: says that something has changed, in the transaction that changes it.
insert into mayfly.change (topic, key, payload)
values ($1, $2, $3)
