"""Which rows identify a user. A row that cannot be read affects only its own session."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from auth_middleware import Auth, SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor
from tests.support import tables
from tests.support.databases import Database, SignedIn


@pytest.fixture
def auth(database: Database, auth_for: MakeAuthFor) -> Auth:
    return auth_for(database.dsn)


async def test_a_session_expires_to_the_microsecond(database: Database, auth: Auth) -> None:
    await auth.open()
    who = database.sign_in()
    for _ in range(20):
        # Only microseconds before the lookup, so truncating the time to milliseconds would accept the session.
        just_now = datetime.now(UTC) - timedelta(microseconds=1)
        database.execute(f"UPDATE session SET expires_at = '{just_now}'")
        assert await auth.validate_session(who.cookie_value) is None
    assert auth.counters["expired"] == 20


async def test_a_session_is_valid_until_it_expires(database: Database, auth: Auth) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    identity = await auth.validate_session(database.sign_in(expires_at=soon).cookie_value)
    assert identity
    assert identity.session.expires_at == soon


async def test_a_token_without_a_row_has_no_session(auth: Auth) -> None:
    assert await auth.validate_session(signed(new_token())) is None
    assert auth.counters["unknown_session"] == 1


async def test_a_session_ends_with_its_row(database: Database, auth: Auth) -> None:
    who = database.sign_in()
    assert await auth.validate_session(who.cookie_value)
    database.execute("DELETE FROM session")
    assert await auth.validate_session(who.cookie_value) is None


@pytest.mark.parametrize("removal", ["DELETE FROM \"user\" WHERE id = '{0}'", "UPDATE session SET user_id = 'x{0}'"])
async def test_a_session_without_its_user_is_refused(database: Database, auth: Auth, removal: str) -> None:
    who = database.sign_in()
    database.execute("ALTER TABLE session DROP CONSTRAINT session_user_id_fkey")
    database.execute(removal.format(who.user_id))
    assert await auth.validate_session(who.cookie_value) is None
    assert auth.counters["unknown_user"] == 1


async def looked_up_together(auth: Auth, everybody: list[SignedIn]) -> list[str | type[Exception] | None]:
    found = await asyncio.gather(
        *(auth.validate_session(who.cookie_value) for who in everybody), return_exceptions=True
    )
    return [SchemaError if isinstance(each, SchemaError) else each and each.user.id for each in found]  # type: ignore[union-attr]


LATE = ("infinity", "10000-01-01", "294276-12-31 23:59:59Z")
EARLY = ("-infinity", "0001-01-01 BC", "4713-01-01 BC")


@pytest.mark.parametrize("column", ["session.expires_at", "session.created_at", "user.updated_at"])
async def test_a_time_out_of_range_makes_one_session_unreadable(
    database: Database, auth: Auth, column: str, caplog: pytest.LogCaptureFixture
) -> None:
    table, _, name = column.partition(".")
    everybody = [database.sign_in() for _ in range(6)]
    bad = everybody[3]
    bad_id = bad.user_id if table == "user" else bad.session_id
    for time in LATE + EARLY:
        database.execute(f"UPDATE \"{table}\" SET {name} = '{time}' WHERE id = '{bad_id}'")
        # Better Auth accepts such a session unless it has expired.
        expected = None if name == "expires_at" and time in EARLY else SchemaError
        assert await looked_up_together(auth, everybody) == [
            expected if who is bad else who.user_id for who in everybody
        ]
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f'a row cannot be read: "public"."{table}"."{name}" has a time' in warning


@pytest.mark.parametrize("column", ["name", "email"])
async def test_null_in_one_row_does_not_affect_others(database: Database, auth: Auth, column: str) -> None:
    bad, good = database.sign_in(), database.sign_in()
    database.execute(f"""
        ALTER TABLE "user" ALTER {column} DROP NOT NULL;
        UPDATE "user" SET {column} = NULL WHERE id = '{bad.user_id}';
    """)
    expected = bad.user_id if column == "name" else SchemaError
    assert await looked_up_together(auth, [good, bad, good]) == [good.user_id, expected, good.user_id]


async def test_a_user_id_that_is_not_a_number_makes_one_session_unreadable(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    tokens = [new_token() for _ in range(10)]
    empty_database.execute(tables.plain(id_type="integer", user_id_type="text"))
    for number, token in enumerate(tokens):
        user_id = "not a number" if number == 4 else None
        empty_database.execute(tables.person(str(number), token, session_user_id=user_id))
    # With one connection, the first lookup is sent alone, and the others are one batch.
    auth = auth_for(empty_database.dsn, pool_size=1)
    found = await asyncio.gather(*(auth.validate_session(signed(token)) for token in tokens))
    assert [identity and identity.user.id for identity in found] == ["0", "1", "2", "3", None, *"56789"]
    assert await auth.validate_session(signed(tokens[4])) is None


async def test_two_rows_with_one_token_are_refused(empty_database: Database, auth_for: MakeAuthFor) -> None:
    twice, once = new_token(), new_token()
    empty_database.execute(
        tables.plain() + tables.person("u1", twice) + tables.person("u2", twice) + tables.person("u3", once)
    )
    auth = auth_for(empty_database.dsn)
    assert await auth.validate_session(signed(twice)) is None
    found = await asyncio.gather(*(auth.validate_session(signed(token)) for token in (twice, once, twice)))
    assert [identity and identity.user.id for identity in found] == [None, "u3", None]


async def test_two_users_with_one_id_are_refused(empty_database: Database, auth_for: MakeAuthFor) -> None:
    token = new_token()
    empty_database.execute(tables.plain() + tables.person("u1", token) + tables.person("u1", new_token()))
    assert await auth_for(empty_database.dsn).validate_session(signed(token)) is None


# A column type that ignores case, like a collation would. The embedded PostgreSQL has no such collations.
IGNORES_CASE = """
CREATE TYPE careless;
CREATE FUNCTION careless_in(cstring) RETURNS careless LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION careless_out(careless) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE careless (INPUT = careless_in, OUTPUT = careless_out, LIKE = text, CATEGORY = 'S');
CREATE CAST (careless AS text) WITHOUT FUNCTION;
CREATE CAST (text AS careless) WITHOUT FUNCTION;
CREATE FUNCTION equals(careless, text) RETURNS boolean LANGUAGE sql IMMUTABLE RETURN lower($1::text) = lower($2);
CREATE OPERATOR = (LEFTARG = careless, RIGHTARG = text, FUNCTION = equals);
DO $$ BEGIN
    EXECUTE (SELECT coalesce(string_agg(format('ALTER TABLE session DROP CONSTRAINT %I', conname), ';'), 'SELECT 1')
             FROM pg_constraint WHERE conrelid = 'session'::regclass AND contype = 'u');
