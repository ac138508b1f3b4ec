"""What the triggers of `migrate live` tell of a change, on the newest PostgreSQL and on Debian's."""

import secrets
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from typing import Any

import psycopg
import pytest

from dev.postgres import DEBIAN_15, EmbeddedPostgres, execute
from tests.postgres.conftest import Role
from tests.support import tables
from tests.support.databases import TABLES, Database
from tests.support.notifications import EVERYTHING, Listener, token_item, user_item

UUID = "4f9c4a1e-7d0f-4b61-9f0f-6c1f0a3b2d11"
PEOPLE = """
    INSERT INTO "user" (id, name, email) SELECT 'u' || n, 'Ada', 'ada' || n FROM generate_series(1, 3) AS n;
    INSERT INTO session (id, user_id, token, expires_at)
    SELECT 's' || u || n, 'u' || u, 't' || u || n, now() FROM generate_series(1, 3) AS u, generate_series(1, 2) AS n;
"""


def tokens(*names: str) -> list[str]:
    return sorted(map(token_item, names))


def items(*users: str) -> list[str]:
    return sorted(map(user_item, users))


@pytest.fixture(scope="module", params=["18", pytest.param("15", marks=pytest.mark.needs("postgresql-15"))])
def server(request: pytest.FixtureRequest) -> Generator[EmbeddedPostgres]:
    if request.param == "18":
        yield request.getfixturevalue("postgres")
        return
    with EmbeddedPostgres(programs=DEBIAN_15) as postgres:
        yield postgres


@pytest.fixture
def empty(server: EmbeddedPostgres) -> Generator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    yield Database(server.create_database(name))
    server.drop_database(name)


@pytest.fixture
def watch(empty: Database) -> Generator[Callable[..., Listener]]:
    """Makes tables and people by the SQL, then triggers; keywords are `Listener`'s."""
    made: list[Listener] = []

    def make(sql: str, **settings: Any) -> Listener:
        empty.execute(sql)
        made.append(Listener(empty, **settings))
        return made[-1]

    yield make
    for watched in made:
        watched.close()


@pytest.fixture
def people(watch: Callable[..., Listener]) -> Listener:
    """Users u1, u2, u3 with sessions t11, t12, t21, …"""
    return watch(TABLES.read_text() + PEOPLE)


@contextmanager
def somebody(people: Listener, server: EmbeddedPostgres, *grants: str) -> Generator[Role]:
    """A role with these rights and no others."""
    role = Role(f"role_{secrets.token_hex(6)}", secrets.token_hex(16))
    execute(server.dsn(), f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}'")
    for grant in grants:
        people.database.execute(f"GRANT {grant} TO {role.name}")
    yield role


SESSION_CHANGES: dict[str, tuple[str, list[str]]] = {
    "update": ("UPDATE session SET ip_address = '::1' WHERE token = 't11'", ["t11"]),
    "delete": ("DELETE FROM session WHERE token = 't11'", ["t11"]),
    "several": ("DELETE FROM session WHERE user_id = 'u2'", ["t21", "t22"]),
    "none": ("UPDATE session SET ip_address = '::1' WHERE token = 'unknown'", []),
    "new token": ("UPDATE session SET token = 'new' WHERE token = 't11'", ["t11"]),
    "swapped": ("UPDATE session SET user_id = CASE user_id WHEN 'u1' THEN 'u2' ELSE 'u1' END WHERE user_id <> 'u3'",
                ["t11", "t12", "t21", "t22"]),
    "insert": ("INSERT INTO session (id, user_id, token, expires_at) VALUES ('s', 'u1', 'new', now())", []),
    "upsert": ("INSERT INTO session (id, user_id, token, expires_at) VALUES ('s11', 'u2', 'new', now()) "
               "ON CONFLICT (id) DO UPDATE SET user_id = 'u2'", ["t11"]),
    "part of a query": ("WITH gone AS (DELETE FROM session WHERE token = 't11' RETURNING id) SELECT * FROM gone",
                        ["t11"]),
    "merge": ("MERGE INTO session AS s USING (VALUES ('t11', true), ('t21', false)) AS v (token, is_kept) "
              "ON s.token = v.token WHEN MATCHED AND is_kept THEN UPDATE SET ip_address = '::1' "
              "WHEN MATCHED THEN DELETE", ["t11", "t21"]),
    "through a view": ("CREATE VIEW mine AS SELECT * FROM session; DELETE FROM mine WHERE token = 't11'", ["t11"]),
    "through a rule": ("CREATE VIEW mine AS SELECT 1; CREATE RULE sign_out AS ON DELETE TO mine "
                       "DO INSTEAD DELETE FROM session WHERE token = 't11'; DELETE FROM mine", ["t11"]),
    "two statements": ("DELETE FROM session WHERE token = 't11'; DELETE FROM session WHERE token = 't21'",
                       ["t11", "t21"]),
    "replica": ("SET session_replication_role = replica; DELETE FROM session WHERE token = 't11'", ["t11"]),
    "rolled back": ("BEGIN; DELETE FROM session WHERE token = 't11'; ROLLBACK", []),
    "rolled back in part": ("BEGIN; SAVEPOINT a; DELETE FROM session WHERE token = 't11'; ROLLBACK TO a; "
                            "DELETE FROM session WHERE token = 't21'; COMMIT", ["t21"]),
}  # fmt: skip


