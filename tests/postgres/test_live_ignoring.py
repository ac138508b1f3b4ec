"""Triggers of `migrate live --ignoring`: what they notify, on the newest PostgreSQL and on Debian's."""

import secrets
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from auth_middleware import ConfigurationError
from dev.postgres import DEBIAN_15, EmbeddedPostgres, execute
from tests.postgres.conftest import Role
from tests.support import tables
from tests.support.databases import TABLES, Database
from tests.support.notifications import EVERYTHING, Listener, token_item, user_item

IGNORED = ["session.lastActivityAt,session.updated_at", "user.last_activity_at"]
PEOPLE = """
    ALTER TABLE session ADD "lastActivityAt" timestamptz, ADD data json, ADD amount numeric;
    ALTER TABLE "user" ADD last_activity_at timestamptz, ADD banned boolean, ADD ban_expires timestamptz;
    INSERT INTO "user" (id, name, email) SELECT 'u' || n, 'Ada', 'ada' || n FROM generate_series(1, 3) AS n;
    INSERT INTO session (id, user_id, token, expires_at, data, amount)
    SELECT 's' || u || n, 'u' || u, 't' || u || n, now(), '{"a": 1}', 1
    FROM generate_series(1, 3) AS u, generate_series(1, 2) AS n;
"""
TOUCH = '"lastActivityAt" = clock_timestamp()'


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
    """Users u1, u2, u3 with sessions t11, t12, t21, …, and triggers that ignore the times of their last activity."""
    return watch(TABLES.read_text() + PEOPLE, ignoring=IGNORED)


def tokens(*names: str) -> list[str]:
    return sorted(map(token_item, names))