END $$;
DROP INDEX IF EXISTS idx_session_token;
ALTER TABLE session ALTER token TYPE careless USING token::careless
"""


async def test_a_token_is_compared_exactly_whatever_the_columns_type(database: Database, auth: Auth) -> None:
    who = database.sign_in()
    database.execute(f"UPDATE session SET token = 'aBc{who.token}'")
    database.execute(IGNORES_CASE)
    assert database.fetch("SELECT count(*) FROM session WHERE token = 'AbC' || %s", who.token) == [(1,)]
    assert await auth.validate_session(signed(f"aBc{who.token}"))
    for other in (f"abc{who.token}", f"ABC{who.token}", f"aBc{who.token} ", f"aBc{who.token[:-1]}_", "%", "aBc%"):
        assert await auth.validate_session(signed(other)) is None


async def test_tokens_that_differ_only_in_case_are_different_sessions(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    empty_database.execute(tables.plain() + IGNORES_CASE)
    empty_database.execute(tables.person("small", "abc") + tables.person("large", "ABC"))
    auth = auth_for(empty_database.dsn)
    found = await asyncio.gather(*(auth.validate_session(signed(token)) for token in ("abc", "ABC", "Abc")))
    assert [identity and identity.user.id for identity in found] == ["small", "large", None]


async def test_padding_of_a_fixed_width_column_is_not_part_of_the_token(database: Database, auth: Auth) -> None:
    who = database.sign_in()
    database.execute("ALTER TABLE session ALTER token TYPE char(64)")
    assert await auth.validate_session(who.cookie_value)
    assert await auth.validate_session(signed(who.token.ljust(64))) is None