@pytest.mark.parametrize("change", SESSION_CHANGES)
def test_a_change_of_sessions_notifies_the_tokens_that_they_had(people: Listener, change: str) -> None:
    command, expected = SESSION_CHANGES[change]
    assert people.notified(command) == tokens(*expected)


USER_CHANGES: dict[str, tuple[str, list[str]]] = {
    "update": ("""UPDATE "user" SET name = 'Eve' WHERE id = 'u1'""", ["u1"]),
    "two": ("""UPDATE "user" SET name = 'Eve' WHERE id <> 'u1'""", ["u2", "u3"]),
    "none": ("""DELETE FROM "user" WHERE id = 'unknown'""", []),
    "insert": ("""INSERT INTO "user" (id, name, email) VALUES ('u', 'Eve', 'eve')""", []),
    "replica": ("""SET session_replication_role = replica; DELETE FROM "user" WHERE id = 'u1'""", ["u1"]),
    "rolled back": ("""BEGIN; UPDATE "user" SET name = 'Eve'; ROLLBACK""", []),
}


@pytest.mark.parametrize("change", USER_CHANGES)
def test_a_change_of_users_notifies_the_ids_that_they_had(people: Listener, change: str) -> None:
    command, expected = USER_CHANGES[change]
    assert people.notified(command) == items(*expected)


def test_a_sign_in_while_its_user_is_changed_is_covered_by_the_users_notification(people: Listener) -> None:
    with psycopg.connect(people.database.dsn) as banning:
        banning.execute("""UPDATE "user" SET name = 'banned' WHERE id = 'u1'""")
        # Committed before the ban is, and after its trigger ran: no trigger can see this token.
        people.database.execute(
            "INSERT INTO session (id, user_id, token, expires_at) VALUES ('s', 'u1', 'unseen', now())"
        )
        assert people.received() == []
        banning.commit()
    assert people.received() == items("u1")


ON_DELETE = {
    "CASCADE": ["t11", "t12"],
    "SET NULL": ["t11", "t12"],
    "CASCADE DEFERRABLE INITIALLY DEFERRED": ["t11", "t12"],
}


@pytest.mark.parametrize("action", [*ON_DELETE, None])
def test_a_deleted_user_is_notified_and_so_are_the_sessions_that_are_deleted_with_it(
    people: Listener, action: str | None
) -> None:
    people.database.execute("""
        ALTER TABLE session DROP CONSTRAINT session_user_id_fkey;
        ALTER TABLE session ALTER user_id DROP NOT NULL;
    """)
    if action:
        people.database.execute(f'ALTER TABLE session ADD FOREIGN KEY (user_id) REFERENCES "user" ON DELETE {action}')
    told = people.notified("""DELETE FROM "user" WHERE id = 'u1'""")
    assert told == sorted(items("u1") + tokens(*ON_DELETE.get(action or "", [])))


def test_a_changed_id_is_notified_and_so_are_the_sessions_that_follow_it(people: Listener) -> None:
    people.database.execute("""
        ALTER TABLE session DROP CONSTRAINT session_user_id_fkey;
        ALTER TABLE session ADD FOREIGN KEY (user_id) REFERENCES "user" ON UPDATE CASCADE;
    """)
    told = people.notified("""UPDATE "user" SET id = 'other' WHERE id = 'u1'""")
    assert told == sorted(items("u1") + tokens("t11", "t12"))


