-- Why a table may not be used by a migration ($1 schema, $2 table, $3 read, adopt or write): NULL if it may
-- be used, no row if it does not exist. Reading a view, and writing to a table, run code that the owner chose, with the
-- rights of the role that migrates.
WITH target AS (
    SELECT c.oid, c.relkind, c.relispartition, c.relowner, n.nspowner
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    WHERE n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.text::pg_catalog.name
      AND c.relname OPERATOR(pg_catalog.=) $2::pg_catalog.text::pg_catalog.name
), me AS (
    SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) current_user
), parts AS (
    -- What belongs to the table and can contain code: its columns, defaults, constraints, triggers and indexes.
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS classid, target.oid AS objid FROM target
    UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, i.indexrelid
    FROM target JOIN pg_catalog.pg_index AS i ON i.indrelid OPERATOR(pg_catalog.=) target.oid
    UNION ALL
    SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::pg_catalog.oid, d.oid
    FROM target JOIN pg_catalog.pg_attrdef AS d ON d.adrelid OPERATOR(pg_catalog.=) target.oid
    UNION ALL
    SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid, k.oid
    FROM target JOIN pg_catalog.pg_constraint AS k ON k.conrelid OPERATOR(pg_catalog.=) target.oid
    UNION ALL
    SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid, t.oid
    FROM target
    JOIN pg_catalog.pg_trigger AS t ON t.tgrelid OPERATOR(pg_catalog.=) target.oid
    LEFT JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
    -- The triggers of `migrate live` run as the table's owner.
    WHERE NOT (t.tgqual IS NULL AND p.prosecdef AND p.proowner OPERATOR(pg_catalog.=) target.relowner
               AND pg_catalog.left(p.proname::pg_catalog.text, 16)
                   OPERATOR(pg_catalog.=) 'auth_middleware_'::pg_catalog.text)
), code AS (
    SELECT COALESCE(p.proowner, o.oprowner, t.typowner) AS owner
    FROM parts
    JOIN pg_catalog.pg_depend AS d
        ON d.classid OPERATOR(pg_catalog.=) parts.classid AND d.objid OPERATOR(pg_catalog.=) parts.objid
    LEFT JOIN pg_catalog.pg_proc AS p
        ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
        AND p.oid OPERATOR(pg_catalog.=) d.refobjid
    LEFT JOIN pg_catalog.pg_operator AS o
        ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
        AND o.oid OPERATOR(pg_catalog.=) d.refobjid
    LEFT JOIN pg_catalog.pg_type AS t
        ON d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid
        AND t.oid OPERATOR(pg_catalog.=) d.refobjid
)
SELECT CASE
           WHEN target.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char" OR target.relispartition
               THEN 'is not a plain table'
           WHEN pg_catalog.row_security_active(target.oid)
               THEN 'has row-level security that applies to this role'
           WHEN $3::pg_catalog.text OPERATOR(pg_catalog.=) 'read'::pg_catalog.text
               -- A cast of such a column to text or json can be a function of another role.
               THEN (SELECT pg_catalog.format('has a column %I of a type that is not PostgreSQL''s own',
                                              pg_catalog.min(a.attname::pg_catalog.text))
                     FROM pg_catalog.pg_attribute AS a
                     JOIN pg_catalog.pg_type AS t ON t.oid OPERATOR(pg_catalog.=) a.atttypid
                     WHERE a.attrelid OPERATOR(pg_catalog.=) target.oid
                       AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2 AND NOT a.attisdropped
                       AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace AS own
                                       WHERE own.oid OPERATOR(pg_catalog.=) t.typnamespace
                                         AND own.nspname OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.name)
                     HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0::pg_catalog.int8)
           WHEN target.relowner OPERATOR(pg_catalog.<>) me.oid
                AND target.relowner OPERATOR(pg_catalog.<>) target.nspowner
                AND NOT (pg_catalog.pg_get_userbyid(target.nspowner)
                             OPERATOR(pg_catalog.=) 'pg_database_owner'::pg_catalog.name
                         AND EXISTS (SELECT 1 FROM pg_catalog.pg_database AS d
                                     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                                       AND d.datdba OPERATOR(pg_catalog.=) target.relowner))
               THEN pg_catalog.format('belongs to the role %I, which is neither this role nor the owner of the schema',
                                      pg_catalog.pg_get_userbyid(target.relowner))
           WHEN $3::pg_catalog.text OPERATOR(pg_catalog.=) 'adopt'::pg_catalog.text THEN NULL
           WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class OPERATOR(pg_catalog.=) target.oid)
               THEN 'has a rule'
           -- Some of PostgreSQL's own functions run a text as SQL (`ts_rewrite`, `query_to_xml`), so of a table of
           -- another role's only constants and a few known functions are accepted.
           WHEN target.relowner OPERATOR(pg_catalog.<>) me.oid
                AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r
                         WHERE r.oid OPERATOR(pg_catalog.=) target.relowner)
                AND (EXISTS (SELECT 1 FROM pg_catalog.pg_attrdef AS d
                             JOIN pg_catalog.pg_attribute AS a
                                 ON a.attrelid OPERATOR(pg_catalog.=) d.adrelid
                                 AND a.attnum OPERATOR(pg_catalog.=) d.adnum
                             WHERE d.adrelid OPERATOR(pg_catalog.=) target.oid
                               AND (a.attgenerated OPERATOR(pg_catalog.<>) ''::pg_catalog."char"
                                    OR pg_catalog.pg_get_expr(d.adbin, d.adrelid) OPERATOR(pg_catalog.!~)
                                       '^(now\(\)|CURRENT_TIMESTAMP(\(\d\))?|true|false|-?\d+|''[^'']*''(::[a-z ]+)?|NULL(::[a-z ]+)?|gen_random_uuid\(\)|\(gen_random_uuid\(\)\)::(text|character varying))$'::pg_catalog.text))
                     OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k
                                WHERE k.conrelid OPERATOR(pg_catalog.=) target.oid
                                  AND k.contype OPERATOR(pg_catalog.=) 'c'::pg_catalog."char")
                     OR EXISTS (SELECT 1 FROM pg_catalog.pg_index AS i
                                WHERE i.indrelid OPERATOR(pg_catalog.=) target.oid
                                  AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL))
                     OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger AS t
                                LEFT JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
                                WHERE t.tgrelid OPERATOR(pg_catalog.=) target.oid AND NOT t.tgisinternal
                                  AND NOT (t.tgqual IS NULL AND p.prosecdef
                                           AND p.proowner OPERATOR(pg_catalog.=) target.relowner
                                           AND pg_catalog.left(p.proname::pg_catalog.text, 16)
                                               OPERATOR(pg_catalog.=) 'auth_middleware_'::pg_catalog.text)))
               THEN 'has a computed default, a check constraint, an index on an expression or a trigger'
           ELSE (SELECT pg_catalog.format('has a trigger, default, constraint, index or column that runs code of the '
                                          'role %I', pg_catalog.min(r.rolname::pg_catalog.text))
                 FROM code JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) code.owner
                 WHERE r.oid OPERATOR(pg_catalog.<>) me.oid AND NOT r.rolsuper
                 HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0::pg_catalog.int8)
       END AS problem
FROM target CROSS JOIN me
