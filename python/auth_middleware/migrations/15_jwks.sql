-- The keys that Better Auth's jwt plugin signs with. Safe to run twice.
-- Better Auth needs a field mapping: jwt({ schema: { jwks: { fields: { publicKey: "public_key", … } } } }).
-- A role that only verifies tokens needs SELECT on id, public_key, alg and expires_at, not on private_key.

CREATE TABLE IF NOT EXISTS jwks (
    id          pg_catalog.text PRIMARY KEY, -- a token's `kid`
    public_key  pg_catalog.text NOT NULL,
    private_key pg_catalog.text NOT NULL,    -- encrypted with Better Auth's secret, by default
    created_at  pg_catalog.timestamptz NOT NULL,
    expires_at  pg_catalog.timestamptz,      -- of signing; tokens are verified for 30 days more
    alg         pg_catalog.text,
    crv         pg_catalog.text
);

-- If a table of this name existed before, with other columns, this fails and everything is rolled back.
-- The catalog says which columns it has: to select from it could run code of its owner's.
DO $$
DECLARE
    missing pg_catalog.text;
BEGIN
    SELECT pg_catalog.string_agg(pg_catalog.format('table jwks: column "%s" does not exist', w.attname), '; ')
    INTO missing
    FROM (VALUES ('id'), ('public_key'), ('private_key'), ('created_at'), ('expires_at'), ('alg'), ('crv'))
        AS w (attname)
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema()
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
        AND c.relname OPERATOR(pg_catalog.=) 'jwks'::pg_catalog.name
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
