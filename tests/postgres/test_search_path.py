"""Nothing that another role puts on the search path runs with our rights, or with those of a superuser who migrates.

CVE-2018-1058; FIELD.md, "What must not happen", 10.
"""

import asyncio
import re
from collections.abc import Callable
from contextlib import closing, suppress

import psycopg
import pytest

from auth_middleware import SchemaError
from auth_middleware._core import Migrations
from auth_middleware.cli.migrate import MIGRATIONS
from dev.cookies import new_token, signed
from dev.postgres_proxies import counting_proxy
from tests.postgres.conftest import MakeAuthFor, Role
from tests.support import tables
from tests.support.databases import Database
from tests.support.live import QUICK, MakeLive, migrate_live
from tests.support.polling import until

# With pg_catalog last, whatever stands in public comes first, even for the very same types.
PATH = "options=-c%20search_path%3Dpublic%2Cpg_catalog"

# A sequence remembers although the transaction is rolled back.
CAUGHT = """
    CREATE SEQUENCE public.tripped;
    CREATE TABLE public.caught (what text, by name DEFAULT current_user, number bigint DEFAULT nextval('tripped'));
    GRANT INSERT ON public.caught TO PUBLIC;
    GRANT USAGE ON public.tripped TO PUBLIC;
"""

# Everything of these names that PostgreSQL has, planted in public with the same arguments, and for types that it has to
# convert. Each says that it ran, and as whom.
TRAPS = r"""
-- Our own traps are not for us.
SET search_path = pg_catalog;
DO $plant$
DECLARE
    planted record;
    body text;
BEGIN
    CREATE DOMAIN public.secret_text AS pg_catalog.text;
    FOR planted IN
        SELECT p.proname, p.proretset,
               pg_catalog.format_type(p.prorettype, NULL) AS returns,
               ARRAY(SELECT CASE t WHEN '"any"'::regtype THEN 'text' ELSE format_type(t, NULL) END
                     FROM unnest(p.proargtypes) AS t) AS arguments
        FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind <> 'p'
          AND (p.proname ~ '^(has_|pg_get_|pg_has|array_|to_|current_|row_sec|pg_is_in|pg_notif|pg_adv|set_config|txid)'
               OR p.proname = ANY ('{unnest,format,format_type,quote_ident,concat,concat_ws,encode,sha256,convert_to,
                                     now,btrim,lower,left,host,inet_client_addr,inet_client_port,starts_with,
                                     row_security_active,pg_backend_pid}'))
        UNION ALL
        SELECT name, false, 'text', arguments FROM (VALUES
            ('format', '{text,text}'::text[]), ('format', '{text,name,name}'), ('format', '{text,bigint,bigint}'),
            ('concat', '{text,text}'), ('concat_ws', '{text,text,oid}'), ('to_jsonb', '{text[]}'),
            ('to_jsonb', '{public.secret_text[]}'), ('image', '{public.session}'), ('ip_address', '{public.session}')
        ) AS v (name, arguments)
        UNION ALL
        SELECT 'unnest', true, 'text', '{text[]}'
        UNION ALL
        SELECT 'array_position', false, 'integer', '{name[],name}'
    LOOP
        body := format('BEGIN INSERT INTO public.caught (what) VALUES (%L); RETURN%s; END', planted.proname,
                       CASE WHEN planted.proretset THEN '' ELSE ' NULL' END);
        BEGIN
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS %s%s LANGUAGE plpgsql AS %L', planted.proname,
                           array_to_string(planted.arguments, ', '),
                           CASE WHEN planted.proretset THEN 'SETOF ' ELSE '' END, planted.returns, body);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    FOR planted IN
        SELECT o.oprname, format_type(o.oprleft, NULL) AS l, format_type(o.oprright, NULL) AS r,
               format_type(o.oprresult, NULL) AS result
        FROM pg_catalog.pg_operator AS o
        WHERE o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprkind = 'b'
          AND o.oprname = ANY ('{=,<>,<,>,<=,>=,||,~~,!~~}')
        UNION ALL
        SELECT name, l, r, CASE name WHEN '||' THEN 'text' ELSE 'boolean' END
        FROM unnest('{=,<>,||}'::text[]) AS name,
             unnest('{text,varchar,bpchar,name,smallint,integer,bigint,uuid,public.secret_text}'::text[]) AS l,
             unnest('{text,varchar,bpchar,name,smallint,integer,bigint,uuid,public.secret_text}'::text[]) AS r
    LOOP
        BEGIN
            EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS %s LANGUAGE plpgsql AS %L',
                           'trap_' || planted.result, planted.l, planted.r, planted.result,
                           'BEGIN INSERT INTO public.caught (what) VALUES (''operator''); RETURN NULL; END');
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        BEGIN
            EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.%I)',
                           planted.oprname, planted.l, planted.r, 'trap_' || planted.result);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
    CREATE FUNCTION public.catch() RETURNS bigint LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.caught (what) VALUES (''a relation''); RETURN NULL; END';
    FOR planted IN
        SELECT relname FROM pg_catalog.pg_class
        WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')
          AND relname ~ '^pg_(namespace|type|policy|language|inherits|settings)$'
    LOOP
        BEGIN
            EXECUTE format('CREATE VIEW public.%I AS SELECT *, public.catch() FROM pg_catalog.%1$I', planted.relname);
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
    END LOOP;
END $plant$
"""


