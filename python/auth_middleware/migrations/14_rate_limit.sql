-- Where Better Auth counts requests when its rate limit is stored in the database. Safe to run twice.
-- Better Auth needs: rateLimit: { storage: "database", modelName: "rate_limit", fields: { lastRequest: "last_request" } }
-- Otherwise it counts in memory: each process by itself, from nought at every start.

CREATE TABLE IF NOT EXISTS rate_limit (
    id           pg_catalog.text PRIMARY KEY,
    key          pg_catalog.text NOT NULL UNIQUE, -- address and path
    count        pg_catalog.int4 NOT NULL,
    last_request pg_catalog.int8 NOT NULL         -- milliseconds since 1970
);

-- If a table of this name existed before and belongs to another program, this fails and everything is rolled back.
-- The catalog says which columns it has: to select from it could run code of its owner's.
DO $$
DECLARE
    missing pg_catalog.text;
BEGIN
    SELECT pg_catalog.string_agg(pg_catalog.format('table rate_limit: column "%s" does not exist', w.attname), '; ')
    INTO missing
    FROM (VALUES ('id'), ('key'), ('count'), ('last_request')) AS w (attname)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema()
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
        AND c.relname OPERATOR(pg_catalog.=) 'rate_limit'::pg_catalog.name
        AND c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}'::pg_catalog."char"[])
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND NOT a.attisdropped
        AND a.attname OPERATOR(pg_catalog.=) w.attname::pg_catalog.name
    WHERE a.attname IS NULL;
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION '%', missing;
    END IF;
END
$$;
