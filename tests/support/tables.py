"""Better Auth's tables in other forms than the wheel's own migration."""

# As created by `npx @better-auth/cli migrate`.
CAMEL_CASE = """
CREATE TABLE "user" (
    "id" text NOT NULL PRIMARY KEY, "name" text NOT NULL, "email" text NOT NULL UNIQUE,
    "emailVerified" boolean NOT NULL, "image" text,
    "createdAt" timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL,
    "updatedAt" timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL
);
CREATE TABLE "session" (
    "id" text NOT NULL PRIMARY KEY, "expiresAt" timestamptz NOT NULL, "token" text NOT NULL UNIQUE,
    "createdAt" timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL, "updatedAt" timestamptz NOT NULL,
    "ipAddress" text, "userAgent" text,
    "userId" text NOT NULL REFERENCES "user" ("id") ON DELETE CASCADE
);
"""

# The user's name is the id of the backend process that returned the row.
NAMED_BY_BACKEND = """
ALTER TABLE "user" RENAME TO stored_user;
CREATE VIEW "user" AS
    SELECT id, pg_backend_pid()::text AS name, email, email_verified, image, created_at, updated_at
    FROM stored_user
"""


def plain(
    *, schema: str = "public", id_type: str = "text", user_id_type: str | None = None, time: str = "timestamptz"
) -> str:
    """Tables in snake_case without constraints, so that a test can insert rows that Better Auth would not."""
    return f"""
    CREATE TABLE {schema}."user" (
        id {id_type}, name text, email text, email_verified boolean, image text, created_at {time}, updated_at {time}
    );
    CREATE TABLE {schema}.session (
        id {id_type}, user_id {user_id_type or id_type}, token text, expires_at {time},
        ip_address text, user_agent text, created_at {time}, updated_at {time}
    );
    """


def person(user_id: str, token: str, *, schema: str = "public", session_user_id: str | None = None) -> str:
    """Rows for `plain` tables: a user, and a session with the same id that is valid for a long time."""
    return f"""
    INSERT INTO {schema}."user" (id, name, email) VALUES ('{user_id}', 'Ada', 'ada@example.com');
    INSERT INTO {schema}.session (id, user_id, token, expires_at)
    VALUES ('{user_id}', '{session_user_id or user_id}', '{token}', '2999-01-01 00:00:00Z');
    """
