-- The users of Stack Auth (Neon Auth), as Neon keeps them in neon_auth.users_sync, become users of Better Auth.
-- Nothing in neon_auth is changed, and no user that is here already. Passwords are not in that table: people set a new one
-- ("forgot password"), or sign in with a provider that vouches for the same address.
-- email_verified is raw_json's primary_email_verified. Where raw_json has no such value, the address counts as verified,
-- unless the setting auth_middleware.assume_verified is 'off' (migrate stack_auth --unverified).
-- The last statement reports each row that was not migrated, and how many addresses were verified, unverified or unknown.

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

WITH assumed AS (
    SELECT COALESCE(pg_catalog.current_setting('auth_middleware.assume_verified'::pg_catalog.text, true),
                    'on'::pg_catalog.text) OPERATOR(pg_catalog.<>) 'off'::pg_catalog.text AS assume_verified
), stack AS (
    SELECT id::pg_catalog.text AS id,
           CASE WHEN pg_catalog.btrim(name) OPERATOR(pg_catalog.<>) ''::pg_catalog.text
                THEN pg_catalog.btrim(name) END AS name,
           -- Better Auth looks for addresses in lower case: it would never find another spelling.
           CASE WHEN pg_catalog.btrim(email) OPERATOR(pg_catalog.<>) ''::pg_catalog.text
                THEN pg_catalog.lower(pg_catalog.btrim(email)) END AS email,
           created_at, updated_at, deleted_at,
           -- From the row as JSON: a users_sync without the column raw_json can be migrated too. NULL: unknown.
           pg_catalog.lower(
               (pg_catalog.to_jsonb(users_sync) OPERATOR(pg_catalog.->) 'raw_json'::pg_catalog.text)
                   OPERATOR(pg_catalog.->>) 'primary_email_verified'::pg_catalog.text
           ) OPERATOR(pg_catalog.=) 'true'::pg_catalog.text AS verified
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
    -- Of several that share an address in any spelling, the oldest gets it. Verified ones come first: otherwise whoever
    -- signed up earlier with an address that is not theirs would keep it from its owner.
    SELECT *, pg_catalog.first_value(id) OVER (
        PARTITION BY email, reason IS NULL
        ORDER BY CASE WHEN verified THEN 1 WHEN verified IS NULL THEN 2 ELSE 3 END, created_at NULLS LAST, id
    ) AS owner
    FROM judged
), settled AS (
    SELECT id, name, email, created_at, updated_at, verified,
           CASE WHEN reason IS NULL AND owner OPERATOR(pg_catalog.<>) id
                THEN 'its address belongs to the user ' OPERATOR(pg_catalog.||) owner
                ELSE reason
           END AS reason
    FROM ranked
), migrated AS (
    INSERT INTO "user" (id, name, email, email_verified, created_at, updated_at)
    SELECT id, COALESCE(name, email), email, COALESCE(verified, assume_verified),
           COALESCE(created_at, pg_catalog.now()), COALESCE(updated_at, pg_catalog.now())
    FROM settled, assumed
    WHERE reason IS NULL
    RETURNING id
), counted AS (
    SELECT pg_catalog.count(*) AS migrated,
           pg_catalog.count(*) FILTER (WHERE verified) AS verified,
           pg_catalog.count(*) FILTER (WHERE NOT verified) AS unverified,
           pg_catalog.count(*) FILTER (WHERE verified IS NULL) AS unknown
    FROM settled
    WHERE reason IS NULL
)
SELECT id, 'not migrated: ' OPERATOR(pg_catalog.||) reason AS outcome
FROM (SELECT id, reason FROM settled WHERE reason IS NOT NULL ORDER BY id) AS left_out
UNION ALL
SELECT NULL, pg_catalog.format('%s of %s users migrated', migrated, (SELECT pg_catalog.count(*) FROM settled))
FROM counted
UNION ALL
SELECT NULL, pg_catalog.format('address verified at Stack Auth: %s', verified) FROM counted
UNION ALL
SELECT NULL, pg_catalog.format('address not verified at Stack Auth: %s', unverified) FROM counted
UNION ALL
SELECT NULL, pg_catalog.format('not stated in raw_json, marked as %s: %s',
                               CASE WHEN assume_verified THEN 'verified' ELSE 'not verified' END, unknown)
FROM counted, assumed;
