-- Every column of every table that has one of the names in $1, and what keeps us from reading it.
-- Every name carries its schema: nothing on the search path can stand in for it.
WITH ours AS (
    SELECT p.polrelid, p.polpermissive,
           COALESCE(pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'true') AS shows
    FROM pg_catalog.pg_policy AS p
    WHERE (p.polcmd OPERATOR(pg_catalog.=) 'r'::pg_catalog."char"
           OR p.polcmd OPERATOR(pg_catalog.=) '*'::pg_catalog."char")
      AND EXISTS (SELECT 1 FROM pg_catalog.unnest(p.polroles) AS role(oid)
                  WHERE CASE WHEN role.oid OPERATOR(pg_catalog.=) 0::pg_catalog.oid THEN true
                             ELSE pg_catalog.pg_has_role(role.oid, 'USAGE') END)
)
SELECT n.nspname::pg_catalog.text AS schema_name,
       c.relname::pg_catalog.text AS table_name,
       pg_catalog.pg_get_userbyid(c.relowner)::pg_catalog.text AS owner,
       CURRENT_USER::pg_catalog.text AS role,
       pg_catalog.array_position(pg_catalog.current_schemas(false), n.nspname)::pg_catalog.int4 AS rank,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may_use_schema,
       -- Row-level security is harmless where some policy shows us every row and none takes any away.
       pg_catalog.row_security_active(c.oid) AND NOT (
           EXISTS (SELECT 1 FROM ours
                   WHERE ours.polrelid OPERATOR(pg_catalog.=) c.oid AND ours.polpermissive
                     AND ours.shows OPERATOR(pg_catalog.=) 'true'::pg_catalog.text)
           AND NOT EXISTS (SELECT 1 FROM ours
                           WHERE ours.polrelid OPERATOR(pg_catalog.=) c.oid AND NOT ours.polpermissive)
       ) AS hides_rows,
       pg_catalog.row_security_active(c.oid) AS is_guarded,
       pg_catalog.pg_is_in_recovery() AS is_standby,
       a.attname::pg_catalog.text AS column_name,
       -- For people to read. It leaves out a schema that is on the search path, so it never goes into a statement.
       pg_catalog.format_type(a.atttypid, a.atttypmod)::pg_catalog.text AS type_name,
       -- For statements. A type without its length: `character` as a cast would be `character(1)`.
       pg_catalog.format('%I.%I', tn.nspname, t.typname) AS qualified_type,
       CASE WHEN bn.nspname OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.name THEN base.typname::pg_catalog.text
            ELSE pg_catalog.format('%I.%I', bn.nspname, base.typname) END AS base_type,
       -- What an index on a column of an extension's type (citext, ulid) can answer. Only a superuser makes an
       -- operator class, and of one operator for two arguments of one type there is only one in its schema.
       (SELECT pg_catalog.format('OPERATOR(%I.%s)', opn.nspname, op.oprname)
        FROM pg_catalog.pg_opclass AS oc
        JOIN pg_catalog.pg_am AS am
            ON am.oid OPERATOR(pg_catalog.=) oc.opcmethod AND am.amname OPERATOR(pg_catalog.=) 'btree'::pg_catalog.name
        JOIN pg_catalog.pg_amop AS ao
            ON ao.amopfamily OPERATOR(pg_catalog.=) oc.opcfamily
            AND ao.amoplefttype OPERATOR(pg_catalog.=) oc.opcintype
            AND ao.amoprighttype OPERATOR(pg_catalog.=) oc.opcintype
            AND ao.amopstrategy OPERATOR(pg_catalog.=) 3::pg_catalog.int2
        JOIN pg_catalog.pg_operator AS op ON op.oid OPERATOR(pg_catalog.=) ao.amopopr
        JOIN pg_catalog.pg_namespace AS opn ON opn.oid OPERATOR(pg_catalog.=) op.oprnamespace
        WHERE oc.opcintype OPERATOR(pg_catalog.=) base.oid AND oc.opcdefault
          AND bn.nspname OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.name) AS equality,
       base.typcategory::pg_catalog.text AS category,
       base.has_domain_length,
       pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT') AS may_select
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
JOIN pg_catalog.pg_attribute AS a
    ON a.attrelid OPERATOR(pg_catalog.=) c.oid
    AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
    AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
JOIN pg_catalog.pg_namespace AS tn ON tn.oid OPERATOR(pg_catalog.=) t.typnamespace
-- A domain may stand for a domain. A cast to one that has a length cuts off what is longer.
CROSS JOIN LATERAL (
    WITH RECURSIVE stands_for AS (
        SELECT t.oid, t.typname, t.typnamespace, t.typcategory, t.typbasetype,
               t.typtypmod OPERATOR(pg_catalog.<>) (-1)::pg_catalog.int4 AS has_domain_length
        UNION ALL
        SELECT b.oid, b.typname, b.typnamespace, b.typcategory, b.typbasetype,
               stands_for.has_domain_length OR b.typtypmod OPERATOR(pg_catalog.<>) (-1)::pg_catalog.int4
        FROM stands_for
        JOIN pg_catalog.pg_type AS b ON b.oid OPERATOR(pg_catalog.=) stands_for.typbasetype
    )
    SELECT oid, typname, typnamespace, typcategory, has_domain_length
    FROM stands_for
    WHERE typbasetype OPERATOR(pg_catalog.=) 0::pg_catalog.oid
) AS base
JOIN pg_catalog.pg_namespace AS bn ON bn.oid OPERATOR(pg_catalog.=) base.typnamespace
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f}'::pg_catalog."char"[])
  AND c.relname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])
  AND n.nspname OPERATOR(pg_catalog.<>) ALL ('{pg_catalog,information_schema}'::pg_catalog.name[])
ORDER BY n.nspname, c.relname, a.attnum