class Attack:
    """A role that may create objects in public has planted traps there."""

    def __init__(self, database: Database, role: Role) -> None:
        self.database = database
        database.execute(CAUGHT)
        database.execute(f"GRANT CREATE ON SCHEMA public TO {role.name}; SET ROLE {role.name}; {TRAPS}")

    @property
    def dsn(self) -> str:
        return f"{self.database.dsn}?{PATH}"

    def is_caught_by(self, statement: str) -> bool:
        """The control: the same statement without its schemas falls into a trap."""
        stripped = re.sub(r"OPERATOR\(pg_catalog\.([^)]+)\)", r"\1", statement).replace("pg_catalog.", "")
        self.database.execute("ALTER SEQUENCE public.tripped RESTART")
        with closing(psycopg.connect(self.dsn, autocommit=True)) as connection, suppress(psycopg.Error):
            given = re.sub(r"\$[12]", "'{session}'", stripped)
            connection.execute(given.encode())
        self.database.execute("DELETE FROM public.caught")
        return self.is_tripped()

    def is_tripped(self) -> bool:
        [(is_tripped,)] = self.database.fetch("SELECT is_called FROM public.tripped")
        return bool(is_tripped)


@pytest.fixture
def attack(database: Database, role: Role) -> Attack:
    return Attack(database, role)


TOKEN_TYPES = ["text", "varchar(64)", "char(64)", "public.secret_text"]


@pytest.mark.parametrize("token_type", TOKEN_TYPES)
async def test_a_look_up_and_the_catalog_run_nothing_of_the_search_path(
    attack: Attack, auth_for: MakeAuthFor, token_type: str
) -> None:
    attack.database.execute(f"""
        ALTER TABLE session ALTER token TYPE {token_type};
        ALTER TABLE "user" ADD roles text[] DEFAULT '{{admin}}';
    """)
    people = [attack.database.sign_in() for _ in range(3)]
    with counting_proxy(attack.dsn) as proxy:
        auth = auth_for(proxy.dsn, pool_size=1)
        await auth.open()
        assert await auth.validate_session(people[0].cookie_value)
        # Several at once are a batch, which is another statement.
        found = await asyncio.gather(*(auth.validate_session(who.cookie_value) for who in people))
        assert [identity and identity.user.id for identity in found] == [who.user_id for who in people]
        assert await auth.validate_session(signed(new_token())) is None
        texts = proxy.texts
    assert not attack.is_tripped()
    selects = {text for text in texts if "pg_catalog" in text}
    assert len(selects) >= 3
    for text in selects:
        assert attack.is_caught_by(text), f"no trap for {text[:300]}"


async def test_heartbeats_and_the_check_run_nothing_of_the_search_path(attack: Attack, make_live: MakeLive) -> None:
    await migrate_live(attack.dsn)
    who = attack.database.sign_in()
    with counting_proxy(attack.dsn) as proxy:
        live = make_live(proxy.dsn, **QUICK)
        await live.wait_until_cached(who)
        attack.database.execute("DELETE FROM session")
        await live.wait_until_refused(who)
        heartbeats = {text for text in proxy.texts if "pg_notify(" in text}
        traces = {text for text in proxy.texts if "_suppressed" in text and "pg_notify(" not in text}
        await live.auth.close()
    assert not attack.is_tripped()
    assert heartbeats
    assert traces
    for text in heartbeats | traces:
        assert attack.is_caught_by(text), f"no trap for {text[:300]}"


