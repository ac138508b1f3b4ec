"""The minimal privileges suffice, and a missing one is an error, not an unknown session."""

from collections.abc import Callable

import pytest

from auth_middleware import SchemaError
from dev.cookies import new_token, signed
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support.databases import Database

SESSION_COLUMNS = "id, user_id, token, expires_at, ip_address, user_agent, created_at, updated_at"
USER_COLUMNS = "id, name, email, email_verified, image, created_at, updated_at"

HIDDEN = r'row-level security hides rows of "public"\."session" from our role: CREATE POLICY .* USING \(true\)'
SHOWS_ALL = "CREATE POLICY all_rows ON session FOR SELECT USING (true)"


@pytest.fixture
def reader(database: Database, role: Role) -> Role:
    """A role that may only read the two tables."""
    database.execute(f"""
        REVOKE ALL ON DATABASE "{database.name}" FROM PUBLIC;
        GRANT CONNECT ON DATABASE "{database.name}" TO {role.name};
        GRANT SELECT ON "user", session TO {role.name};
    """)
    return role


async def test_select_on_the_two_tables_is_enough(database: Database, auth_for: MakeAuthFor, reader: Role) -> None:
    who = database.sign_in()
    database.execute(f"ALTER ROLE {reader.name} SET default_transaction_read_only = on")
    assert await auth_for(reader.dsn(database)).validate_session(who.cookie_value)


async def test_select_on_the_columns_that_are_read_is_enough(
    database: Database, auth_for: MakeAuthFor, role: Role
) -> None:
    who = database.sign_in()
    database.execute(f"""
        ALTER TABLE "user" ADD password_hint text;
        GRANT SELECT ({USER_COLUMNS}) ON "user" TO {role.name};
        GRANT SELECT ({SESSION_COLUMNS}) ON session TO {role.name};
    """)
    assert await auth_for(role.dsn(database)).validate_session(who.cookie_value)


async def refusal(auth_for: MakeAuthFor, dsn: str, **settings: str) -> str:
    with pytest.raises(SchemaError) as caught:
        await auth_for(dsn, **settings).open()
    return str(caught.value)


async def test_a_table_that_may_not_be_read_is_one_line_with_the_grant(
    database: Database, auth_for: MakeAuthFor, role: Role
) -> None:
    database.execute(f'GRANT SELECT ON "user" TO {role.name}')
    said = await refusal(auth_for, role.dsn(database))
    grant = f'GRANT SELECT ON "public"."session" TO "{role.name}"'
    assert said == f'Better Auth\'s tables cannot be read: "public"."session" may not be read: {grant}'
    database.execute(grant)
    await auth_for(role.dsn(database)).open()


async def test_two_tables_that_may_not_be_read_are_one_line_too(
    database: Database, auth_for: MakeAuthFor, role: Role
) -> None:
    said = await refusal(auth_for, role.dsn(database))
    assert said.count("GRANT") == 1
    database.execute("GRANT" + said.partition("GRANT")[2])
    await auth_for(role.dsn(database)).open()


async def test_a_few_columns_that_may_not_be_read_are_named_in_the_grant(
    database: Database, auth_for: MakeAuthFor, role: Role
) -> None:
    session_columns = SESSION_COLUMNS.replace("ip_address, user_agent, ", "")
    database.execute(f"""
        GRANT SELECT ({USER_COLUMNS}) ON "user" TO {role.name};
        GRANT SELECT ({session_columns}) ON session TO {role.name};
    """)
    said = await refusal(auth_for, role.dsn(database))
    grant = f'GRANT SELECT ("ip_address", "user_agent") ON "public"."session" TO "{role.name}"'
    assert said.endswith(f'"public"."session" may not be read: {grant}')
    database.execute(grant)
    await auth_for(role.dsn(database)).open()


@pytest.mark.parametrize("settings", [{}, {"schema": "public"}])
async def test_a_schema_that_may_not_be_used_is_an_error(
    database: Database, auth_for: MakeAuthFor, reader: Role, settings: dict[str, str]
) -> None:
    database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    said = await refusal(auth_for, reader.dsn(database), **settings)
    assert f'GRANT USAGE ON SCHEMA "public" TO "{reader.name}"' in said


