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
    WHERE n.nspname OPERATOR(pg_catalog.=) ANY (pg_catalog.current_schemas(false)) AND NOT a.attisdropped;
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

-- A table of these names that was here before was left as it is. If it is somebody else's, this fails and all is undone.
DO $$
BEGIN
    PERFORM id, name, email, email_verified, image, created_at, updated_at FROM "user" LIMIT 0;
    PERFORM id, user_id, token, expires_at, ip_address, user_agent, created_at, updated_at FROM session LIMIT 0;
    PERFORM id, user_id, account_id, provider_id, access_token, refresh_token, access_token_expires_at,
            refresh_token_expires_at, scope, id_token, password, created_at, updated_at FROM account LIMIT 0;
    PERFORM id, identifier, value, expires_at, created_at, updated_at FROM verification LIMIT 0;
END
$$;
