"""Tables that change while an instance runs are read again, without a restart and without signing users out."""

from collections.abc import Callable, Generator

import pytest

from auth_middleware import Auth, AuthUser, SchemaError, StoreUnavailable
from dev.postgres_proxies import CountingProxy, counting_proxy
from tests.postgres.conftest import MakeAuthFor
from tests.support.databases import TABLES, Database
from tests.support.polling import first_result

UUID = "4f9c4a1e-7d0f-4b61-9f0f-6c1f0a3b2d11"

CHANGES = {
    "columns from snake_case to camelCase": """
        ALTER TABLE session RENAME user_id TO "userId"; ALTER TABLE session RENAME expires_at TO "expiresAt";
        ALTER TABLE session RENAME ip_address TO "ipAddress";
        ALTER TABLE "user" RENAME email_verified TO "emailVerified"
    """,
    "tables from singular to plural": 'ALTER TABLE "user" RENAME TO users; ALTER TABLE session RENAME TO sessions',
    "times lose their zone": """
        SET timezone = 'UTC';
        ALTER TABLE session ALTER expires_at TYPE timestamp; ALTER TABLE "user" ALTER created_at TYPE timestamp
    """,
    "ids become uuids": """
        DROP TABLE account; ALTER TABLE session ALTER user_id TYPE uuid USING user_id::uuid;
        ALTER TABLE "user" ALTER id TYPE uuid USING id::uuid
    """,
    "text becomes varchar": "ALTER TABLE session ALTER token TYPE varchar(64), ALTER user_agent TYPE varchar",
    "tables to another schema of the search path": """
        CREATE SCHEMA auth; ALTER TABLE "user" SET SCHEMA auth; ALTER TABLE session SET SCHEMA auth
    """,
    "a column more": 'ALTER TABLE session ADD shoe_size int; ALTER TABLE "user" ADD hat_size int',
}


@pytest.fixture(params=["on", "off"])
def make_auth(request: pytest.FixtureRequest, database: Database, auth_for: MakeAuthFor) -> Callable[[], Auth]:
    """With and without named statements, on one connection that has used the old tables, in another zone than UTC."""
    dsn = f"{database.dsn}?options=-c%20search_path%3Dpublic,auth%20-c%20timezone%3DAsia/Kolkata"
    return lambda: auth_for(dsn, prepared_statements=request.param, pool_size=1)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_change_of_other_columns_affects_no_request(
    database: Database, make_auth: Callable[[], Auth], change: str
) -> None:
    who = database.sign_in()
    database.execute(f"""
        ALTER TABLE session DROP CONSTRAINT session_user_id_fkey;
        UPDATE "user" SET id = '{UUID}'; UPDATE session SET user_id = '{UUID}'
    """)
    auth = make_auth()
    before = await auth.validate_session(who.cookie_value)
    database.execute(change)
    assert before
    assert await auth.validate_session(who.cookie_value) == before
    assert await auth.validate_session(who.cookie_value) == before


async def test_tables_dropped_and_created_again_are_read_again(
    database: Database, make_auth: Callable[[], Auth]
) -> None:
    gone = database.sign_in()
    auth = make_auth()
    assert await auth.validate_session(gone.cookie_value)
    database.execute('DROP TABLE session, account, "user"')
    with pytest.raises(SchemaError):
        await auth.validate_session(gone.cookie_value)
    database.execute(TABLES.read_text())
    who = database.sign_in()
    assert await first_result(auth, who.cookie_value)
    assert await auth.validate_session(gone.cookie_value) is None


async def test_tables_replaced_between_two_requests_are_read_at_once(
    database: Database, make_auth: Callable[[], Auth]
) -> None:
    gone = database.sign_in()
    auth = make_auth()
    assert await auth.validate_session(gone.cookie_value)
    database.execute(f'DROP TABLE session, account, "user"; {TABLES.read_text()}')
    who = database.sign_in()
    assert await auth.validate_session(who.cookie_value)
    assert await auth.validate_session(gone.cookie_value) is None


