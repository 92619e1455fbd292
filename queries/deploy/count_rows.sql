-- deploy.count_rows: how many rows each of our tables has, and a digest of them, as JSON.
select coalesce(json_object_agg(name, content order by name), '{}')::text
from (
    select
        format('%I.%I', schemaname, tablename) as name,
        query_to_xml(
            format(
                'select count(*), md5(string_agg(t::text, '','' order by t::text collate "C")) as digest'
                ' from %I.%I as t',
                schemaname,
                tablename
            ),
            true,
            false,
            ''
        )::text as content
    from pg_tables
    where schemaname = 'mayfly' or schemaname like 'mayfly\_%'
) as ours
