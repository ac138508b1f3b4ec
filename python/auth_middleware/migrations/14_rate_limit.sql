-- Where Better Auth counts requests when its rate limit is stored in the database. Safe to run twice.
-- Better Auth needs: rateLimit: { storage: "database", modelName: "rate_limit", fields: { lastRequest: "last_request" } }
-- Otherwise it counts in memory: each process by itself, from nought at every start.

CREATE TABLE IF NOT EXISTS rate_limit (
    id           pg_catalog.text PRIMARY KEY,
    key          pg_catalog.text NOT NULL UNIQUE, -- address and path
    count        pg_catalog.int4 NOT NULL,
    last_request pg_catalog.int8 NOT NULL         -- milliseconds since 1970
);

DO $$
BEGIN
    PERFORM id, key, count, last_request FROM rate_limit LIMIT 0;
END
$$;
