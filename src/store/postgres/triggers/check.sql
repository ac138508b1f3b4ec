-- Is every change of the two tables notified? Any role may send this: it reads the catalog alone.
-- Every name carries its schema: nothing on the search path can stand in for it.
WITH tables AS (
    SELECT e.model,
           c.oid,
           CASE
               WHEN c.oid IS NULL THEN pg_catalog.concat('there is no table ', e.shown)
               WHEN c.relkind OPERATOR(pg_catalog.=) ANY ('{{v,m}}'::pg_catalog."char"[]) THEN
                   pg_catalog.concat(
                       e.shown, ' is a view, whose rows change unnoticed: set AUTH_MIDDLEWARE_',
                       e.model, '_TABLE to the table below it, or use another freshness than "live"')
               WHEN c.relkind OPERATOR(pg_catalog.=) 'f'::pg_catalog."char" THEN
                   pg_catalog.concat(
                       e.shown, ' is a foreign table, whose rows change elsewhere: use another freshness than "live"')
               -- A statement fires the triggers of the table in its text, whichever table holds the rows.
               WHEN c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char" OR c.relispartition
                    OR EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS i
                               WHERE i.inhrelid OPERATOR(pg_catalog.=) c.oid
                                  OR i.inhparent OPERATOR(pg_catalog.=) c.oid) THEN
                   pg_catalog.concat(
                       e.shown, ' is partitioned, a partition, or tied to another table by inheritance, and rows ',
                       'that are changed through the other table change unnoticed: use another freshness than "live"')
               -- The worker that applies changes fires no statement triggers.
               WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_subscription_rel AS s
                            WHERE s.srrelid OPERATOR(pg_catalog.=) c.oid) THEN
                   pg_catalog.concat(
                       e.shown, ' is written by a subscription (logical replication), which fires no statement ',
                       'triggers: read from the publisher, or use another freshness than "live"')
           END AS problem,
           -- A rewrite or a TRUNCATE changes the file; most forms of ALTER TABLE change xmin.
           pg_catalog.concat_ws(':', e.shown, c.oid, c.xmin, c.relfilenode, (
               SELECT pg_catalog.string_agg(pg_catalog.concat(a.attnum, '=', a.xmin), ',' ORDER BY a.attnum)
               FROM pg_catalog.pg_attribute AS a
               WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
           )) AS state,
           ARRAY(SELECT a.attname::pg_catalog.text
                 FROM pg_catalog.pg_attribute AS a
                 WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0::pg_catalog.int2
                   AND NOT a.attisdropped
                 ORDER BY a.attnum) AS columns
    FROM (VALUES {tables}) AS e (schema, name, shown, model)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) e.schema::pg_catalog.name
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace OPERATOR(pg_catalog.=) n.oid AND c.relname OPERATOR(pg_catalog.=) e.name::pg_catalog.name
), triggers AS (
    SELECT t.oid,
           e.model,
           CASE WHEN i.is_ignoring THEN p.prosrc END AS source,
           CASE
               WHEN t.oid IS NULL THEN pg_catalog.concat('there is no trigger ', e.trigger, ' on ', e.shown)
               WHEN t.tgenabled OPERATOR(pg_catalog.=) 'D'::pg_catalog."char" THEN
                   pg_catalog.concat('the trigger ', e.trigger, ' on ', e.shown, ' is disabled')
               WHEN t.tgenabled OPERATOR(pg_catalog.<>) 'A'::pg_catalog."char" THEN
                   pg_catalog.concat('the trigger ', e.trigger, ' on ', e.shown, ' is not enabled ALWAYS')
               WHEN t.tgtype OPERATOR(pg_catalog.<>) e.kind::pg_catalog.int2 OR t.tgqual IS NOT NULL
                    OR t.tgattr::pg_catalog.text OPERATOR(pg_catalog.<>) ''::pg_catalog.text
                    OR COALESCE(t.tgoldtable::pg_catalog.text, ''::pg_catalog.text)
                       OPERATOR(pg_catalog.<>) e.old_rows::pg_catalog.text
                    OR COALESCE(t.tgnewtable::pg_catalog.text, ''::pg_catalog.text)
                       OPERATOR(pg_catalog.<>) CASE WHEN i.is_ignoring THEN e.new_rows::pg_catalog.text ELSE '' END THEN
                   pg_catalog.concat('the trigger ', e.trigger, ' on ', e.shown, ' is not as it was made')
               -- What a function that ignores columns has to be is decided by the process that reads this.
               WHEN (NOT i.is_ignoring
                     AND pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(p.prosrc, 'UTF8')), 'hex')
                         OPERATOR(pg_catalog.<>) e.source::pg_catalog.text)
                    OR NOT p.prosecdef OR l.lanname OPERATOR(pg_catalog.<>) 'plpgsql'::pg_catalog.name
                    OR p.proconfig IS NULL
                    OR p.proconfig OPERATOR(pg_catalog.<>) ARRAY[{search_path}]::pg_catalog.text[] THEN
                   pg_catalog.concat(
                       'the function of the trigger ', e.trigger, ' on ', e.shown,
                       ' is not the one that this version makes for the table as it is')
               WHEN p.proowner OPERATOR(pg_catalog.<>) c.relowner THEN
                   pg_catalog.concat(
                       'the function of the trigger ', e.trigger, ' on ', e.shown, ' belongs to the role ',
                       pg_catalog.pg_get_userbyid(p.proowner), ' instead of the table''s owner, ',
                       pg_catalog.pg_get_userbyid(c.relowner))
               WHEN NOT pg_catalog.has_function_privilege(p.proowner, f.oid, 'EXECUTE') THEN
                   pg_catalog.concat(
                       'the owner of the function of the trigger ', e.trigger, ' on ', e.shown,
                       ' may not execute pg_notify: GRANT EXECUTE ON FUNCTION pg_notify TO ',
                       pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(p.proowner)))
           END AS problem,
           pg_catalog.concat_ws(':', t.oid, t.xmin, t.tgenabled, p.oid, p.xmin) AS state
    FROM (VALUES
        {triggers}
    ) AS e (schema, name, shown, model, trigger, kind, old_rows, new_rows, source)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) e.schema::pg_catalog.name
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace OPERATOR(pg_catalog.=) n.oid AND c.relname OPERATOR(pg_catalog.=) e.name::pg_catalog.name
    LEFT JOIN pg_catalog.pg_trigger AS t
        ON t.tgrelid OPERATOR(pg_catalog.=) c.oid AND t.tgname OPERATOR(pg_catalog.=) e.trigger::pg_catalog.name
    LEFT JOIN pg_catalog.pg_proc AS p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid
    LEFT JOIN pg_catalog.pg_language AS l ON l.oid OPERATOR(pg_catalog.=) p.prolang
    CROSS JOIN LATERAL (
        SELECT COALESCE(pg_catalog.left(p.prosrc, pg_catalog.length({ignoring}::pg_catalog.text))
                        OPERATOR(pg_catalog.=) {ignoring}::pg_catalog.text, false) AS is_ignoring
    ) AS i
    CROSS JOIN (SELECT 'pg_catalog.pg_notify(pg_catalog.text,pg_catalog.text)'::pg_catalog.regprocedure AS oid) AS f
), trace AS (
    -- Where a trigger records that it could not notify. It must survive a crash, and nobody but its owner may change it.
    SELECT CASE
               WHEN c.oid IS NULL THEN pg_catalog.concat('there is no table ', e.shown)
               WHEN c.relkind OPERATOR(pg_catalog.<>) 'r'::pg_catalog."char"
                    OR c.relpersistence OPERATOR(pg_catalog.<>) 'p'::pg_catalog."char"
                    OR c.relispartition OR c.relrowsecurity OR c.relhasrules OR c.relhastriggers OR c.relhassubclass
                    OR s.relowner IS NULL OR c.relowner OPERATOR(pg_catalog.<>) s.relowner THEN
                   pg_catalog.concat('the table ', e.shown, ' is not as it was made')
               WHEN NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') THEN
                   pg_catalog.concat('our role may not read ', e.shown)
           END AS problem,
           pg_catalog.concat_ws(':', c.oid, c.xmin, c.relfilenode) AS state
    FROM (VALUES ({trace})) AS e (schema, name, shown)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) e.schema::pg_catalog.name
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace OPERATOR(pg_catalog.=) n.oid AND c.relname OPERATOR(pg_catalog.=) e.name::pg_catalog.name
    LEFT JOIN tables ON tables.model OPERATOR(pg_catalog.=) 'SESSION'::pg_catalog.text
    LEFT JOIN pg_catalog.pg_class AS s ON s.oid OPERATOR(pg_catalog.=) tables.oid
), fixable AS (
    SELECT problem, state FROM triggers
    UNION ALL
    SELECT problem, state FROM trace
)
SELECT COALESCE(
           (SELECT pg_catalog.string_agg(problem, '; ' ORDER BY problem) FROM tables),
           CASE WHEN EXISTS (SELECT 1 FROM triggers WHERE oid IS NOT NULL)
                THEN (SELECT pg_catalog.string_agg(problem, '; ' ORDER BY problem) FROM fixable)
                ELSE 'there are no triggers that notify changes' END
               OPERATOR(pg_catalog.||) ' (python -m auth_middleware migrate live fixes it)'::pg_catalog.text
       ) AS problem,
       EXISTS (SELECT 1 FROM tables WHERE problem IS NOT NULL) AS is_refused,
       pg_catalog.concat_ws(
           ' ',
           (SELECT pg_catalog.string_agg(state, ' ' ORDER BY state) FROM tables),
           (SELECT pg_catalog.string_agg(state, ' ' ORDER BY state) FROM fixable)) AS fingerprint,
       (SELECT columns FROM tables WHERE model OPERATOR(pg_catalog.=) 'USER'::pg_catalog.text) AS user_columns,
       (SELECT columns FROM tables WHERE model OPERATOR(pg_catalog.=) 'SESSION'::pg_catalog.text) AS session_columns,
       ARRAY(SELECT DISTINCT source FROM triggers
             WHERE model OPERATOR(pg_catalog.=) 'USER'::pg_catalog.text AND source IS NOT NULL) AS user_sources,
       ARRAY(SELECT DISTINCT source FROM triggers
             WHERE model OPERATOR(pg_catalog.=) 'SESSION'::pg_catalog.text AND source IS NOT NULL) AS session_sources
