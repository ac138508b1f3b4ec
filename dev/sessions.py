"""Better Auth's tables and rows without Better Auth, for tests and benchmarks with many sessions."""

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import closing

import psycopg
from psycopg import sql

# As created by Better Auth's own migration, without the columns that are not read here.
TABLES = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE {schema}."user" (
    "id" text PRIMARY KEY,
    "name" text NOT NULL,
    "email" text NOT NULL UNIQUE,
    "emailVerified" boolean NOT NULL,
    "image" text,
    "createdAt" timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE TABLE {schema}."session" (
    "id" text PRIMARY KEY,
    "expiresAt" timestamptz NOT NULL,
    "token" text NOT NULL UNIQUE,
    "createdAt" timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" timestamptz NOT NULL,
    "ipAddress" text,
    "userAgent" text,
    "userId" text NOT NULL REFERENCES {schema}."user" ("id") ON DELETE CASCADE
);
CREATE INDEX ON {schema}."session" ("userId");
"""

INSERT = """
WITH given(name, token) AS ({given}), users AS (
    INSERT INTO {schema}."user" ("id", "name", "email", "emailVerified")
    SELECT token, name, token || '@example.com', true FROM given
)
INSERT INTO {schema}."session" ("id", "expiresAt", "token", "updatedAt", "ipAddress", "userAgent", "userId")
SELECT 'session ' || token, now() + interval '7 days', token, now(), '127.0.0.1', 'a test', token FROM given
"""

GIVEN = sql.SQL("SELECT * FROM unnest(%(names)s::text[], %(tokens)s::text[])")
# Generated in PostgreSQL, so that a million rows take seconds. `numbered_token` generates the same tokens.
NUMBERED = sql.SQL("""
    SELECT 'user ' || number, left(encode(sha256(number::text::bytea), 'hex'), 32)
    FROM generate_series(0, %(count)s - 1) AS number
""")


def create_tables(dsn: str, schema: str = "public") -> None:
    """Creates the tables in camelCase, which is Better Auth's default."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        connection.execute(sql.SQL(TABLES).format(schema=sql.Identifier(schema)))


def sign_in(
    dsn: str, names: Sequence[str], schema: str = "public", tokens: Sequence[str] | None = None
) -> Sequence[str]:
    """Adds a user with a session for each name. Returns the session tokens, which are new unless given."""
    tokens = tokens or [secrets.token_hex(16) for _ in names]
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        command = sql.SQL(INSERT).format(schema=sql.Identifier(schema), given=GIVEN)
        connection.execute(command, {"names": list(names), "tokens": list(tokens)})
        connection.execute("ANALYZE")
    return tokens


def sign_in_numbered(dsn: str, count: int, schema: str = "public") -> None:
    """Adds users 0 to `count - 1`, each with a session whose token is `numbered_token`."""
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        # Skips the foreign key checks for a million rows.
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql.SQL(INSERT).format(schema=sql.Identifier(schema), given=NUMBERED), {"count": count})
        connection.execute("VACUUM ANALYZE")


def numbered_token(number: int) -> str:
    """A token as long as Better Auth's, unordered."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]