class Scored(AuthUser):
    score: float | str


@pytest.mark.parametrize("prepared", ["on", "off"])
async def test_an_own_fields_column_is_read_by_its_new_type(
    database: Database, auth_for: MakeAuthFor, prepared: str
) -> None:
    who = database.sign_in()
    database.execute('ALTER TABLE "user" ADD score int DEFAULT 3')
    auth = auth_for(database.dsn, user_model=Scored, prepared_statements=prepared, pool_size=1)
    seen: list[float | str] = []
    for change in ("int", "bigint", "real USING 2.5", "text USING 'many'"):
        database.execute(f'ALTER TABLE "user" ALTER score DROP DEFAULT, ALTER score TYPE {change}')
        identity = await auth.validate_session(who.cookie_value)
        assert identity
        seen.append(identity.user.score)
    assert seen == [3, 3, 2.5, "many"]


async def test_a_time_column_that_becomes_text_is_an_error_and_signs_no_user_out(
    database: Database, make_auth: Callable[[], Auth]
) -> None:
    who = database.sign_in()
    auth = make_auth()
    assert await auth.validate_session(who.cookie_value)
    database.execute("ALTER TABLE session ALTER expires_at TYPE text")
    with pytest.raises(SchemaError):
        await auth.validate_session(who.cookie_value)


@pytest.fixture
def proxy(database: Database) -> Generator[CountingProxy]:
    with counting_proxy(database.dsn) as proxy:
        yield proxy


async def test_changed_tables_cost_one_catalog_query_and_one_retry(
    database: Database, auth_for: MakeAuthFor, proxy: CountingProxy
) -> None:
    who = database.sign_in()
    auth = auth_for(proxy.dsn, pool_size=1)
    assert await auth.validate_session(who.cookie_value)
    database.execute('ALTER TABLE session RENAME user_id TO "userId"')
    for statements in (3, 1):
        before = proxy.statements
        assert await auth.validate_session(who.cookie_value)
        assert proxy.statements - before == statements


async def test_tables_that_are_no_longer_better_auths_are_not_retried(
    database: Database, auth_for: MakeAuthFor, proxy: CountingProxy
) -> None:
    who = database.sign_in()
    auth = auth_for(proxy.dsn, pool_size=1)
    assert await auth.validate_session(who.cookie_value)
    database.execute("ALTER TABLE session RENAME user_id TO owner_id")
    before = proxy.statements
    with pytest.raises(SchemaError):
        await auth.validate_session(who.cookie_value)
    assert proxy.statements - before == 2  # the failed statement and the catalog query


@pytest.mark.parametrize("code", ["0A000", "26000", "42P01", "42703", "42883"])
async def test_a_persistent_error_of_changed_tables_is_retried_once(
    database: Database, auth_for: MakeAuthFor, proxy: CountingProxy, code: str
) -> None:
    """The view fails with the code while the table `trouble` exists."""
    who = database.sign_in()
    database.execute(f"""
        CREATE TABLE trouble (code text);
        CREATE FUNCTION image() RETURNS text LANGUAGE plpgsql AS $$
            BEGIN
                IF EXISTS (SELECT FROM trouble) THEN RAISE 'test failure' USING errcode = '{code}'; END IF;
                RETURN NULL;
            END
        $$;
        ALTER TABLE "user" RENAME TO stored_user;
        CREATE VIEW "user" AS
            SELECT id, name, email, email_verified, image() AS image, created_at, updated_at FROM stored_user
    """)
    auth = auth_for(proxy.dsn, pool_size=1)
    assert await auth.validate_session(who.cookie_value)
    database.execute("INSERT INTO trouble VALUES ('x')")
    before = proxy.statements
    with pytest.raises(StoreUnavailable):
        await auth.validate_session(who.cookie_value)
    assert proxy.statements - before == 3
    database.execute("DELETE FROM trouble")
    assert await auth.validate_session(who.cookie_value)
