-- Where Better Auth counts requests when its rate limit is stored in the database. Safe to run twice.
-- Better Auth needs: rateLimit: { storage: "database", modelName: "rate_limit", fields: { lastRequest: "last_request" } }
-- Otherwise it counts in memory: each process by itself, from nought at every start.

CREATE TABLE IF NOT EXISTS rate_limit (
    id           TEXT PRIMARY KEY,
    key          TEXT NOT NULL UNIQUE, -- address and path
    count        INTEGER NOT NULL,
    last_request BIGINT NOT NULL       -- milliseconds since 1970
);

DO $$
BEGIN
    PERFORM id, key, count, last_request FROM rate_limit LIMIT 0;
END
$$;
