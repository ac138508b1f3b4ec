"""Tables of another role are not used as Better Auth's, since a forged session in them would sign a stranger in."""

from collections.abc import Callable

import pytest

from auth_middleware import SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support import tables
from tests.support.databases import Database, SignedIn

COPIES = {
    "user": 'CREATE TABLE {0} AS SELECT * FROM "user" WITH NO DATA',
    "session": "CREATE TABLE {0} AS SELECT * FROM session WITH NO DATA",
}


def plant(database: Database, owner: Role, **named: str) -> str:
    """Creates tables of `owner` with a stranger and a session. Returns the session's token."""
    token = new_token()
    for model, name in named.items():
        database.execute(f"{COPIES[model].format(name)}; ALTER TABLE {name} OWNER TO {owner.name}")
    if "user" in named:
        database.execute(f"INSERT INTO {named['user']} (id, name, email) VALUES ('mallory', 'M', 'm@example.com')")
    if "session" in named:
        database.execute(f"""
            INSERT INTO {named["session"]} (id, user_id, token, expires_at)
            SELECT 'planted', min(id), '{token}', '2999-01-01' FROM "user"
        """)
    return token


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


async def refusal(auth_for: MakeAuthFor, dsn: str, **settings: str) -> str:
    with pytest.raises(SchemaError) as caught:
        await auth_for(dsn, **settings).open()
    return str(caught.value)


@pytest.mark.parametrize(
    "planted", [{"session": "sessions"}, {"user": "users"}, {"user": "users", "session": "sessions"}]
)
async def test_tables_of_another_owner_in_the_same_schema_need_the_setting(
    database: Database, auth_for: MakeAuthFor, role: Role, who: SignedIn, planted: dict[str, str]
) -> None:
    token = plant(database, role, **planted)
    said = await refusal(auth_for, database.dsn)
    for model, name in planted.items():
        assert f'"public"."{model}" (owner "postgres") and "public"."{name}" (owner "{role.name}")' in said
        assert f"AUTH_MIDDLEWARE_{model.upper()}_TABLE" in said
    auth = auth_for(database.dsn, user_table="user", session_table="session")
    assert await auth.validate_session(who.cookie_value)
    assert await auth.validate_session(signed(token)) is None


async def test_columns_do_not_decide_between_owners(database: Database, auth_for: MakeAuthFor, role: Role) -> None:
    plant(database, role, session="sessions")
    database.execute("ALTER TABLE session DROP user_agent")
    assert "have the name of the session table and different owners" in await refusal(auth_for, database.dsn)
    database.execute("ALTER TABLE session ADD user_agent text; ALTER TABLE sessions DROP user_agent")
    assert "have the name of the session table and different owners" in await refusal(auth_for, database.dsn)


@pytest.mark.parametrize("path", ["public,attic", "attic,public"])
async def test_the_search_path_does_not_decide_between_owners(
    database: Database, auth_for: MakeAuthFor, role: Role, who: SignedIn, path: str
) -> None:
    database.execute(f"CREATE SCHEMA attic AUTHORIZATION {role.name}")
    token = plant(database, role, session="attic.session")
    dsn = f"{database.dsn}?options=-c%20search_path%3D{path}"
    said = await refusal(auth_for, dsn)
    assert f'"attic"."session" (owner "{role.name}") and "public"."session" (owner "postgres")' in said
    assert "AUTH_MIDDLEWARE_SCHEMA" in said
    auth = auth_for(dsn, schema="public")
    assert await auth.validate_session(who.cookie_value)
    assert await auth.validate_session(signed(token)) is None


async def test_a_session_table_of_another_owner_than_the_user_tables_is_refused(
    database: Database, auth_for: MakeAuthFor, role: Role, who: SignedIn
) -> None:
    database.execute("ALTER TABLE session RENAME TO attic")
    database.execute("CREATE TABLE session AS SELECT * FROM attic")
    database.execute(f"ALTER TABLE session OWNER TO {role.name}")
    said = await refusal(auth_for, database.dsn)
    assert f'"public"."session" (owner "{role.name}") and "public"."user" (owner "postgres")' in said
    assert "ALTER TABLE" in said
    assert "different owners" in await refusal(auth_for, database.dsn, session_table="session", user_table="user")
    # With a setting for each table, nothing is ambiguous.
    named = {"schema": "public", "session_table": "session", "user_table": "user"}
    assert await auth_for(database.dsn, **named).validate_session(who.cookie_value)


async def test_a_table_that_may_not_be_read_does_not_count(
    database: Database,
    auth_for: MakeAuthFor,
    make_role: Callable[..., Role],
    who: SignedIn,
    caplog: pytest.LogCaptureFixture,
) -> None:
    role, reader = make_role(), make_role()
    plant(database, role, user="users", session="sessions")
    database.execute(f'GRANT SELECT ON "user", session TO {reader.name}')
    auth = auth_for(reader.dsn(database))
    await auth.open()
    assert await auth.validate_session(who.cookie_value)
    assert f'"public"."sessions" (owner "{role.name}") is not taken for the session table' in caplog.text
    database.execute(f"GRANT SELECT ON users, sessions TO {reader.name}")
    assert "different owners" in await refusal(auth_for, reader.dsn(database))


async def test_tables_that_another_role_creates_later_are_not_used(
    database: Database, auth_for: MakeAuthFor, role: Role, who: SignedIn
) -> None:
    auth = auth_for(database.dsn, pool_size=1)
    assert await auth.validate_session(who.cookie_value)
    token = plant(database, role, user="users", session="sessions")
    assert await auth.validate_session(who.cookie_value)
    assert await auth.validate_session(signed(token)) is None


async def test_tables_of_one_owner_in_two_schemas_are_not_mixed(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    token = new_token()
    empty_database.execute(f"""
        CREATE SCHEMA first; CREATE SCHEMA second;
        {tables.plain(schema="first")} DROP TABLE first."user";
        {tables.plain(schema="second")} {tables.person("u1", token, schema="second")}
    """)
    dsn = f"{empty_database.dsn}?options=-c%20search_path%3Dfirst,second"
    assert await auth_for(dsn).validate_session(signed(token))
    empty_database.execute("DROP TABLE second.session")
    said = await refusal(auth_for, dsn)
    assert (
        '"first"."session" (owner "postgres") and "second"."user" (owner "postgres") are in different schemas' in said
    )
