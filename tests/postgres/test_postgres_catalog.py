"""Better Auth's tables are found without settings, under all names that its tools and users give them."""

from datetime import UTC, datetime

import pytest

from auth_middleware import AuthSession, AuthUser, SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support import tables
from tests.support.databases import Database

MORNING = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
EVENING = datetime(2026, 1, 2, 20, 21, 22, 0, tzinfo=UTC)
FAR = datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
UUID = "4f9c4a1e-7d0f-4b61-9f0f-6c1f0a3b2d11"


async def test_every_field_of_the_migrations_snake_case_tables_is_read(
    database: Database, auth_for: MakeAuthFor
) -> None:
    token = new_token()
    database.execute(f"""
        INSERT INTO "user" (id, name, email, email_verified, image, created_at, updated_at)
        VALUES ('u1', 'Ada', 'ada@example.com', true, 'https://a.example/ada.png', '{MORNING}', '{EVENING}');
        INSERT INTO session (id, user_id, token, expires_at, ip_address, user_agent, created_at, updated_at)
        VALUES ('s1', 'u1', '{token}', '{FAR}', '127.0.0.1', 'curl/8', '{EVENING}', '{MORNING}');
    """)
    identity = await auth_for(database.dsn).validate_session(signed(token))
    assert identity == expected(token)


async def test_every_field_of_better_auths_camel_case_tables_is_read(
    camel_database: Database, auth_for: MakeAuthFor
) -> None:
    token = new_token()
    camel_database.execute(f"""
        INSERT INTO "user" (id, name, email, "emailVerified", image, "createdAt", "updatedAt")
        VALUES ('u1', 'Ada', 'ada@example.com', true, 'https://a.example/ada.png', '{MORNING}', '{EVENING}');
        INSERT INTO session (id, "userId", token, "expiresAt", "ipAddress", "userAgent", "createdAt", "updatedAt")
        VALUES ('s1', 'u1', '{token}', '{FAR}', '127.0.0.1', 'curl/8', '{EVENING}', '{MORNING}');
    """)
    identity = await auth_for(camel_database.dsn).validate_session(signed(token))
    assert identity == expected(token)


def expected(token: str) -> tuple[AuthSession, AuthUser]:
    return (
        AuthSession(
            id="s1",
            user_id="u1",
            token=token,
            expires_at=FAR,
            ip_address="127.0.0.1",
            user_agent="curl/8",
            created_at=EVENING,
            updated_at=MORNING,
        ),
        AuthUser(
            id="u1",
            name="Ada",
            email="ada@example.com",
            email_verified=True,
            image="https://a.example/ada.png",
            created_at=MORNING,
            updated_at=EVENING,
        ),
    )


async def test_null_in_a_hand_written_table_is_none(empty_database: Database, auth_for: MakeAuthFor) -> None:
    token = new_token()
    empty_database.execute(tables.plain() + tables.person("u1", token))
    identity = await auth_for(empty_database.dsn).validate_session(signed(token))
    assert identity
    session, user = identity
    assert (user.email_verified, user.image, user.created_at, user.updated_at) == (False, None, None, None)
    assert (session.ip_address, session.user_agent, session.created_at, session.updated_at) == (None,) * 4


IDS = [
    ("uuid", "uuid", UUID),
    ("integer", "integer", "42"),
    ("bigint", "bigint", "9007199254740993"),
    ("varchar(36)", "text", "u1"),
    ("uuid", "text", UUID),
    ("integer", "text", "42"),
    ("text", "uuid", UUID),
    ("bigint", "integer", "42"),
]