async def test_a_column_that_is_dropped_does_not_become_a_function(attack: Attack, auth_for: MakeAuthFor) -> None:
    who = attack.database.sign_in()
    auth = auth_for(attack.dsn)
    assert await auth.validate_session(who.cookie_value)
    # `s.ip_address` would now be ip_address(s), which another role has put there.
    attack.database.execute("ALTER TABLE session DROP ip_address")
    with suppress(Exception):
        await auth.validate_session(who.cookie_value)
    assert not attack.is_tripped()
    assert attack.is_caught_by("SELECT s.ip_address FROM public.session AS s"), "the control"


USERS_SYNC = """
    CREATE SCHEMA neon_auth;
    CREATE TABLE neon_auth.users_sync (id text, name varchar, email varchar, raw_json jsonb DEFAULT '{}',
                                       created_at timestamptz, updated_at timestamptz, deleted_at timestamptz);
    INSERT INTO neon_auth.users_sync (id, name, email) VALUES ('s1', 'Ada', 'ada@example.com');
"""


async def test_migrations_run_nothing_of_the_search_path(empty_database: Database, role: Role) -> None:
    empty_database.execute(tables.plain())  # for the traps that take a whole row
    attack = Attack(empty_database, role)
    empty_database.execute(f'DROP TABLE "user", session CASCADE; {USERS_SYNC}')
    migrations = Migrations(attack.dsn, None)
    for name in ("tables", "rate_limit", "jwks", "stack_auth"):
        assert await migrations.apply(name, MIGRATIONS[name].sql) is not None, name
    assert sorted(await migrations.applied() or {}) == ["jwks", "rate_limit", "stack_auth", "tables"]
    assert await migrations.apply_live()
    assert (await migrations.live_state())[0] is None
    assert await migrations.take_back_live()
    assert not attack.is_tripped()
    assert empty_database.fetch('SELECT id FROM "user"') == [("s1",)]


@pytest.mark.parametrize("name", ["tables", "rate_limit", "jwks", "stack_auth"])
async def test_a_file_without_schemas_would_fall_into_a_trap(database: Database, role: Role, name: str) -> None:
    attack = Attack(database, role)
    database.execute(USERS_SYNC)
    sql = MIGRATIONS[name].sql
    assert attack.is_caught_by(sql), "the control: the traps of this test are good"


@pytest.mark.parametrize("schema", ["public", "auth"])
async def test_while_a_file_runs_the_search_path_is_the_target_schema(empty_database: Database, schema: str) -> None:
    empty_database.execute("CREATE SCHEMA IF NOT EXISTS auth")
    # `auth` is first on the path in one case, and given by a setting in the other.
    dsn = f"{empty_database.dsn}?options=-c%20search_path%3D{schema}%2Cpg_catalog"
    sql = "SELECT pg_catalog.current_setting('search_path')"
    assert await Migrations(dsn, None).apply("probe", sql) == [[f"{schema}, pg_temp"]]
    assert await Migrations(empty_database.dsn, "auth").apply("other", sql) == [["auth, pg_temp"]]


@pytest.fixture
def hostile(empty_database: Database, make_role: Callable[..., Role]) -> Role:
    """May create objects in public, and has a function that says as whom it ran."""
    role = make_role()
    empty_database.execute(f"""
        {CAUGHT}
        GRANT CREATE ON SCHEMA public TO {role.name};
        SET ROLE {role.name};
        CREATE FUNCTION public.note() RETURNS void LANGUAGE plpgsql AS
            'BEGIN INSERT INTO public.caught (what) VALUES (''ran''); END';
        CREATE FUNCTION public.catch() RETURNS text LANGUAGE plpgsql IMMUTABLE AS
            'BEGIN PERFORM public.note(); RETURN ''live''; END';
        CREATE FUNCTION public.catch_row() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO public.caught (what) VALUES (''ran''); RETURN NEW; END';
    """)
    return role


