"""The error for tables that are not Better Auth's says what was expected, what was found, and how to fix it."""

import pytest

from auth_middleware import SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor
from tests.support import tables
from tests.support.databases import Database
from tests.support.polling import first_result


async def problem(auth_for: MakeAuthFor, dsn: str, **settings: object) -> str:
    """The error of `open`. A lookup must fail too."""
    auth = auth_for(dsn, **settings)
    with pytest.raises(SchemaError) as caught:
        await auth.open(strict=True)
    with pytest.raises(SchemaError):
        await auth.validate_session(signed(new_token()))
    return str(caught.value)


async def test_no_tables_at_all(empty_database: Database, auth_for: MakeAuthFor) -> None:
    said = await problem(auth_for, empty_database.dsn)
    for model in ("session", "user"):
        assert f"no table {model} or {model}s in the search path" in said
        assert f"AUTH_MIDDLEWARE_{model.upper()}_TABLE" in said
    assert "has Better Auth's migration run on this database?" in said


async def test_a_named_table_that_does_not_exist(database: Database, auth_for: MakeAuthFor) -> None:
    said = await problem(auth_for, database.dsn, user_table="people")
    assert "no table people in the search path" in said
    assert "no table session" not in said


async def test_a_named_schema_without_the_tables(database: Database, auth_for: MakeAuthFor) -> None:
    said = await problem(auth_for, database.dsn, schema="auth")
    assert 'no table session or sessions in schema "auth"' in said
    assert 'found "public"."session"' in said
    assert "AUTH_MIDDLEWARE_SCHEMA" in said


async def test_all_missing_columns_are_listed(database: Database, auth_for: MakeAuthFor) -> None:
    database.execute("""
        ALTER TABLE session DROP expires_at, DROP user_id;
        ALTER TABLE "user" RENAME email_verified TO verified;
    """)
    said = await problem(auth_for, database.dsn)
    assert '"public"."session" has no column expiresAt or expires_at; it has created_at, id, ip_address, token' in said
    assert '"public"."session" has no column userId or user_id' in said
    assert '"public"."user" has no column emailVerified or email_verified; it has' in said
    assert 'AUTH_MIDDLEWARE_USER_COLUMNS={"email_verified": "…"}' in said
    assert "verified, " in said or ", verified" in said


async def test_a_renamed_column_that_does_not_exist(database: Database, auth_for: MakeAuthFor) -> None:
    said = await problem(auth_for, database.dsn, session_columns={"token": "secret_token"})
    assert '"public"."session" has no column secret_token; it has' in said


async def test_two_spellings_of_one_column_are_an_error_until_a_setting_names_one(
    database: Database, auth_for: MakeAuthFor
) -> None:
    who = database.sign_in()
    database.execute('ALTER TABLE "user" ADD "emailVerified" boolean DEFAULT true')
    said = await problem(auth_for, database.dsn)
    assert '"public"."user" has both emailVerified and email_verified' in said
    assert 'AUTH_MIDDLEWARE_USER_COLUMNS={"email_verified": "…"}' in said
    for column, is_verified in (("emailVerified", True), ("email_verified", False)):
        auth = auth_for(database.dsn, user_columns={"email_verified": column})
        identity = await auth.validate_session(who.cookie_value)
        assert identity
        assert identity.user.email_verified is is_verified


WRONG_TYPES = [
    ("user", "email_verified", "timestamp with time zone"),
    ("user", "email_verified", "text"),
    ("user", "created_at", "date"),
    ("session", "expires_at", "text"),
    ("session", "expires_at", "bigint"),
    ("session", "updated_at", "timestamp with time zone[]"),
    ("session", "token", "uuid"),
    ("session", "token", "bytea"),
]


async def test_a_column_of_a_type_that_better_auth_does_not_write(database: Database, auth_for: MakeAuthFor) -> None:
    for table, column, wrong_type in WRONG_TYPES:
        database.execute(f'ALTER TABLE "{table}" DROP {column}, ADD {column} {wrong_type}')
        said = await problem(auth_for, database.dsn)
        assert f'"public"."{table}" has a column "{column}" of type {wrong_type}, which' in said


async def test_the_error_for_a_missing_column_does_not_list_an_applications_users_table(
    database: Database, auth_for: MakeAuthFor
) -> None:
    database.execute('CREATE TABLE users (id int, email text); ALTER TABLE "user" DROP image')
    assert '"public"."user" has no column image' in await problem(auth_for, database.dsn)


async def test_requests_keep_their_connection_after_a_schema_error(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    connections = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'auth_middleware' AND datname = current_database()"
    )
    auth = auth_for(empty_database.dsn, pool_size=1)
    seen: set[tuple[int]] = set()
    for _ in range(5):
        with pytest.raises(SchemaError):
            await auth.validate_session(signed(new_token()))
        seen.update(empty_database.fetch(connections))
    assert len(seen) == 1


async def test_a_fixed_schema_is_read_without_a_restart(empty_database: Database, auth_for: MakeAuthFor) -> None:
    token = new_token()
    auth = auth_for(empty_database.dsn)
    with pytest.raises(SchemaError):
        await auth.open(strict=True)
    empty_database.execute(tables.plain() + tables.person("u1", token))
    assert await first_result(auth, signed(token))
