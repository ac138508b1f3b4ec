-- Why a table may not be used by a migration ($1 schema, $2 table, $3 whether rows are written to it): NULL if it may
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
           WHEN NOT $3::pg_catalog.bool THEN NULL
           WHEN target.relowner OPERATOR(pg_catalog.<>) me.oid
                AND target.relowner OPERATOR(pg_catalog.<>) target.nspowner
                AND NOT (pg_catalog.pg_get_userbyid(target.nspowner)
                             OPERATOR(pg_catalog.=) 'pg_database_owner'::pg_catalog.name
                         AND EXISTS (SELECT 1 FROM pg_catalog.pg_database AS d
                                     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                                       AND d.datdba OPERATOR(pg_catalog.=) target.relowner))
               THEN pg_catalog.format('belongs to the role %I, which is neither this role nor the owner of the schema',
                                      pg_catalog.pg_get_userbyid(target.relowner))
           WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite AS w WHERE w.ev_class OPERATOR(pg_catalog.=) target.oid)
               THEN 'has a rule'
           ELSE (SELECT pg_catalog.format('has a trigger, default, constraint, index or column that runs code of the '
                                          'role %I', pg_catalog.min(r.rolname::pg_catalog.text))
                 FROM code JOIN pg_catalog.pg_roles AS r ON r.oid OPERATOR(pg_catalog.=) code.owner
                 WHERE r.oid OPERATOR(pg_catalog.<>) me.oid AND NOT r.rolsuper
                 HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 0::pg_catalog.int8)
       END AS problem
FROM target CROSS JOIN me
