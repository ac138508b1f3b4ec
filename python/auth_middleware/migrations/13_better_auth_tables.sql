-- Better Auth's tables, in snake_case. Safe to run twice. They go into the first schema of the search_path.
-- Better Auth itself needs a field mapping to use them: see examples/orchestrator_3_stream/auth-service/src/auth.ts.

-- Beside Better Auth's own camelCase tables these would be half of each, or shadow them.
DO $$
DECLARE
    theirs pg_catalog.text;
BEGIN
    SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', n.nspname, c.relname), ', ') INTO theirs
    FROM pg_catalog.pg_attribute AS a
    JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
    JOIN (VALUES ('user', 'emailVerified'), ('session', 'userId'), ('account', 'userId'),
                 ('verification', 'expiresAt')) AS camel (relname, attname)
        ON c.relname OPERATOR(pg_catalog.=) camel.relname::pg_catalog.name
        AND a.attname OPERATOR(pg_catalog.=) camel.attname::pg_catalog.name
    WHERE NOT a.attisdropped
      -- The search path that the application will have: `migrate` runs this file with a shorter one.
      AND n.nspname OPERATOR(pg_catalog.=) ANY (COALESCE(
          pg_catalog.current_setting('auth_middleware.schemas', true)::pg_catalog.name[],
          pg_catalog.current_schemas(false)));
    IF theirs IS NOT NULL THEN
        RAISE EXCEPTION 'Better Auth''s tables are here already, with camelCase columns: %', theirs
            USING HINT = 'Nothing to migrate: auth_middleware reads them as they are, and Better Auth needs no field '
                         'mapping for them. For snake_case tables, use another database or another schema.';
    END IF;
END
$$;

-- "user" is quoted because it is a reserved word: unquoted it is the name of the connected role.
CREATE TABLE IF NOT EXISTS "user" (
    id             pg_catalog.text PRIMARY KEY,
    name           pg_catalog.text NOT NULL,
    email          pg_catalog.text NOT NULL UNIQUE,
    email_verified pg_catalog.bool DEFAULT FALSE,
    image          pg_catalog.text,
    created_at     pg_catalog.timestamptz DEFAULT pg_catalog.now(),
    updated_at     pg_catalog.timestamptz DEFAULT pg_catalog.now()
);
-- Redundant, as is idx_session_token below: UNIQUE has made an index on that column. Both are in the schema that this
-- file reproduces, so they stay.
CREATE INDEX IF NOT EXISTS idx_user_email ON "user" (email);

CREATE TABLE IF NOT EXISTS session (
    id         pg_catalog.text PRIMARY KEY,
    user_id    pg_catalog.text NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    token      pg_catalog.text NOT NULL UNIQUE,
    expires_at pg_catalog.timestamptz NOT NULL,
    ip_address pg_catalog.text,
    user_agent pg_catalog.text,
    created_at pg_catalog.timestamptz DEFAULT pg_catalog.now(),
    updated_at pg_catalog.timestamptz DEFAULT pg_catalog.now()
);
CREATE INDEX IF NOT EXISTS idx_session_token ON session (token);
CREATE INDEX IF NOT EXISTS idx_session_user_id ON session (user_id);
CREATE INDEX IF NOT EXISTS idx_session_expires_at ON session (expires_at);

CREATE TABLE IF NOT EXISTS account (
    id                       pg_catalog.text PRIMARY KEY,
    user_id                  pg_catalog.text NOT NULL REFERENCES "user" (id) ON DELETE CASCADE,
    account_id               pg_catalog.text NOT NULL,
    provider_id              pg_catalog.text NOT NULL,
    access_token             pg_catalog.text,
    refresh_token            pg_catalog.text,
    access_token_expires_at  pg_catalog.timestamptz,
    refresh_token_expires_at pg_catalog.timestamptz,
    scope                    pg_catalog.text,
    id_token                 pg_catalog.text,
    password                 pg_catalog.text,
    created_at               pg_catalog.timestamptz DEFAULT pg_catalog.now(),
    updated_at               pg_catalog.timestamptz DEFAULT pg_catalog.now()
);
CREATE INDEX IF NOT EXISTS idx_account_user_id ON account (user_id);
CREATE UNIQUE INDEX IF NOT EXISTS idx_account_provider ON account (provider_id, account_id);

CREATE TABLE IF NOT EXISTS verification (
    id         pg_catalog.text PRIMARY KEY,
    identifier pg_catalog.text NOT NULL,
    value      pg_catalog.text NOT NULL,
    expires_at pg_catalog.timestamptz NOT NULL,
    created_at pg_catalog.timestamptz DEFAULT pg_catalog.now(),
    updated_at pg_catalog.timestamptz DEFAULT pg_catalog.now()
);
CREATE INDEX IF NOT EXISTS idx_verification_identifier ON verification (identifier);

-- A table of these names that was here before was left as it is. If another program created it, this fails and everything is rolled back.
-- The catalog says which columns it has: to select from it could run code of its owner's.
DO $$
DECLARE
    missing pg_catalog.text;
BEGIN
    SELECT pg_catalog.string_agg(pg_catalog.format('table %I: column "%s" does not exist', w.relname, w.attname), '; ')
    INTO missing
    FROM (VALUES
        ('user', '{id,name,email,email_verified,image,created_at,updated_at}'),
        ('session', '{id,user_id,token,expires_at,ip_address,user_agent,created_at,updated_at}'),
        ('account', '{id,user_id,account_id,provider_id,access_token,refresh_token,access_token_expires_at,'
                    'refresh_token_expires_at,scope,id_token,password,created_at,updated_at}'),
        ('verification', '{id,identifier,value,expires_at,created_at,updated_at}')
    ) AS t (relname, columns)
    CROSS JOIN LATERAL (
        SELECT t.relname, c.attname FROM pg_catalog.unnest(t.columns::pg_catalog.text[]) AS c (attname)
    ) AS w
    LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname OPERATOR(pg_catalog.=) pg_catalog.current_schema()
    LEFT JOIN pg_catalog.pg_class AS c
        ON c.relnamespace OPERATOR(pg_catalog.=) n.oid
        AND c.relname OPERATOR(pg_catalog.=) w.relname::pg_catalog.name
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
