-- The users of Stack Auth (Neon Auth), as Neon keeps them in neon_auth.users_sync, become users of Better Auth.
-- Nothing in neon_auth is changed, and no user that is here already. Passwords are not in that table: people set a new one
-- ("forgot password"), or sign in with a provider that vouches for the same address.
-- The last statement tells what was not migrated, row by row.

DO $$
BEGIN
    IF pg_catalog.to_regclass('neon_auth.users_sync') IS NULL THEN
        RAISE EXCEPTION 'there is no table neon_auth.users_sync that we may see'
            USING HINT = 'Nothing to migrate, unless this is not the database that Stack Auth wrote to.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute
                   WHERE attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('"user"')::pg_catalog.oid
                     AND attname OPERATOR(pg_catalog.=) 'email_verified'::pg_catalog.name) THEN
        RAISE EXCEPTION 'there is no table "user" with snake_case columns'
            USING HINT = 'Apply the migration "tables" first.';
    END IF;
END
$$;

-- Nobody signs up between our look and our insert.
LOCK TABLE "user" IN SHARE ROW EXCLUSIVE MODE;

WITH stack AS (
    SELECT id::pg_catalog.text AS id,
           CASE WHEN pg_catalog.btrim(name) OPERATOR(pg_catalog.<>) ''::pg_catalog.text
                THEN pg_catalog.btrim(name) END AS name,
           -- Better Auth looks for addresses in lower case: it would never find another spelling.
           CASE WHEN pg_catalog.btrim(email) OPERATOR(pg_catalog.<>) ''::pg_catalog.text
                THEN pg_catalog.lower(pg_catalog.btrim(email)) END AS email,
           created_at, updated_at, deleted_at
    FROM neon_auth.users_sync
), judged AS (
    SELECT *,
           CASE
               WHEN deleted_at IS NOT NULL THEN 'deleted at Stack Auth'
               WHEN EXISTS (SELECT FROM "user" AS u WHERE u.id OPERATOR(pg_catalog.=) stack.id) THEN 'a user with this id is here already'
               WHEN email IS NULL THEN 'no e-mail address'
               ELSE (SELECT 'its address belongs to the user ' OPERATOR(pg_catalog.||) pg_catalog.min(u.id)
                     FROM "user" AS u
                     WHERE pg_catalog.lower(u.email) OPERATOR(pg_catalog.=) stack.email)
           END AS reason
    FROM stack
), ranked AS (
    -- Of several that share an address in any spelling, the oldest has it.
    SELECT *, pg_catalog.first_value(id) OVER (PARTITION BY email, reason IS NULL ORDER BY created_at NULLS LAST, id)
              AS owner
    FROM judged
), settled AS (
    SELECT id, name, email, created_at, updated_at,
           CASE WHEN reason IS NULL AND owner OPERATOR(pg_catalog.<>) id
                THEN 'its address belongs to the user ' OPERATOR(pg_catalog.||) owner
                ELSE reason
           END AS reason
    FROM ranked
), migrated AS (
    INSERT INTO "user" (id, name, email, email_verified, created_at, updated_at)
    SELECT id, COALESCE(name, email), email, TRUE, COALESCE(created_at, pg_catalog.now()),
           COALESCE(updated_at, pg_catalog.now())
    FROM settled
    WHERE reason IS NULL
    RETURNING id
)
SELECT id, 'not migrated: ' OPERATOR(pg_catalog.||) reason AS outcome
FROM (SELECT id, reason FROM settled WHERE reason IS NOT NULL ORDER BY id) AS left_out
UNION ALL
SELECT NULL, pg_catalog.format('%s of %s users migrated', (SELECT pg_catalog.count(*) FROM migrated),
                              (SELECT pg_catalog.count(*) FROM settled));