async def test_an_id_of_any_type_is_returned_as_text(empty_database: Database, auth_for: MakeAuthFor) -> None:
    for number, (id_type, user_id_type, user_id) in enumerate(IDS):
        token, schema = new_token(), f"schema{number}"
        empty_database.execute(f"""
            CREATE SCHEMA {schema};
            {tables.plain(schema=schema, id_type=id_type, user_id_type=user_id_type)}
            {tables.person(user_id, token, schema=schema)}
        """)
        identity = await auth_for(empty_database.dsn, schema=schema).validate_session(signed(token))
        assert identity
        assert (identity.user.id, identity.session.id, identity.session.user_id) == (user_id,) * 3


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles"])
@pytest.mark.parametrize("time", ["timestamp", "timestamp(3)", "timestamptz"])
async def test_times_mean_the_same_whatever_the_connections_zone(
    empty_database: Database, auth_for: MakeAuthFor, zone: str, time: str
) -> None:
    token = new_token()
    empty_database.execute(tables.plain(time=time) + tables.person("u1", token))
    empty_database.execute(f"""
        SET timezone = 'UTC';
        UPDATE "user" SET created_at = '2026-07-01 12:34:56.789';
        UPDATE session SET expires_at = '2999-07-01 00:00:00';
        ALTER DATABASE "{empty_database.name}" SET timezone = '{zone}';
    """)
    assert empty_database.fetch("SHOW timezone") == [(zone,)]
    identity = await auth_for(empty_database.dsn).validate_session(signed(token))
    assert identity
    assert identity.user.created_at == datetime(2026, 7, 1, 12, 34, 56, 789_000, tzinfo=UTC)
    assert identity.session.expires_at == datetime(2999, 7, 1, tzinfo=UTC)
    assert identity.session.expires_at.utcoffset() is not None


