"""Statements have names only if no pooler can mix them up with those of other clients."""

import pytest

from tests.postgres.conftest import MakeAuthFor
from tests.support.databases import Database

# Returns the named statements of the PostgreSQL session that looks up.
TELLTALE = """
ALTER TABLE "user" RENAME TO stored_user;
CREATE VIEW "user" AS
    SELECT id, (SELECT count(*)::text FROM pg_prepared_statements WHERE NOT from_sql) AS name,
           email, email_verified, image, created_at, updated_at
    FROM stored_user
"""


async def named_statements(database: Database, auth_for: MakeAuthFor, dsn: str, **settings: str) -> int:
    """The number of named statements of the connection at its second lookup."""
    who = database.sign_in()
    database.execute(TELLTALE)
    auth = auth_for(dsn, pool_size=1, **settings)
    await auth.validate_session(who.cookie_value)
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    assert identity.user.email == who.email
    return int(identity.user.name)


async def test_a_direct_connection_reuses_its_named_statement(database: Database, auth_for: MakeAuthFor) -> None:
    assert await named_statements(database, auth_for, database.dsn) == 1


@pytest.mark.parametrize("word", ["pgbouncer=true", "statement_cache_size=0", "prepared_statement_cache_size=0"])
async def test_statements_have_no_names_with_the_dsn_of_a_pooler(
    database: Database, auth_for: MakeAuthFor, word: str
) -> None:
    assert await named_statements(database, auth_for, f"{database.dsn}?{word}") == 0


async def test_statements_have_no_names_when_the_setting_is_off(database: Database, auth_for: MakeAuthFor) -> None:
    assert await named_statements(database, auth_for, database.dsn, prepared_statements="off") == 0
