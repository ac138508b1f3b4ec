-- Every column of every table that has one of the names in $1, and what keeps us from reading it.
WITH ours AS (
    SELECT p.polrelid, p.polpermissive, COALESCE(pg_get_expr(p.polqual, p.polrelid), 'true') AS shows
    FROM pg_policy AS p
    WHERE p.polcmd IN ('r', '*')
      AND EXISTS (SELECT 1 FROM unnest(p.polroles) AS role(oid)
                  WHERE CASE WHEN role.oid = 0 THEN true ELSE pg_has_role(role.oid, 'USAGE') END)
)
SELECT n.nspname::text AS schema_name,
       c.relname::text AS table_name,
       array_position(current_schemas(false), n.nspname)::int4 AS rank,
       has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
       -- Row-level security is harmless where some policy shows us every row and none takes any away.
       row_security_active(c.oid) AND NOT (
           EXISTS (SELECT 1 FROM ours WHERE ours.polrelid = c.oid AND ours.polpermissive AND ours.shows = 'true')
           AND NOT EXISTS (SELECT 1 FROM ours WHERE ours.polrelid = c.oid AND NOT ours.polpermissive)
       ) AS hides_rows,
       row_security_active(c.oid) AS is_guarded,
       pg_is_in_recovery() AS is_standby,
       a.attname::text AS column_name,
       format_type(a.atttypid, NULL)::text AS type_name,
       base.typname::text AS base_type,
       base.typcategory::text AS category,
       has_column_privilege(c.oid, a.attnum, 'SELECT') AS may_select
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type AS t ON t.oid = a.atttypid
-- A domain may stand for a domain.
CROSS JOIN LATERAL (
    WITH RECURSIVE stands_for AS (
        SELECT t.typname, t.typcategory, t.typbasetype
        UNION ALL
        SELECT b.typname, b.typcategory, b.typbasetype
        FROM stands_for JOIN pg_type AS b ON b.oid = stands_for.typbasetype
    )
    SELECT typname, typcategory FROM stands_for WHERE typbasetype = 0
) AS base
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND c.relname = ANY ($1::text[])
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n.nspname, c.relname, a.attnum