@pytest.mark.parametrize("count", [100, 101])
@pytest.mark.parametrize("verb", ["UPDATE", "DELETE"])
def test_more_than_a_hundred_sessions_are_everything(people: Listener, verb: str, count: int) -> None:
    names = [f"many{number:03}" for number in range(count)]
    people.database.execute(f"""
        INSERT INTO session (id, user_id, token, expires_at)
        SELECT name, 'u1', name, now() FROM unnest(ARRAY{names}) AS name
    """)
    change = "DELETE FROM session" if verb == "DELETE" else "UPDATE session SET expires_at = now()"
    assert people.notified(f"{change} WHERE token LIKE 'many%'") == (tokens(*names) if count == 100 else [EVERYTHING])


@pytest.mark.parametrize("count", [100, 101])
def test_more_than_a_hundred_users_are_everything(people: Listener, count: int) -> None:
    names = [f"many{number:03}" for number in range(count)]
    people.database.execute(f"""
        INSERT INTO "user" (id, name, email) SELECT name, name, name FROM unnest(ARRAY{names}) AS name
    """)
    told = people.notified("""UPDATE "user" SET name = 'x' WHERE id LIKE 'many%'""")
    assert told == (items(*names) if count == 100 else [EVERYTHING])


def test_a_user_deleted_with_more_than_a_hundred_sessions_is_everything(people: Listener) -> None:
    people.database.execute("""
        INSERT INTO session (id, user_id, token, expires_at)
        SELECT n::text, 'u1', n::text, now() FROM generate_series(1, 101) AS n
    """)
    assert people.notified("""DELETE FROM "user" WHERE id = 'u1'""") == sorted([*items("u1"), EVERYTHING])


TRUNCATES = ["session", '"user" CASCADE', '"user", session, account', "ONLY session"]


@pytest.mark.parametrize("what", TRUNCATES)
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_truncate_is_everything(people: Listener, what: str, role: str) -> None:
    told = people.notified(f"SET session_replication_role = {role}; TRUNCATE {what}")
    assert told == [EVERYTHING]


def test_truncate_of_users_alone_is_everything(watch: Callable[..., Listener]) -> None:
    # Without a foreign key, sessions stay.
    watched = watch(tables.plain() + tables.person("u1", "t1"))
    assert watched.notified('TRUNCATE "user"') == [EVERYTHING]


@pytest.mark.parametrize(
    ("id_type", "user_id_type", "user_id"),
    [
        ("uuid", "uuid", UUID),
        ("integer", "integer", "42"),
        ("bigint", "text", "9007199254740993"),
        ("varchar(36)", "text", "u1"),
        ("uuid", "text", UUID),
        ("text", "uuid", UUID),
    ],
)
def test_an_id_of_any_type_is_notified_as_its_text(
    watch: Callable[..., Listener], id_type: str, user_id_type: str, user_id: str
) -> None:
    watched = watch(tables.plain(id_type=id_type, user_id_type=user_id_type) + tables.person(user_id, "t1"))
    assert watched.notified("""UPDATE "user" SET name = 'Eve'""") == items(user_id)
    assert watched.notified("DELETE FROM session") == tokens("t1")


def test_an_id_whose_text_depends_on_a_connections_settings_is_everything(
    watch: Callable[..., Listener],
) -> None:
    watched = watch(tables.plain(id_type="double precision") + tables.person("1.5", "t1"))
    assert watched.notified("""SET extra_float_digits = 0; UPDATE "user" SET name = 'Eve'""") == [EVERYTHING]
    assert watched.notified("""UPDATE "user" SET name = 'Eve' WHERE false""") == []


def test_better_auths_camel_case_tables_work(watch: Callable[..., Listener]) -> None:
    watched = watch(f"""
        {tables.CAMEL_CASE}
        INSERT INTO "user" (id, name, email, "emailVerified") VALUES ('u1', 'Ada', 'ada', true);
        INSERT INTO session (id, "userId", token, "expiresAt", "updatedAt") VALUES ('s1', 'u1', 't1', now(), now());
    """)
    assert watched.notified("""UPDATE "user" SET "emailVerified" = false""") == items("u1")
    assert watched.notified("UPDATE session SET token = 'ключ ♞'") == tokens("t1")
    assert watched.notified('DELETE FROM "user"') == sorted(items("u1") + tokens("ключ ♞"))


