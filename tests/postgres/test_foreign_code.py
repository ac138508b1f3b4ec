"""Code of another database role does not run as ours, and another role's tables are not taken for the known ones.

Each attack succeeded before: on the lookup, or on a migration that a superuser runs.
"""

from collections.abc import Callable
from importlib.resources import files

import pytest

from auth_middleware import SchemaError
from auth_middleware._core import Migrations
from dev.cookies import new_token, signed
from dev.postgres import DEBIAN_15, EmbeddedPostgres, execute
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support.databases import TABLES, Database

CAUGHT = "CREATE TABLE public.caught (role name); GRANT INSERT ON public.caught TO PUBLIC;"
TABLES_SQL = TABLES.read_text()
STACK_AUTH = files("auth_middleware").joinpath("migrations", "migrate_stack_auth.sql").read_text(encoding="utf-8")
USERS_SYNC = """
CREATE SCHEMA IF NOT EXISTS neon_auth;
CREATE TABLE neon_auth.users_sync (raw_json {raw_json}, id {id}, name text, email text, created_at timestamptz,
                                   updated_at timestamptz, deleted_at timestamptz);
"""


def trap(name: str, arguments: str, returns: str, value: str) -> str:
    """A function that records the role as which it runs."""
    return f"""
        CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN {value}; END $$;
    """


def caught(database: Database) -> list[str]:
    return [str(role) for (role,) in database.fetch("SELECT DISTINCT role FROM public.caught")]


def sign_in(database: Database, schema: str = "public", user_id: str = "u1", token: str | None = None) -> str:
    token = token or new_token()
    database.execute(f"""
        INSERT INTO {schema}."user" (id, name, email) VALUES ('{user_id}', 'a', '{user_id}@example.com');
        INSERT INTO {schema}.session (id, user_id, token, expires_at)
            VALUES ('s', '{user_id}', '{token}', now() + interval '1 hour');
    """)
    return token


@pytest.fixture
def reader(make_role: Callable[..., Role]) -> Role:
    """The application's role."""
    return make_role()


async def test_a_cast_of_an_enum_to_text_is_not_used(
    empty_database: Database, auth_for: MakeAuthFor, role: Role, reader: Role
) -> None:
    empty_database.execute(f"""
        {CAUGHT} CREATE SCHEMA types AUTHORIZATION {role.name}; GRANT USAGE ON SCHEMA types TO PUBLIC; {TABLES_SQL}
        GRANT SELECT ON "user", session TO {reader.name};
    """)
    execute(role.dsn(empty_database), "CREATE TYPE types.e AS ENUM ('a')")
    empty_database.execute("""ALTER TABLE "user" ALTER name TYPE types.e USING 'a'::types.e""")
    execute(
        role.dsn(empty_database),
        trap("types.f", "types.e", "text", "'Mallory'")
        + "CREATE CAST (types.e AS text) WITH FUNCTION types.f(types.e)",
    )
    identity = await auth_for(reader.dsn(empty_database)).validate_session(signed(sign_in(empty_database)))
    assert identity
    assert identity.user.name == "a"
    assert caught(empty_database) == []


@pytest.mark.needs("postgresql-15")
async def test_an_operator_for_a_domain_and_its_base_type_is_not_used(auth_for: MakeAuthFor) -> None:
    # Debian's PostgreSQL has citext.
    with EmbeddedPostgres(programs=DEBIAN_15) as postgres:
        database = Database(postgres.create_database("domains"))
        database.execute(f"""
            {CAUGHT} CREATE EXTENSION citext; CREATE ROLE stranger; GRANT CREATE ON SCHEMA public TO stranger;
            {TABLES_SQL} CREATE DOMAIN public.token AS public.citext;
            ALTER TABLE session ALTER token TYPE public.token;
        """)
        token = sign_in(database)
        database.execute(
            "SET ROLE stranger;"
            + trap("public.equal", "public.token, public.citext", "boolean", "true")
            + "CREATE OPERATOR public.= (LEFTARG = public.token, RIGHTARG = public.citext, FUNCTION = public.equal)"
        )
        auth = auth_for(database.dsn)
        identity = await auth.validate_session(signed(token))
        await auth.close()
        assert identity
        assert caught(database) == []


async def test_a_running_process_does_not_move_to_another_roles_tables(
    empty_database: Database, auth_for: MakeAuthFor, make_role: Callable[..., Role], reader: Role
) -> None:
    owner, mallory = make_role(), make_role()
    empty_database.execute(f"""
        CREATE SCHEMA s1 AUTHORIZATION {owner.name}; CREATE SCHEMA s2 AUTHORIZATION {mallory.name};
        GRANT USAGE ON SCHEMA s1, s2 TO {reader.name};
        ALTER ROLE {reader.name} SET search_path = s1, s2;
    """)
    grant = f'GRANT SELECT ON "user", session TO {reader.name}'
    for role, schema in ((owner, "s1"), (mallory, "s2")):
        execute(role.dsn(empty_database), f"SET search_path = {schema}; {TABLES_SQL}")
    execute(owner.dsn(empty_database), f"SET search_path = s1; {grant}")
    token = sign_in(empty_database, "s1", "mallory")
    sign_in(empty_database, "s2", "admin", token)
    auth = auth_for(reader.dsn(empty_database))
    identity = await auth.validate_session(signed(token))
    assert identity
    assert identity.user.id == "mallory"
    execute(owner.dsn(empty_database), f'REVOKE SELECT ON s1."user", s1.session FROM {reader.name}')
    execute(mallory.dsn(empty_database), f"SET search_path = s2; {grant}")
    for _ in range(2):
        with pytest.raises(SchemaError):
            await auth.validate_session(signed(token))