@pytest.mark.parametrize(
    "policies",
    [
        "",
        "CREATE POLICY few ON session USING (ip_address IS NOT NULL)",
        "CREATE POLICY writing ON session FOR UPDATE USING (true)",
        "CREATE POLICY others ON session TO pg_monitor USING (true)",
        f"{SHOWS_ALL}; CREATE POLICY narrow ON session AS RESTRICTIVE USING (ip_address IS NOT NULL)",
    ],
)
async def test_row_level_security_that_can_hide_rows_is_an_error(
    database: Database, auth_for: MakeAuthFor, reader: Role, policies: str
) -> None:
    who = database.sign_in()
    database.execute(f"ALTER TABLE session ENABLE ROW LEVEL SECURITY; {policies}")
    auth = auth_for(reader.dsn(database))
    with pytest.raises(SchemaError, match=HIDDEN):
        await auth.open()
    with pytest.raises(SchemaError):
        await auth.validate_session(who.cookie_value)


async def test_row_level_security_of_the_user_table_is_checked_too(
    database: Database, auth_for: MakeAuthFor, reader: Role
) -> None:
    database.execute('ALTER TABLE "user" ENABLE ROW LEVEL SECURITY')
    with pytest.raises(SchemaError, match=HIDDEN.replace("session", "user")):
        await auth_for(reader.dsn(database)).open()


@pytest.mark.parametrize(
    "policies",
    [
        SHOWS_ALL,
        "CREATE POLICY all_rows ON session USING (true)",
        "CREATE POLICY all_rows ON session FOR SELECT TO {role} USING (true)",
        f"{SHOWS_ALL}; CREATE POLICY few ON session USING (ip_address IS NOT NULL)",
        f"{SHOWS_ALL}; CREATE POLICY others ON session AS RESTRICTIVE TO pg_monitor USING (false)",
    ],
)
async def test_row_level_security_that_hides_no_row_is_accepted(
    database: Database, auth_for: MakeAuthFor, reader: Role, policies: str
) -> None:
    who = database.sign_in()
    database.execute(f"ALTER TABLE session ENABLE ROW LEVEL SECURITY; {policies.format(role=reader.name)}")
    assert await auth_for(reader.dsn(database)).validate_session(who.cookie_value)


async def test_row_level_security_does_not_apply_to_a_role_that_bypasses_it(
    database: Database, auth_for: MakeAuthFor, make_role: Callable[..., Role]
) -> None:
    who = database.sign_in()
    role = make_role("BYPASSRLS")
    database.execute(f"""
        GRANT SELECT ON "user", session TO {role.name};
        ALTER TABLE session ENABLE ROW LEVEL SECURITY; ALTER TABLE session FORCE ROW LEVEL SECURITY;
    """)
    assert await auth_for(role.dsn(database)).validate_session(who.cookie_value)


async def test_row_level_security_applies_to_the_owner_only_if_forced(
    database: Database, auth_for: MakeAuthFor, reader: Role
) -> None:
    who = database.sign_in()
    database.execute(f"""
        ALTER TABLE session OWNER TO {reader.name}; ALTER TABLE "user" OWNER TO {reader.name};
        ALTER TABLE session ENABLE ROW LEVEL SECURITY;
    """)
    assert await auth_for(reader.dsn(database)).validate_session(who.cookie_value)
    database.execute("ALTER TABLE session FORCE ROW LEVEL SECURITY")
    with pytest.raises(SchemaError, match=HIDDEN):
        await auth_for(reader.dsn(database)).open()


async def test_a_revoked_privilege_is_an_error_not_an_unknown_session(
    database: Database, auth_for: MakeAuthFor, reader: Role
) -> None:
    who = database.sign_in()
    auth = auth_for(reader.dsn(database))
    assert await auth.validate_session(who.cookie_value)
    database.execute(f"REVOKE SELECT ON session FROM {reader.name}")
    with pytest.raises(SchemaError):
        await auth.validate_session(who.cookie_value)


@pytest.mark.parametrize("table", ["session", "user"])
async def test_row_level_security_enabled_while_running_is_an_error_not_an_unknown_session(
    database: Database, auth_for: MakeAuthFor, reader: Role, table: str
) -> None:
    who = database.sign_in()
    auth = auth_for(reader.dsn(database))
    assert await auth.validate_session(who.cookie_value)
    database.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
    with pytest.raises(SchemaError):
        await auth.validate_session(who.cookie_value)


async def test_row_level_security_enabled_while_running_that_hides_no_row_is_accepted(
    database: Database, auth_for: MakeAuthFor, reader: Role
) -> None:
    who = database.sign_in()
    auth = auth_for(reader.dsn(database))
    assert await auth.validate_session(who.cookie_value)
    database.execute(f"{SHOWS_ALL}; ALTER TABLE session ENABLE ROW LEVEL SECURITY")
    assert await auth.validate_session(who.cookie_value)
    assert await auth.validate_session(signed(new_token())) is None
