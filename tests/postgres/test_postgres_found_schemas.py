"""Schemas of public projects: NULLs, other types, other names. Users that Better Auth accepts are identified."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import AliasChoices, ConfigDict, Field
from pydantic.alias_generators import to_camel

from auth_middleware import Auth, AuthSession, AuthUser, ConfigurationError, SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support import tables
from tests.support.databases import Database, SignedIn


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class Nameless(AuthUser):
    name: str | None  # type: ignore[assignment]
    email: str | None  # type: ignore[assignment]


class TestNull:
    @pytest.fixture
    def who(self, database: Database) -> SignedIn:
        database.execute('ALTER TABLE "user" ALTER name DROP NOT NULL, ALTER email DROP NOT NULL')
        return database.sign_in()

    async def test_a_name_is_empty_for_the_plain_model(
        self, database: Database, auth_for: MakeAuthFor, who: SignedIn
    ) -> None:
        database.execute('UPDATE "user" SET name = NULL')
        identity = await auth_for(database.dsn).validate_session(who.cookie_value)
        assert identity
        assert identity.user.name == ""

    async def test_is_none_for_a_field_that_is_declared_as_optional(
        self, database: Database, auth_for: MakeAuthFor, who: SignedIn
    ) -> None:
        database.execute('UPDATE "user" SET name = NULL, email = NULL')
        identity = await auth_for(database.dsn, user_model=Nameless).validate_session(who.cookie_value)
        assert identity
        assert (identity.user.name, identity.user.email) == (None, None)

    async def test_an_email_is_503_with_one_warning_with_the_fix(
        self, database: Database, auth_for: MakeAuthFor, who: SignedIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        database.execute('UPDATE "user" SET email = NULL')
        auth = auth_for(database.dsn)
        for _ in range(3):
            with pytest.raises(SchemaError) as caught:
                await auth.validate_session(who.cookie_value)
            assert getattr(caught.value, "status_code", None) == 503
        [warning] = warnings(caplog)
        assert '"public"."user"."email" is NULL: write `email: str | None` in' in warning
        assert auth.counters["unreadable"] == 0

    async def test_an_own_field_is_503_too(
        self, database: Database, auth_for: MakeAuthFor, who: SignedIn, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Member(AuthUser):
            plan: str
            seats: int

        database.execute("""ALTER TABLE "user" ADD plan text, ADD seats text DEFAULT 'many'""")
        with pytest.raises(SchemaError):
            await auth_for(database.dsn, user_model=Member).validate_session(who.cookie_value)
        [warning] = warnings(caplog)
        assert '"public"."user"."plan" is NULL: write `plan: str | None` in Member' in warning
        assert '"public"."user"."seats" does not fit Member.seats: Input should be a valid integer' in warning
        assert "write `seats: str` in Member" in warning
        assert "many" not in warning

    async def test_an_expiry_is_in_the_past(self, database: Database, auth_for: MakeAuthFor, who: SignedIn) -> None:
        # In JavaScript, `null < new Date()`.
        database.execute("ALTER TABLE session ALTER expires_at DROP NOT NULL; UPDATE session SET expires_at = NULL")
        auth = auth_for(database.dsn)
        assert await auth.validate_session(who.cookie_value) is None
        assert auth.counters["expired"] == 1


EXPIRY_TYPES = {
    "timestamptz": "'{0}'",
    "timestamp": "'{0}'",
    "bigint": "extract(epoch FROM timestamptz '{0}') * 1000",
    "numeric": "extract(epoch FROM timestamptz '{0}') * 1000",
    "numeric(20, 4)": "extract(epoch FROM timestamptz '{0}') * 1000",
    "double precision": "extract(epoch FROM timestamptz '{0}') * 1000",
    "text": "to_char(timestamptz '{0}' AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
    "varchar": "(timestamptz '{0}')::text",
}


class TestBans:
    @pytest.mark.parametrize("expiry_type", EXPIRY_TYPES)
    async def test_an_expiry_of_any_type_that_was_ever_documented_is_read(
        self, database: Database, auth_for: MakeAuthFor, expiry_type: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        banned, lapsed, forever, never = (database.sign_in() for _ in range(4))
        database.execute(f'ALTER TABLE "user" ADD banned boolean, ADD "banExpires" {expiry_type}')
        soon = datetime.now(UTC)
        times = {banned: soon + timedelta(hours=1), lapsed: soon - timedelta(hours=1)}
        for who, time in times.items():
            value = EXPIRY_TYPES[expiry_type].format(time.isoformat())
            database.execute(f"""
                SET timezone = 'UTC';
                UPDATE "user" SET banned = true, "banExpires" = {value} WHERE id = '{who.user_id}'
            """)
        database.execute(f"UPDATE \"user\" SET banned = true WHERE id = '{forever.user_id}'")
        auth = auth_for(database.dsn)
        found = [await auth.validate_session(who.cookie_value) for who in (banned, lapsed, forever, never)]
        assert [identity is not None for identity in found] == [False, True, False, True]
        assert warnings(caplog) == []

    async def test_beside_a_column_of_the_applications_own_better_auths_is_read(
        self, database: Database, auth_for: MakeAuthFor
    ) -> None:
        banned, lapsed = database.sign_in(), database.sign_in()
        database.execute(f"""
            ALTER TABLE "user" ADD banned boolean, ADD "banExpires" timestamptz, ADD ban_expires jsonb;
            UPDATE "user" SET banned = true, "banExpires" = now() + interval '1 hour' WHERE id = '{banned.user_id}';
            UPDATE "user" SET banned = true, "banExpires" = now() - interval '1 hour' WHERE id = '{lapsed.user_id}'
        """)
        auth = auth_for(database.dsn)
        assert await auth.validate_session(banned.cookie_value) is None
        assert await auth.validate_session(lapsed.cookie_value)

    @pytest.mark.parametrize("value", ["'never'", "''", "'infinity'", "'31/12/2019'", "'1000'"])
    async def test_an_expiry_that_cannot_be_read_is_none(
        self, database: Database, auth_for: MakeAuthFor, value: str
    ) -> None:
        banned = database.sign_in()
        database.execute(f"""
            ALTER TABLE "user" ADD banned boolean, ADD ban_expires text;
            UPDATE "user" SET banned = true, ban_expires = {value}
        """)
        other = database.sign_in()
        auth = auth_for(database.dsn)
        assert await auth.validate_session(banned.cookie_value) is None
        assert await auth.validate_session(other.cookie_value)
        assert auth.counters["banned"] == 1

    @pytest.mark.parametrize("time", ["infinity", "-infinity", "294276-01-01"])
    async def test_an_expiry_at_infinity_is_none(self, database: Database, auth_for: MakeAuthFor, time: str) -> None:
        banned = database.sign_in()
        database.execute(f"""
            ALTER TABLE "user" ADD banned boolean, ADD ban_expires timestamptz;
            UPDATE "user" SET banned = true, ban_expires = '{time}'
        """)
        auth = auth_for(database.dsn)
        assert await auth.validate_session(banned.cookie_value) is None
        assert auth.counters["banned"] == 1

    @pytest.mark.parametrize("columns", ["banned integer DEFAULT 1", "banned text DEFAULT 'no'", "banned timestamptz"])
    async def test_an_applications_own_column_of_that_name_is_ignored_with_one_warning(
        self, database: Database, auth_for: MakeAuthFor, columns: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        who = database.sign_in()
        database.execute(f'ALTER TABLE "user" ADD {columns}, ADD ban_expires timestamptz DEFAULT now()')
        auth = auth_for(database.dsn)
        await auth.open()
        for _ in range(3):
            assert await auth.validate_session(who.cookie_value)
        [warning] = warnings(caplog)
        assert '"public"."user"."banned" is not read' in warning
        assert "bans are not enforced" in warning

    @pytest.mark.parametrize("expiry_type", ["boolean", "jsonb", "interval", "text[]"])
    async def test_a_ban_with_an_expiry_of_another_type_does_not_expire(
        self, database: Database, auth_for: MakeAuthFor, expiry_type: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        banned, other = database.sign_in(), database.sign_in()
        database.execute(f"""
            ALTER TABLE "user" ADD banned boolean, ADD ban_expires {expiry_type};
            UPDATE "user" SET banned = true WHERE id = '{banned.user_id}'
        """)
        auth = auth_for(database.dsn)
        await auth.open()
        assert await auth.validate_session(banned.cookie_value) is None
        assert await auth.validate_session(other.cookie_value)
        [warning] = warnings(caplog)
        assert "bans do not expire" in warning


class TestTimesWithoutZone:
    """Local times of the Better Auth server, as node-postgres writes them."""

    @pytest.mark.parametrize("zone", ["America/Los_Angeles", "Europe/Berlin", "Asia/Kolkata", "UTC"])
    async def test_are_read_in_the_zone_of_the_setting(
        self, empty_database: Database, auth_for: MakeAuthFor, zone: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        tokens = [new_token(), new_token()]
        now = datetime.now(UTC)
        empty_database.execute(tables.plain(time="timestamp"))
        for token, minutes in zip(tokens, (-1, 1), strict=True):
            empty_database.execute(tables.person(token, token))
            empty_database.execute(f"""
                SET timezone = '{zone}';
                UPDATE session SET created_at = timestamptz '{now}',
                    expires_at = timestamptz '{now + timedelta(minutes=minutes)}' WHERE token = '{token}'
            """)
        auth = auth_for(empty_database.dsn, database_time_zone=zone)
        over, valid = [await auth.validate_session(signed(token)) for token in tokens]
        assert over is None
        assert valid
        assert valid.session.expires_at == now + timedelta(minutes=1)
        assert valid.session.created_at == now
        assert warnings(caplog) == []

    async def test_a_zone_that_a_row_contradicts_is_one_warning_with_the_fix(
        self, empty_database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = new_token()
        empty_database.execute(tables.plain(time="timestamp") + tables.person("u1", token))
        empty_database.execute("SET timezone = 'Asia/Tokyo'; UPDATE session SET created_at = now()")
        auth = auth_for(empty_database.dsn)
        for _ in range(3):
            assert await auth.validate_session(signed(token))
        [warning] = warnings(caplog)
        assert '"public"."session"."created_at" has no time zone' in warning
        assert "AUTH_MIDDLEWARE_DATABASE_TIME_ZONE" in warning
        assert 'ALTER TABLE "public"."session" ALTER COLUMN "created_at" TYPE timestamptz USING' in warning

    async def test_times_with_a_zone_need_no_setting(
        self, empty_database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
    ) -> None:
        token = new_token()
        empty_database.execute(tables.plain() + tables.person("u1", token))
        empty_database.execute("UPDATE session SET created_at = now() + interval '1 day'")
        identity = await auth_for(empty_database.dsn, database_time_zone="Asia/Tokyo").validate_session(signed(token))
        assert identity
        assert identity.session.expires_at == datetime(2999, 1, 1, tzinfo=UTC)
        assert warnings(caplog) == []

    def test_an_unknown_zone_is_an_error(self, auth_for: MakeAuthFor) -> None:
        with pytest.raises(ConfigurationError, match=r'"Mars/Olympus".*"Europe/Berlin"'):
            auth_for("postgresql://app@localhost/app", database_time_zone="Mars/Olympus")


class Aliased(AuthUser):
    given: str = Field(alias="first_name")
    family: str = Field(validation_alias=AliasChoices("familyName", "last_name"))
    role: str | None = Field(default=None, alias="no_such_column")


class Camel(AuthUser):
    model_config = ConfigDict(alias_generator=to_camel)
    favourite_colour: str


class AliasedSession(AuthSession):
    org: str | None = Field(alias="activeOrganizationId")


class TestNames:
    async def test_an_alias_is_used_if_there_is_no_column_with_the_fields_name(
        self, database: Database, auth_for: MakeAuthFor
    ) -> None:
        who = database.sign_in()
        database.execute("""
            ALTER TABLE "user" ADD first_name text DEFAULT 'Ada', ADD last_name text DEFAULT 'Lovelace',
                ADD role text DEFAULT 'admin', ADD "favouriteColour" text DEFAULT 'red';
            ALTER TABLE session ADD "activeOrganizationId" text DEFAULT 'acme'
        """)
        identity = await auth_for(database.dsn, user_model=Aliased).validate_session(who.cookie_value)
        assert identity
        assert (identity.user.given, identity.user.family, identity.user.role) == ("Ada", "Lovelace", "admin")
        identity = await auth_for(database.dsn, user_model=Camel).validate_session(who.cookie_value)
        assert identity
        assert (identity.user.favourite_colour, identity.user.email) == ("red", who.email)
        auth: Auth[Any, Any] = auth_for(database.dsn, session_model=AliasedSession)
        found = await auth.validate_session(who.cookie_value)
        assert found
        assert found.session.org == "acme"

    async def test_an_error_in_an_aliased_field_has_its_column(
        self, database: Database, auth_for: MakeAuthFor, caplog: pytest.LogCaptureFixture
    ) -> None:
        who = database.sign_in()
        database.execute('ALTER TABLE "user" ADD "favouriteColour" text')
        with pytest.raises(SchemaError):
            await auth_for(database.dsn, user_model=Camel).validate_session(who.cookie_value)
        [warning] = warnings(caplog)
        assert '"public"."user"."favouriteColour" is NULL: write `favourite_colour: str | None` in Camel' in warning

    @pytest.mark.parametrize("key", ["emailVerified", "email_verified"])
    async def test_keys_of_renamed_columns_may_be_spelled_as_better_auth_does(
        self, database: Database, auth_for: MakeAuthFor, key: str
    ) -> None:
        who = database.sign_in()
        database.execute("""
            ALTER TABLE "user" RENAME email_verified TO checked;
            ALTER TABLE session RENAME expires_at TO ends;
        """)
        auth = auth_for(database.dsn, user_columns={key: "checked"}, session_columns={"expiresAt": "ends"})
        assert await auth.validate_session(who.cookie_value)

    @pytest.mark.parametrize("setting", ["user_columns", "session_columns", "jwks_columns"])
    @pytest.mark.parametrize("key", ["emial", "email_Verified", "", "password"])
    def test_an_unknown_key_is_an_error(self, auth_for: MakeAuthFor, setting: str, key: str) -> None:
        with pytest.raises(ConfigurationError, match=f"AUTH_MIDDLEWARE_{setting.upper()}.*{key!r}".replace("'", '"')):
            auth_for("postgresql://app@localhost/app", **{setting: {key: "x"}})

    def test_a_duplicate_field_is_an_error(self, auth_for: MakeAuthFor) -> None:
        columns = {"emailVerified": "a", "email_verified": "b"}
        with pytest.raises(ConfigurationError, match="email_verified twice"):
            auth_for("postgresql://app@localhost/app", user_columns=columns)

    async def test_prismas_tables_without_a_map_are_found(
        self, camel_database: Database, auth_for: MakeAuthFor
    ) -> None:
        token = new_token()
        camel_database.execute(f"""
            INSERT INTO "user" (id, name, email, "emailVerified") VALUES ('u1', 'Ada', 'ada@example.com', true);
            INSERT INTO session (id, "userId", token, "expiresAt", "updatedAt")
            VALUES ('s1', 'u1', '{token}', '2999-01-01', now());
            ALTER TABLE "user" RENAME TO "User"; ALTER TABLE session RENAME TO "Session";
        """)
        assert await auth_for(camel_database.dsn).validate_session(signed(token))

    async def test_the_error_for_another_table_of_that_name_lists_suitable_tables(
        self, database: Database, auth_for: MakeAuthFor
    ) -> None:
        who = database.sign_in()
        database.execute("""
            ALTER TABLE session RENAME TO auth_sessions; ALTER TABLE "user" RENAME TO auth_users;
            CREATE TABLE sessions (id text, data jsonb); CREATE TABLE users (id int, password text);
        """)
        with pytest.raises(SchemaError) as caught:
            await auth_for(database.dsn).open()
        for model in ("session", "user"):
            fits = f'"public"."auth_{model}s" fits the {model} table: set AUTH_MIDDLEWARE_{model.upper()}_TABLE'
            assert f"{fits} to auth_{model}s" in str(caught.value)
        named = {"session_table": "auth_sessions", "user_table": "auth_users"}
        assert await auth_for(database.dsn, **named).validate_session(who.cookie_value)

    async def test_the_error_lists_tables_with_another_name_and_schema(
        self, database: Database, auth_for: MakeAuthFor
    ) -> None:
        database.execute("""
            CREATE SCHEMA auth; ALTER TABLE session SET SCHEMA auth; ALTER TABLE auth.session RENAME TO logins
        """)
        with pytest.raises(SchemaError) as caught:
            await auth_for(database.dsn).open()
        settings = "AUTH_MIDDLEWARE_SESSION_TABLE to logins and AUTH_MIDDLEWARE_SCHEMA to auth"
        assert f'"auth"."logins" fits the session table: set {settings}' in str(caught.value)
        assert "AUTH_MIDDLEWARE_USER_TABLE" not in str(caught.value)


async def test_the_error_does_not_list_tables_that_the_role_may_not_read(
    database: Database, auth_for: MakeAuthFor, role: Role
) -> None:
    database.execute(f'ALTER TABLE session RENAME TO logins; GRANT SELECT ON "user" TO {role.name}')
    with pytest.raises(SchemaError) as caught:
        await auth_for(role.dsn(database)).open(strict=True)
    assert "logins" not in str(caught.value)