def migrations(database: Database, schema: str = "public") -> Migrations:
    return Migrations(database.dsn, schema, None, None, {}, {})


async def test_stack_auth_reads_no_columns_of_another_roles_types(empty_database: Database, role: Role) -> None:
    empty_database.execute(f"{CAUGHT} {TABLES_SQL} CREATE SCHEMA neon_auth AUTHORIZATION {role.name};")
    execute(
        role.dsn(empty_database),
        "CREATE TYPE neon_auth.e AS ENUM ('x1');"
        + trap("neon_auth.f", "neon_auth.e", "text", "'id1'")
        + "CREATE CAST (neon_auth.e AS text) WITH FUNCTION neon_auth.f(neon_auth.e);"
        + USERS_SYNC.partition(";")[2].format(raw_json="jsonb", id="neon_auth.e")
        + "INSERT INTO neon_auth.users_sync VALUES ('{}', 'x1', 'n', 'a@example.com', now(), now(), NULL)",
    )
    with pytest.raises(SchemaError, match="type that is not PostgreSQL's own"):
        await migrations(empty_database).apply("stack_auth", STACK_AUTH)
    assert caught(empty_database) == []


@pytest.mark.parametrize("raw_json", ["json", "jsonb", "text"])
async def test_stack_auth_reads_a_verification_from_any_type_of_raw_json(
    empty_database: Database, raw_json: str
) -> None:
    empty_database.execute(f"""
        {TABLES_SQL} {USERS_SYNC.format(raw_json=raw_json, id="text")}
        INSERT INTO neon_auth.users_sync VALUES
            ('{{"primary_email_verified": false}}', 'x1', 'n', 'a@example.com', now(), now(), NULL),
            ('{{"primary_email_verified": true}}', 'x2', 'n', 'b@example.com', now(), now(), NULL);
    """)
    await migrations(empty_database).apply("stack_auth", STACK_AUTH)
    verified = empty_database.fetch('SELECT id, email_verified FROM "user" ORDER BY id')
    assert verified == [("x1", False), ("x2", True)]


COMPUTED = {
    "default": "z text DEFAULT (pg_catalog.ts_rewrite('a'::tsquery, "
    "'SELECT ''a''::tsquery, ''b''::tsquery FROM app.f()'))::text",
    "check": "z text CHECK (pg_catalog.query_to_xml('SELECT app.f()', true, false, '') IS NULL OR z IS NULL)",
}


@pytest.mark.parametrize("column", COMPUTED)
async def test_a_record_with_code_of_its_owner_is_not_written(
    empty_database: Database, role: Role, column: str
) -> None:
    empty_database.execute(f"{CAUGHT} CREATE SCHEMA app AUTHORIZATION {role.name};")
    execute(
        role.dsn(empty_database),
        f"SET search_path = app; {TABLES_SQL}"
        + trap("app.f", "", "int", "1")
        + f"""CREATE TABLE app.auth_middleware_migration (
                  name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now(), {COMPUTED[column]})""",
    )
    with pytest.raises(SchemaError, match="computed default, a check constraint"):
        await migrations(empty_database, "app").apply_live()
    assert caught(empty_database) == []


async def test_migrate_tables_does_not_adopt_a_strangers_tables(empty_database: Database, role: Role) -> None:
    empty_database.execute(f"GRANT CREATE ON SCHEMA public TO {role.name}")
    execute(role.dsn(empty_database), TABLES_SQL)
    with pytest.raises(SchemaError, match=f"belongs to the role {role.name}"):
        await migrations(empty_database).apply("tables", TABLES_SQL)


async def test_the_trace_can_be_written_for_a_user_table_of_another_owner(
    empty_database: Database, make_role: Callable[..., Role]
) -> None:
    owner, other = make_role(), make_role()
    empty_database.execute(f"""
        {TABLES_SQL} ALTER TABLE session OWNER TO {owner.name}; ALTER TABLE "user" OWNER TO {other.name};
    """)
    named = Migrations(empty_database.dsn, "public", "user", "session", {}, {})
    assert await named.apply_live()
    may_insert = "SELECT has_table_privilege(%s, c.oid, 'INSERT') FROM pg_class AS c WHERE relname LIKE %s"
    assert empty_database.fetch(may_insert, other.name, "auth_middleware_%_suppressed") == [(True,)]