CHANGES: dict[str, tuple[str, list[str]]] = {
    "touch": (f"UPDATE session SET {TOUCH} WHERE token = 't11'", []),
    "touch with updated_at": (f"UPDATE session SET {TOUCH}, updated_at = clock_timestamp()", []),
    "updated_at alone": ("UPDATE session SET updated_at = clock_timestamp()", []),
    "touch to NULL": ('UPDATE session SET "lastActivityAt" = NULL', []),
    "nothing": ("UPDATE session SET ip_address = ip_address", []),
    "several touches": (";".join(3 * [f"UPDATE session SET {TOUCH} WHERE token = 't11'"]), []),
    "touch by an upsert": ("INSERT INTO session (id, user_id, token, expires_at) VALUES ('s11', 'u1', 'new', now()) "
                           f"ON CONFLICT (id) DO UPDATE SET {TOUCH}", []),
    "touch by a merge": ("MERGE INTO session AS s USING (VALUES ('t11')) AS v (token) ON s.token = v.token "
                         f"WHEN MATCHED THEN UPDATE SET {TOUCH}", []),
    "touch as a replica": (f"SET session_replication_role = replica; UPDATE session SET {TOUCH}", []),
    "touch of a user": ('UPDATE "user" SET last_activity_at = clock_timestamp()', []),
    "expiry moved": ("UPDATE session SET expires_at = now() - interval '1 day' WHERE token = 't11'", tokens("t11")),
    "touch and expiry moved": (f"UPDATE session SET {TOUCH}, expires_at = now() - interval '1 day' WHERE token = 't11'",
                               tokens("t11")),
    "touch and another field": (f"UPDATE session SET {TOUCH}, ip_address = '::1' WHERE token = 't11'", tokens("t11")),
    "from NULL": ("UPDATE session SET user_agent = '' WHERE token = 't11'", tokens("t11")),
    "touch and another token": (f"UPDATE session SET {TOUCH}, token = 'new' WHERE token = 't11'", tokens("t11")),
    "touch and another user": (f"UPDATE session SET {TOUCH}, user_id = 'u2' WHERE token = 't11'", tokens("t11")),
    "one of several": (f"UPDATE session SET {TOUCH}, ip_address = CASE token WHEN 't21' THEN '::1' END", tokens("t21")),
    "tokens exchanged": ("ALTER TABLE session DROP CONSTRAINT session_token_key; "
                         f"UPDATE session SET {TOUCH}, token = CASE token WHEN 't11' THEN 't12' ELSE 't11' END "
                         "WHERE user_id = 'u1'", tokens("t11", "t12")),
    "json": ("UPDATE session SET data = '{\"a\": 2}' WHERE token = 't11'", tokens("t11")),
    "digits": ("UPDATE session SET amount = 1.00 WHERE token = 't11'", tokens("t11")),
    "a long value": ("UPDATE session SET user_agent = repeat(md5(token), 10000) WHERE token = 't11'", tokens("t11")),
    "touch and ban": ('UPDATE "user" SET last_activity_at = clock_timestamp(), banned = true WHERE id = \'u1\'',
                      [user_item("u1")]),
    "touch and end of a ban": ('UPDATE "user" SET last_activity_at = clock_timestamp(), ban_expires = now() '
                               "WHERE id = 'u1'", [user_item("u1")]),
    "touch and name": ('UPDATE "user" SET last_activity_at = clock_timestamp(), name = \'Eve\' WHERE id = \'u1\'',
                       [user_item("u1")]),
    "touch, then a change": (f"UPDATE session SET {TOUCH}; UPDATE session SET ip_address = '::1' WHERE token = 't11'",
                             tokens("t11")),
    "delete": ("DELETE FROM session WHERE token = 't11'", tokens("t11")),
    "truncate": ("TRUNCATE session", [EVERYTHING]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_only_changes_of_other_columns_are_notified(people: Listener, change: str) -> None:
    command, expected = CHANGES[change]
    assert people.state()[0] is None
    assert people.notified(command) == expected


def test_a_touch_of_a_row_with_a_long_value_is_not_notified(people: Listener) -> None:
    # Too long for its page, and not to be compressed: the rows before and after have the same pointer.
    people.database.execute("""
        ALTER TABLE session ALTER user_agent SET STORAGE EXTERNAL;
        UPDATE session SET user_agent = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) AS n)
    """)
    people.received()
    assert people.notified(f"UPDATE session SET {TOUCH}") == []
    changed = "UPDATE session SET user_agent = overlay(user_agent PLACING '!' FROM 20000) WHERE token = 't11'"
    assert people.notified(changed) == tokens("t11")


@pytest.mark.parametrize("count", [100, 101, 3000])
def test_a_statement_that_touches_many_rows_is_not_notified(people: Listener, count: int) -> None:
    people.database.execute(f"""
        INSERT INTO session (id, user_id, token, expires_at)
        SELECT 'many' || n, 'u1', 'many' || n, now() FROM generate_series(1, {count}) AS n
    """)
    many = "WHERE token LIKE 'many%'"
    assert people.notified(f"UPDATE session SET {TOUCH} {many}") == []
    told = people.notified(f"UPDATE session SET {TOUCH}, ip_address = '::1' {many}")
    assert told == ([EVERYTHING] if count > 100 else tokens(*(f"many{number + 1}" for number in range(count))))
    some = f"UPDATE session SET {TOUCH}, ip_address = CASE token WHEN 'many7' THEN '::2' ELSE ip_address END {many}"
    assert people.notified(some) == tokens("many7")


def test_ids_of_any_type_are_paired(watch: Callable[..., Listener]) -> None:
    watched = watch(
        tables.plain(id_type="double precision")
        + tables.person("1.5", "t1")
        + 'ALTER TABLE "user" ADD seen timestamptz; ALTER TABLE session ADD seen timestamptz',
        ignoring=["user.seen,session.seen"],
    )
    assert watched.state()[0] is None
    assert watched.notified('UPDATE "user" SET seen = now(); UPDATE session SET seen = now()') == []
    assert watched.notified("""UPDATE "user" SET seen = now(), name = 'Eve'""") == [EVERYTHING]


ODD = ['With "quotes"', "ÜPPER", "ключ ♞", "a,b", "a.b", " spaces ", "$body$", "back\\slash's", "line\nfeed", "-- {x}"]


@pytest.mark.parametrize("column", ODD)
def test_columns_with_odd_names(watch: Callable[..., Listener], column: str) -> None:
    quoted = '"' + column.replace('"', '""') + '"'
    other = '"x' + column.replace('"', '""') + '"'
    watched = watch(
        TABLES.read_text() + PEOPLE + f"ALTER TABLE session ADD {quoted} int, ADD {other} int",
        ignoring=[f"session.{quoted}"],
    )
    assert watched.state()[0] is None
    assert watched.notified(f"UPDATE session SET {quoted} = 1") == []
    assert watched.notified(f"UPDATE session SET {quoted} = 2, {other} = 1 WHERE token = 't11'") == tokens("t11")


def test_without_quotes_a_name_ends_at_the_comma(watch: Callable[..., Listener]) -> None:
    watched = watch(
        TABLES.read_text() + PEOPLE + 'ALTER TABLE session ADD "we""ird" int, ADD "ключ" int',
        ignoring=['session.we"ird, session.ключ'],
    )
    assert watched.notified('UPDATE session SET "we""ird" = 1, "ключ" = 1') == []


@pytest.mark.parametrize("spelling", ["lastActivityAt", "last_activity_at"])
@pytest.mark.parametrize("column", ['"lastActivityAt"', "last_activity_at"])
def test_names_are_those_of_the_database_or_of_better_auths_fields(
    watch: Callable[..., Listener], column: str, spelling: str
) -> None:
    watched = watch(
        tables.plain() + tables.person("u1", "t1") + f"ALTER TABLE session ADD {column} timestamptz",
        ignoring=[f"session.{spelling}"],
    )
    assert watched.notified(f"UPDATE session SET {column} = now()") == []


def test_tables_and_columns_of_other_names(watch: Callable[..., Listener]) -> None:
    watched = watch(
        tables.plain()
        + tables.person("u1", "t1")
        + """ALTER TABLE session RENAME TO logins; ALTER TABLE logins RENAME updated_at TO touched;
             ALTER TABLE logins ADD seen int; ALTER TABLE "user" ADD seen int;""",
        session_table='"public"."logins"',
        settings={"session_table": "logins", "session_columns": {"updatedAt": "touched"}},
        ignoring=["logins.seen,session.updatedAt", "user.seen"],
    )
    assert watched.notified('UPDATE logins SET seen = 1, touched = now(); UPDATE "user" SET seen = 1') == []
    assert watched.notified("UPDATE logins SET seen = 2, ip_address = '::1'") == tokens("t1")


ALTERED = {
    "added": "ALTER TABLE session ADD impersonated_by text",
    "renamed": "ALTER TABLE session RENAME amount TO total",
    "dropped": "ALTER TABLE session DROP amount",
    "another type": "ALTER TABLE session ALTER amount TYPE text",
    "ignored one dropped": "ALTER TABLE session DROP updated_at; ALTER TABLE session ADD updated_at timestamptz",
}


@pytest.mark.parametrize("how", ALTERED)
def test_after_the_columns_have_changed_no_change_is_missed(people: Listener, how: str) -> None:
    changed = {
        "added": "impersonated_by = 'eve'",
        "renamed": "total = 2",
        "ignored one dropped": "ip_address = '::1'",
    }.get(how, "user_agent = 'x'")
    command = f"UPDATE session SET {TOUCH}, {changed} WHERE token = 't11'"
    with psycopg.connect(people.database.dsn, autocommit=True) as connection:
        # This connection has compiled the function before.
        connection.execute(f"UPDATE session SET {TOUCH}".encode())
        people.database.execute(ALTERED[how])
        connection.execute(command.encode())
    assert people.received() == tokens("t11")
    assert people.state()[0] is None
    # Run again, it knows the columns as they are.
    assert people.apply(IGNORED) is (how != "another type")
    assert people.notified(f"UPDATE session SET {TOUCH} WHERE token = 't11'") == []


REFUSED = {
    "session.id": "must be notified",
    "session.token": "must be notified",
    "session.userId": "must be notified",
    "session.user_id": "must be notified",
    "session.expiresAt": "must be notified",
    'session."expires_at"': "must be notified",
    "user.id": "must be notified",
    "user.banned": "must be notified",
    "user.banExpires": "must be notified",
    "user.ban_expires": "must be notified",
    "session.updatedAt,session.token": "must be notified",
    "session.unknown": '"public"."session" has no column unknown; it has id, ',
    "user.lastActivity": '"public"."user" has no column lastActivity; it has id, ',
    "account.updatedAt": "in neither the session table nor the user table",
    "lastActivityAt": "is not a list of columns: write --ignoring session.lastActivityAt",
    "": "is not a list of columns",
    "session.updatedAt,": "is not a list of columns",
}


@pytest.mark.parametrize("columns", REFUSED)
def test_what_cannot_be_ignored_is_refused_and_nothing_is_changed(empty: Database, columns: str) -> None:
    empty.execute(TABLES.read_text() + PEOPLE)
    with closing(Listener(empty, apply=False)) as watched:
        with pytest.raises(ConfigurationError) as caught:
            watched.apply([columns])
        assert REFUSED[columns] in str(caught.value)
        assert empty.fetch("SELECT count(*) FROM pg_proc WHERE proname LIKE 'auth_middleware%%'") == [(0,)]


def test_bans_of_a_renamed_column_cannot_be_ignored(empty: Database) -> None:
    empty.execute(TABLES.read_text() + PEOPLE + 'ALTER TABLE "user" RENAME banned TO is_blocked')
    settings = {"user_columns": {"banned": "is_blocked"}}
    with (
        closing(Listener(empty, settings=settings, apply=False)) as watched,
        pytest.raises(ConfigurationError, match="is_blocked"),
    ):
        watched.apply(["user.is_blocked"])


def test_no_code_of_a_columns_type_runs(empty: Database, server: EmbeddedPostgres) -> None:
    """Types have casts and operators of their owner's choice."""
    role = Role(f"role_{secrets.token_hex(6)}", secrets.token_hex(16))
    execute(server.dsn(), f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}'")
    empty.execute(f"""
        {TABLES.read_text()} {PEOPLE}
        CREATE TABLE caught (role name); GRANT INSERT ON caught TO PUBLIC;
        CREATE SCHEMA types AUTHORIZATION {role.name}; GRANT USAGE ON SCHEMA types TO PUBLIC;
    """)
    trap = "LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.caught VALUES (current_user); RETURN"
    execute(
        role.dsn(empty),
        f"""
        CREATE TYPE types.mood AS ENUM ('good', 'bad');
        CREATE TYPE types.pair AS (a types.mood, b text);
        CREATE FUNCTION types.text(types.mood) RETURNS text {trap} 'good'; END $$;
        CREATE CAST (types.mood AS text) WITH FUNCTION types.text(types.mood) AS IMPLICIT;
        CREATE FUNCTION types.same(types.mood, types.mood) RETURNS boolean {trap} true; END $$;
        CREATE OPERATOR types.= (LEFTARG = types.mood, RIGHTARG = types.mood, FUNCTION = types.same);
        CREATE OPERATOR types.*= (LEFTARG = types.mood, RIGHTARG = types.mood, FUNCTION = types.same);
        CREATE FUNCTION types.same(types.pair, types.pair) RETURNS boolean {trap} true; END $$;
        CREATE OPERATOR types.= (LEFTARG = types.pair, RIGHTARG = types.pair, FUNCTION = types.same);
        CREATE FUNCTION types.same(record, record) RETURNS boolean {trap} true; END $$;
        CREATE OPERATOR types.*= (LEFTARG = record, RIGHTARG = record, FUNCTION = types.same);
        """,
    )
    empty.execute("""
        ALTER TABLE session ADD mood types.mood DEFAULT 'good', ADD pair types.pair DEFAULT ('good', 'b');
        ALTER TABLE "user" ADD mood types.mood DEFAULT 'good';
    """)
    with closing(Listener(empty, ignoring=IGNORED)) as watched:
        hostile = "SET search_path = types, pg_catalog, public; CREATE TEMP TABLE came (token text);"
        assert watched.notified(f"{hostile} UPDATE session SET {TOUCH}") == []
        assert watched.notified(f"{hostile} UPDATE session SET mood = 'bad' WHERE token = 't11'") == tokens("t11")
        change = f"{hostile} UPDATE session SET pair = ('bad', 'b') WHERE token = 't12'"
        assert watched.notified(change) == tokens("t12")
        assert watched.notified(f"""{hostile} UPDATE "user" SET mood = 'bad' WHERE id = 'u1'""") == [user_item("u1")]
    assert empty.fetch("SELECT * FROM caught") == []


def test_a_writer_needs_no_rights_but_its_own(people: Listener, server: EmbeddedPostgres) -> None:
    role = Role(f"role_{secrets.token_hex(6)}", secrets.token_hex(16))
    execute(server.dsn(), f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}'")
    people.database.execute(f'GRANT SELECT (token), UPDATE ("lastActivityAt") ON session TO {role.name}')
    touch = f"UPDATE session SET {TOUCH} WHERE token = 't11'"
    assert people.notified(touch, dsn=role.dsn(people.database)) == []