RECORD = "auth_middleware_migration (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()"
PLANTED = {
    "a view": "CREATE VIEW auth_middleware_migration AS SELECT public.catch() AS name, now() AS applied_at",
    "a table of its own": f"CREATE TABLE {RECORD})",
    "a partitioned table": f"CREATE TABLE {RECORD.replace(' PRIMARY KEY', '')}) PARTITION BY LIST (name)",
    "a trigger": f"""
        CREATE TABLE {RECORD});
        CREATE TRIGGER t BEFORE INSERT ON auth_middleware_migration FOR EACH ROW EXECUTE FUNCTION catch_row()""",
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("name", ["tables", "live"])
async def test_a_record_that_another_role_planted_is_refused(
    empty_database: Database, hostile: Role, kind: str, name: str
) -> None:
    empty_database.execute(tables.plain() if name == "live" else "")
    empty_database.execute(f"SET ROLE {hostile.name}; {PLANTED[kind]}")
    migrations = Migrations(empty_database.dsn, None)
    with pytest.raises(SchemaError, match="auth_middleware_migration"):
        await (migrations.apply_live() if name == "live" else migrations.apply(name, MIGRATIONS[name].sql))
    if kind == "a view":
        with pytest.raises(SchemaError, match="is not a plain table"):
            await migrations.applied()
    assert empty_database.fetch("SELECT is_called FROM tripped") == [(False,)]


# The schema belongs to the hostile role, so its tables do belong to the schema's owner; their code does not run.
OWN_SCHEMA = {
    "trigger": f"""
        CREATE TABLE {RECORD});
        CREATE TRIGGER t BEFORE INSERT ON auth_middleware_migration FOR EACH ROW EXECUTE FUNCTION public.catch_row()""",
    "condition of a trigger": f"""
        CREATE TABLE {RECORD});
        CREATE FUNCTION fine() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER t AFTER INSERT ON auth_middleware_migration FOR EACH ROW WHEN (public.catch() = NEW.name)
        EXECUTE FUNCTION fine()""",
    "default": f"CREATE TABLE {RECORD}, more text DEFAULT public.catch())",
    "check": f"CREATE TABLE {RECORD}, CHECK (name <> public.catch() || 'x'))",
    "generated column": f"CREATE TABLE {RECORD}, more text GENERATED ALWAYS AS (name || public.catch()) STORED)",
    "index": f"CREATE TABLE {RECORD}); CREATE INDEX ON auth_middleware_migration ((name || public.catch()))",
    "domain": f"""
        CREATE DOMAIN odd AS text CHECK (VALUE <> public.catch() || 'x');
        CREATE TABLE {RECORD.replace("name text", "name odd")})""",
    "rule": f"""
        CREATE TABLE {RECORD});
        CREATE RULE r AS ON INSERT TO auth_middleware_migration
        DO ALSO INSERT INTO public.caught (what) VALUES ('ran')""",
}


@pytest.mark.parametrize("kind", OWN_SCHEMA)
async def test_a_record_that_runs_another_roles_code_is_refused_even_in_that_roles_schema(
    empty_database: Database, hostile: Role, kind: str
) -> None:
    empty_database.execute(f"""
        CREATE SCHEMA theirs AUTHORIZATION {hostile.name};
        SET ROLE {hostile.name}; SET search_path = theirs;
        {OWN_SCHEMA[kind]};
        RESET ROLE; DELETE FROM public.caught; ALTER SEQUENCE public.tripped RESTART;
    """)
    migrations = Migrations(empty_database.dsn, "theirs")
    with pytest.raises(SchemaError, match="auth_middleware_migration"):
        await migrations.apply("probe", "SELECT 1")
    assert empty_database.fetch("SELECT is_called FROM tripped") == [(False,)]
    # The control: without the check, the insertion would have run it.
    with suppress(psycopg.Error):
        empty_database.execute("INSERT INTO theirs.auth_middleware_migration (name) VALUES ('live')")
    assert empty_database.fetch("SELECT DISTINCT by::text FROM caught") == [("postgres",)]


async def test_a_record_of_the_schemas_owner_or_of_the_databases_owner_is_accepted(
    empty_database: Database, make_role: Callable[..., Role]
) -> None:
    owner = make_role()
    empty_database.execute(f"""
        CREATE SCHEMA theirs AUTHORIZATION {owner.name};
        ALTER DATABASE "{empty_database.name}" OWNER TO {owner.name};
    """)
    for schema in ("theirs", "public"):
        assert await Migrations(owner.dsn(empty_database), schema).apply("first", "SELECT 1") == [["1"]]
        # A superuser goes on.
        assert await Migrations(empty_database.dsn, schema).apply("second", "SELECT 1") == [["1"]]


async def test_stack_auth_refuses_a_user_table_whose_triggers_are_another_roles(
    empty_database: Database, hostile: Role
) -> None:
    migrations = Migrations(empty_database.dsn, None)
    await migrations.apply("tables", MIGRATIONS["tables"].sql)
    empty_database.execute(f"""
        {USERS_SYNC}
        GRANT TRIGGER ON "user" TO {hostile.name};
        SET ROLE {hostile.name};
        CREATE TRIGGER t BEFORE INSERT ON "user" FOR EACH ROW EXECUTE FUNCTION catch_row();
    """)
    with pytest.raises(SchemaError, match=r'the table "public"."user" has a trigger'):
        await migrations.apply("stack_auth", MIGRATIONS["stack_auth"].sql)
    assert empty_database.fetch("SELECT is_called FROM tripped") == [(False,)]
    assert empty_database.fetch('SELECT * FROM "user"') == []


async def test_stack_auth_accepts_the_triggers_of_migrate_live(empty_database: Database, role: Role) -> None:
    empty_database.execute(f"CREATE SCHEMA auth AUTHORIZATION {role.name}; {USERS_SYNC}")
    owner = Migrations(role.dsn(empty_database), "auth")
    await owner.apply("tables", MIGRATIONS["tables"].sql)
    assert await owner.apply_live()
    assert await Migrations(empty_database.dsn, "auth").apply("stack_auth", MIGRATIONS["stack_auth"].sql)
    assert empty_database.fetch('SELECT id FROM auth."user"') == [("s1",)]


async def test_stack_auth_does_not_read_a_view(empty_database: Database, hostile: Role) -> None:
    migrations = Migrations(empty_database.dsn, None)
    await migrations.apply("tables", MIGRATIONS["tables"].sql)
    empty_database.execute(f"""
        CREATE SCHEMA neon_auth AUTHORIZATION {hostile.name};
        SET ROLE {hostile.name};
        CREATE VIEW neon_auth.users_sync AS
            SELECT public.catch() AS id, '' AS name, '' AS email, '{{}}'::jsonb AS raw_json,
                   now() AS created_at, now() AS updated_at, NULL::timestamptz AS deleted_at;
    """)
    with pytest.raises(SchemaError, match=r'"neon_auth"."users_sync" is not a plain table'):
        await migrations.apply("stack_auth", MIGRATIONS["stack_auth"].sql)
    assert empty_database.fetch("SELECT is_called FROM tripped") == [(False,)]


async def test_a_view_in_the_place_of_a_table_is_not_read(empty_database: Database, hostile: Role) -> None:
    columns = "public.catch() AS id, '' AS key, 1 AS count, 1 AS last_request"
    empty_database.execute(f"SET ROLE {hostile.name}; CREATE VIEW rate_limit AS SELECT {columns}")
    with pytest.raises(SchemaError, match="rate_limit"):
        await Migrations(empty_database.dsn, None).apply("rate_limit", MIGRATIONS["rate_limit"].sql)
    assert empty_database.fetch("SELECT is_called FROM tripped") == [(False,)]


async def test_the_table_of_suppressed_notifications_is_not_read_where_it_is_another_roles_view(
    empty_database: Database, hostile: Role, make_live: MakeLive
) -> None:
    await Migrations(empty_database.dsn, None).apply("tables", MIGRATIONS["tables"].sql)
    await migrate_live(empty_database.dsn)
    [(name,)] = empty_database.fetch("SELECT relname::text FROM pg_class WHERE relname LIKE '%%_suppressed'")
    empty_database.execute(f"""
        DROP TABLE {name};
        SET ROLE {hostile.name};
        CREATE VIEW {name} AS SELECT 1 AS transaction_id, public.catch() AS ctid;
    """)
    who = empty_database.sign_in()
    with counting_proxy(empty_database.dsn) as proxy:
        live = make_live(proxy.dsn, **QUICK)
        await live.auth.open()
        await until(lambda: sum("pg_notify(" in text for text in proxy.texts) > 2)
        assert await live.user_id(who) == who.user_id
        await live.auth.close()
    assert empty_database.fetch("SELECT is_called FROM tripped") == [(False,)]