async def test_renamed_tables_and_columns_are_read_by_their_settings(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    database.execute(r"""
        ALTER TABLE "user" RENAME TO "The ""People""\'s";
        ALTER TABLE "The ""People""\'s" RENAME email TO "E-Mail";
        ALTER TABLE "The ""People""\'s" RENAME created_at TO born;
        ALTER TABLE session RENAME TO logins;
        ALTER TABLE logins RENAME token TO "ключ";
        ALTER TABLE logins RENAME user_id TO person;
    """)
    auth = auth_for(
        database.dsn,
        user_table='The "People"\\\'s',
        user_columns={"email": "E-Mail", "created_at": "born"},
        session_table="logins",
        session_columns={"token": "ключ", "user_id": "person"},
    )
    identity = await auth.validate_session(who.cookie_value)
    assert identity
    assert (identity.user.email, identity.session.user_id) == (who.email, who.user_id)
    database.execute("ALTER TABLE logins DROP CONSTRAINT session_user_id_fkey")
    database.execute('DELETE FROM "The ""People""\\\'s"')
    assert await auth.validate_session(who.cookie_value) is None
    assert auth.counters["unknown_user"] == 1


async def test_plural_tables_are_found_without_settings(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    database.execute('ALTER TABLE "user" RENAME TO users; ALTER TABLE session RENAME TO sessions')
    assert await auth_for(database.dsn).validate_session(who.cookie_value)


async def test_an_applications_own_users_table_is_not_used(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    database.execute(f"""
        CREATE TABLE users (id text, email text, plan text);
        INSERT INTO users VALUES ('{who.user_id}', 'wrong@example.com', 'gold');
        CREATE TABLE sessions (id text, user_id text, token text);
        INSERT INTO sessions VALUES ('wrong', 'wrong', '{who.token}');
    """)
    identity = await auth_for(database.dsn).validate_session(who.cookie_value)
    assert identity
    assert (identity.user.email, identity.session.id) == (who.email, who.session_id)


async def test_views_can_be_used_as_tables(database: Database, auth_for: MakeAuthFor) -> None:
    who = database.sign_in()
    database.execute("""
        ALTER TABLE "user" RENAME TO stored_user;
        ALTER TABLE session RENAME TO stored_session;
        CREATE VIEW "user" AS SELECT * FROM stored_user;
        CREATE MATERIALIZED VIEW session AS SELECT *, 'unused' AS more FROM stored_session;
    """)
    assert await auth_for(database.dsn).validate_session(who.cookie_value)


async def test_ambiguous_tables_are_an_error_until_a_setting_names_one(
    empty_database: Database, auth_for: MakeAuthFor
) -> None:
    token = new_token()
    empty_database.execute(tables.plain() + tables.person("u1", token))
    empty_database.execute("CREATE TABLE users AS SELECT * FROM \"user\"; UPDATE users SET email = 'other@example.com'")
    with pytest.raises(SchemaError, match=r'"public"\."user" and "public"\."users" .*AUTH_MIDDLEWARE_USER_TABLE'):
        await auth_for(empty_database.dsn).open()
    identity = await auth_for(empty_database.dsn, user_table="users").validate_session(signed(token))
    assert identity
    assert identity.user.email == "other@example.com"


class TestAnotherSchema:
    """Better Auth's tables in their own schema, and other tables with the same names in `public`."""

    TOKEN = new_token()

    @pytest.fixture
    def schemas(self, empty_database: Database) -> Database:
        theirs = tables.plain() + tables.person("theirs", self.TOKEN)
        ours = tables.plain(schema="auth") + tables.person("ours", self.TOKEN, schema="auth")
        empty_database.execute(f"CREATE SCHEMA auth; {theirs} {ours}")
        return empty_database

    async def seen_by(self, auth_for: MakeAuthFor, dsn: str, **settings: str) -> str | None:
        identity = await auth_for(dsn, **settings).validate_session(signed(self.TOKEN))
        return identity and identity.user.id

    async def test_is_found_by_the_setting(self, schemas: Database, auth_for: MakeAuthFor) -> None:
        assert await self.seen_by(auth_for, schemas.dsn) == "theirs"
        assert await self.seen_by(auth_for, schemas.dsn, schema="auth") == "ours"

    async def test_is_found_by_prismas_dsn_parameter(self, schemas: Database, auth_for: MakeAuthFor) -> None:
        assert await self.seen_by(auth_for, f"{schemas.dsn}?schema=auth") == "ours"
        assert await self.seen_by(auth_for, f"{schemas.dsn}?schema=auth", schema="public") == "theirs"

    @pytest.mark.parametrize(
        ("path", "seen"), [("auth,public", "ours"), ("nowhere,auth", "ours"), ("public", "theirs")]
    )
    async def test_is_found_by_the_dsns_search_path(
        self, schemas: Database, auth_for: MakeAuthFor, path: str, seen: str
    ) -> None:
        assert await self.seen_by(auth_for, f"{schemas.dsn}?options=-c%20search_path%3D{path}") == seen

    async def test_is_found_by_the_roles_search_path(
        self, schemas: Database, auth_for: MakeAuthFor, role: Role
    ) -> None:
        schemas.execute(f"""
            GRANT USAGE ON SCHEMA auth TO {role.name};
            GRANT SELECT ON ALL TABLES IN SCHEMA auth, public TO {role.name};
            ALTER ROLE {role.name} SET search_path = auth, public;
        """)
        assert await self.seen_by(auth_for, role.dsn(schemas)) == "ours"

    async def test_is_in_the_message_if_it_is_not_on_the_search_path(
        self, schemas: Database, auth_for: MakeAuthFor
    ) -> None:
        schemas.execute('DROP TABLE public."user", public.session')
        mend = r'no table session or sessions in the search path; found "auth"\."session": set AUTH_MIDDLEWARE_SCHEMA'
        with pytest.raises(SchemaError, match=mend):
            await auth_for(schemas.dsn).open()

    async def test_tables_of_others_are_not_recommended(self, schemas: Database, auth_for: MakeAuthFor) -> None:
        """Supabase's own `auth.users` and `auth.sessions`, before Better Auth's migration."""
        schemas.execute("""
            DROP TABLE public."user", public.session, auth."user", auth.session;
            CREATE TABLE auth.users (id uuid PRIMARY KEY, aud text, email text);
            CREATE TABLE auth.sessions (id uuid PRIMARY KEY, user_id uuid);
        """)
        with pytest.raises(SchemaError, match="without the columns of Better Auth's table: has its migration run"):
            await auth_for(schemas.dsn).open(strict=True)