def test_names_with_quotes_and_other_special_characters_work(watch: Callable[..., Listener]) -> None:
    schema, people, logins, column = 'My "Schema"\\\'s', 'The "People"\\\'s', "Lo/*gins'", '$tell$ "Key\\"\' -- {told}'
    watched = watch(
        f"""
        CREATE SCHEMA {quoted(schema)};
        {tables.plain(schema=quoted(schema))}
        {tables.person("u1", "t1", schema=quoted(schema))}
        SET search_path = {quoted(schema)};
        ALTER TABLE "user" RENAME id TO {quoted(column)};
        ALTER TABLE "user" RENAME TO {quoted(people)};
        ALTER TABLE session RENAME token TO {quoted(column)};
        ALTER TABLE session RENAME TO {quoted(logins)};
        """,
        session_table=f"{quoted(schema)}.{quoted(logins)}",
        settings={
            "schema": schema,
            "user_table": people,
            "session_table": logins,
            "user_columns": {"id": column},
            "session_columns": {"token": column},
        },
    )
    assert watched.state()[0] is None
    assert watched.notified(f"UPDATE {quoted(schema)}.{quoted(people)} SET name = 'Eve'") == items("u1")
    assert watched.notified(f"DELETE FROM {quoted(schema)}.{quoted(logins)}") == tokens("t1")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("strings", ["on", "off"])
def test_a_writers_settings_do_not_affect_the_triggers(people: Listener, strings: str) -> None:
    told = people.notified(f"""
        SET standard_conforming_strings = {strings};
        SET backslash_quote = off;
        SET plpgsql.extra_errors = 'all';
        SET plpgsql.extra_warnings = 'all';
        SET bytea_output = escape;
        SET row_security = off;
        DELETE FROM session WHERE token = 't11'
    """)
    assert told == tokens("t11")


def test_a_writer_needs_no_rights_but_its_own(people: Listener, server: EmbeddedPostgres) -> None:
    with somebody(people, server, "SELECT, DELETE ON session") as role:
        dsn = role.dsn(people.database)
        assert people.notified("DELETE FROM session WHERE token = 't11'", dsn=dsn) == tokens("t11")
    with somebody(people, server, 'SELECT, UPDATE ON "user"') as role:
        people.database.execute("REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC")
        dsn = role.dsn(people.database)
        assert people.notified("""UPDATE "user" SET name = 'Eve' WHERE id = 'u1'""", dsn=dsn) == items("u1")


