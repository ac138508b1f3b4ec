"""A cookie cache signed by keys of a table that cannot be read: the warning says why, and how to fix it."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from auth_middleware import Auth
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support.applications import guarded
from tests.support.databases import Database
from tests.support.polling import wait_until

DATA = "better-auth.session_data"
JWKS = 'CREATE TABLE jwks (id text, "publicKey" text, "privateKey" text, "createdAt" timestamptz)'
# A header and claims whose key no table has.
SNAPSHOT = "eyJhbGciOiJFZERTQSIsInR5cCI6ImJldHRlci1hdXRoLnNlc3Npb24tY2FjaGUrand0Iiwia2lkIjoiMSJ9.e30.c2ln"
KEY = """{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"""


SETTINGS = {"freshness": "cookie_cache", "cache_strategy": "jwks", "trusted_origins": ()}


@dataclass(frozen=True)
class Wrong:
    """A table that cannot be read: its SQL, in which IF_OWNER is a new role, and the parts of the one warning."""

    sql: str
    parts: tuple[str, ...]
    grants: tuple[str, ...] = ("ON session", 'ON "user"', "ON jwks")


UNREADABLE = {
    "no table": Wrong("", ("no table jwks", "AUTH_MIDDLEWARE_JWKS_TABLE"), ("ON session", 'ON "user"')),
    "no right": Wrong(JWKS, ("may not be read", 'GRANT SELECT ("id", "publicKey") ON'), ("ON session", 'ON "user"')),
    "no right to a column": Wrong(
        JWKS, ("may not be read", 'GRANT SELECT ("publicKey") ON'), ("ON session", 'ON "user"', "(id) ON jwks")
    ),
    "other columns": Wrong(
        "CREATE TABLE jwks (id text, key text)", ("has no column publicKey", "AUTH_MIDDLEWARE_JWKS_COLUMNS")
    ),
    "another owner": Wrong(
        f"{JWKS}; CREATE ROLE IF_OWNER; ALTER TABLE jwks OWNER TO IF_OWNER",
        ("different owners", 'OWNER TO "postgres"', "AUTH_MIDDLEWARE_JWKS_TABLE"),
    ),
    "hidden rows": Wrong(f"{JWKS}; ALTER TABLE jwks ENABLE ROW LEVEL SECURITY", ("row-level security", "POLICY")),
    "too many keys": Wrong(
        f"{JWKS}; INSERT INTO jwks SELECT n, '{KEY}', '', now() FROM generate_series(1, 101) AS n", ("at most 100",)
    ),
}


@pytest.fixture(autouse=True)
def at_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "auth_middleware")


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_table_that_cannot_be_read_is_the_reason(
    auth_for: MakeAuthFor,
    database: Database,
    make_role: Callable[..., Role],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    wrong, role = UNREADABLE[name], make_role()
    if wrong.sql:
        # Roles are the cluster's: a name for each run.
        database.execute(wrong.sql.replace("IF_OWNER", f"owner_{secrets.token_hex(4)}"))
    for grant in wrong.grants:
        database.execute(f"GRANT SELECT {grant} TO {role.name}")
    [line] = warnings_after_twenty(auth_for(role.dsn(database), **SETTINGS), database, caplog)
    assert "any key" not in line
    for part in ("cookie_cache", DATA, "the jwks table cannot be read", *wrong.parts):
        assert part in line, line


def test_a_table_without_the_key_is_another_reason(
    auth_for: MakeAuthFor, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute(JWKS)
    [line] = warnings_after_twenty(auth_for(database.dsn, **SETTINGS), database, caplog)
    assert "these are not signed by any key in the jwks table" in line


def warnings_after_twenty(auth: Auth, database: Database, caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warnings once so many requests had an unusable snapshot. Those before the table was read do not count."""
    headers = {"Cookie": f"{database.sign_in().headers['Cookie']}; {DATA}={SNAPSHOT}"}
    with TestClient(guarded(auth)) as client:

        def is_reported() -> bool:
            assert client.get("/required", headers=headers).status_code == 200
            return bool(caplog.records)

        wait_until(is_reported)
        for _ in range(30):
            client.get("/required", headers=headers)
    assert auth.counters["cookie_cache"] == 0
    return [record.getMessage() for record in caplog.records]