def test_nobody_else_can_call_the_functions_or_put_them_on_other_tables(
    people: Listener, server: EmbeddedPostgres
) -> None:
    with (
        somebody(people, server, "CREATE ON SCHEMA public") as role,
        closing(psycopg.connect(role.dsn(people.database), autocommit=True)) as connection,
    ):
        connection.execute("CREATE TABLE mine (token text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                f"""CREATE TRIGGER mine AFTER DELETE ON mine REFERENCING OLD TABLE AS gone FOR EACH STATEMENT
                    EXECUTE FUNCTION {people.channel}_session()""".encode()
            )


HOSTILE = """
    CREATE SCHEMA hostile;
    CREATE FUNCTION hostile.fail() RETURNS text LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO hostile.called VALUES (current_user); RETURN 'caught'; END $$;
    CREATE TABLE hostile.called (by text);
    CREATE FUNCTION hostile.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT hostile.fail()::bytea $$;
    CREATE FUNCTION hostile.convert_to(text, name) RETURNS bytea LANGUAGE sql AS $$ SELECT hostile.fail()::bytea $$;
    CREATE FUNCTION hostile.encode(bytea, text) RETURNS text LANGUAGE sql AS $$ SELECT hostile.fail() $$;
    CREATE FUNCTION hostile.pg_notify(text, text) RETURNS void LANGUAGE sql AS $$ SELECT hostile.fail() $$;
    CREATE FUNCTION hostile.pg_notification_queue_usage() RETURNS float8 LANGUAGE sql
        AS $$ SELECT length(hostile.fail()) $$;
    CREATE AGGREGATE hostile.count(*) (SFUNC = int8inc, STYPE = int8, INITCOND = 1000);
    CREATE FUNCTION hostile.greater(bigint, integer) RETURNS boolean LANGUAGE sql
        AS $$ SELECT hostile.fail() IS NULL $$;
    CREATE OPERATOR hostile.> (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = hostile.greater);
    CREATE TYPE hostile.text AS ENUM ('caught');
    CREATE TABLE hostile.gone AS SELECT 'caught' AS token, 'caught' AS id;
    GRANT ALL ON SCHEMA hostile TO PUBLIC; GRANT ALL ON hostile.called, hostile.gone TO PUBLIC;
"""


def test_a_writers_search_path_does_not_affect_the_triggers(people: Listener) -> None:
    people.database.execute(HOSTILE)
    told = people.notified("""
        SET search_path = hostile, pg_temp, pg_catalog, public;
        CREATE TEMP TABLE gone (token pg_catalog.text);
        DELETE FROM public.session WHERE token = 't11';
        UPDATE public."user" SET name = 'Eve' WHERE id = 'u1';
    """)
    assert told == sorted(tokens("t11") + items("u1"))
    assert people.database.fetch("SELECT * FROM hostile.called") == []


def test_row_level_security_hides_nothing_from_the_triggers(
    empty: Database, server: EmbeddedPostgres, watch: Callable[..., Listener]
) -> None:
    # Even of their owner, who is also theirs.
    people = watch(TABLES.read_text() + PEOPLE)
    with somebody(people, server, "CREATE ON SCHEMA public") as role:
        for table in ("session", '"user"'):
            empty.execute(f"""
                ALTER TABLE {table} OWNER TO {role.name};
                ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
                ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
            """)
        for function in ("session", "user"):
            empty.execute(f"ALTER FUNCTION {people.channel}_{function}() OWNER TO {role.name}")
        empty.execute(f"ALTER TABLE {people.channel}_suppressed OWNER TO {role.name}")
    assert people.state()[0] is None
    assert people.notified("DELETE FROM session WHERE token = 't11'") == tokens("t11")
    assert people.notified("""DELETE FROM "user" WHERE id = 'u1'""") == sorted(items("u1") + tokens("t12"))


BROKEN = {
    "token renamed": ("ALTER TABLE session RENAME token TO secret", "DELETE FROM session WHERE secret = 't11'"),
    "token dropped": ("ALTER TABLE session DROP token", "DELETE FROM session WHERE id = 's11'"),
    "token as bytes": ("ALTER TABLE session ALTER token TYPE integer USING 1", "DELETE FROM session WHERE id = 's11'"),
    "id renamed": ('ALTER TABLE "user" RENAME id TO number', """UPDATE "user" SET name = 'x' WHERE number = 'u1'"""),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_function_that_fails_does_not_fail_the_statement(people: Listener, change: str) -> None:
    alter, command = BROKEN[change]
    people.database.execute("ALTER TABLE session DROP CONSTRAINT session_token_key; " + alter)
    told = people.notified(command)
    assert told == ([token_item("1")] if change == "token as bytes" else [EVERYTHING])


def test_tables_that_were_renamed_go_on_telling(people: Listener) -> None:
    people.database.execute('ALTER TABLE session RENAME TO logins; ALTER TABLE "user" RENAME TO members')
    assert people.notified("DELETE FROM logins WHERE token = 't11'") == tokens("t11")
    assert people.notified("DELETE FROM members WHERE id = 'u1'") == sorted(items("u1") + tokens("t12"))


def test_where_nothing_can_be_told_the_statement_goes_on_with_a_warning(people: Listener) -> None:
    people.database.execute("ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO pg_silent")
    with psycopg.connect(people.database.dsn, autocommit=True) as connection:
        said: list[str | None] = []
        connection.add_notice_handler(lambda notice: said.append(notice.message_primary))
        connection.execute("DELETE FROM session WHERE token = 't11'")
    people.database.execute("ALTER FUNCTION pg_catalog.pg_silent(text, text) RENAME TO pg_notify")
    assert said == ["auth_middleware was not notified of a change: SQLSTATE 42883"]
    assert people.database.fetch("SELECT count(*) FROM session") == [(5,)]
    assert people.received() == []


def test_a_nearly_full_queue_fails_no_commit() -> None:
    """Whoever listens has stopped trusting what it hears long before."""
    with EmbeddedPostgres(settings={"max_notify_queue_pages": "64"}) as postgres:
        database = Database(postgres.create_database("full"))
        database.execute(TABLES.read_text() + PEOPLE)
        with (
            closing(Listener(database)),
            closing(psycopg.connect(database.dsn)) as stuck,
            closing(psycopg.connect(database.dsn, autocommit=True)) as flood,
        ):
            stuck.execute("LISTEN flood")
            stuck.commit()
            stuck.execute("SELECT 1")  # in a transaction nothing is read from the queue
            with pytest.raises(psycopg.OperationalError, match="too many notifications"):
                fill(flood)
            with pytest.raises(psycopg.OperationalError, match="too many notifications"):
                flood.execute("SELECT pg_notify('flood', '')")
            database.execute("""DELETE FROM session WHERE token = 't11'; UPDATE "user" SET name = 'Eve'""")
            stuck.rollback()
            assert database.fetch("SELECT count(*) FROM session") == [(5,)]


def fill(connection: psycopg.Connection) -> None:
    for number in range(1000):
        connection.execute("SELECT pg_notify('flood', repeat('x', 7000) || %s)", (str(number),))
