"""`python -m auth_middleware migrate live`: triggers for the tables found, and whether they are in force."""

import secrets
from collections.abc import Callable, Generator
from contextlib import closing
from typing import NamedTuple

import psycopg
import pytest

from auth_middleware.cli import main
from auth_middleware.cli.migrate import LIVE, PURPOSES
from dev.postgres import EmbeddedPostgres
from tests.postgres.conftest import Role
from tests.support import tables
from tests.support.databases import TABLES, Database
from tests.support.notifications import EVERYTHING, Listener, channel, token_item, user_item
from tests.support.polling import wait_until

NAME = channel()
TRIGGERS = [(table, f"{NAME}_{event}") for table in ("session", '"user"') for event in ("update", "delete", "truncate")]
FIXES = "(python -m auth_middleware migrate live fixes it)"
# In the list of migrations.
LIVE_LINE = list(PURPOSES).index(LIVE)
SETTINGS = ["SCHEMA", "USER_TABLE", "SESSION_TABLE", "USER_COLUMNS", "SESSION_COLUMNS"]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Migrate = Callable[..., Ran]


@pytest.fixture
def migrate(empty_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Migrate:
    """Runs the command in this process, with DATABASE_URL set; keywords are AUTH_MIDDLEWARE_…"""

    def run(*arguments: str, dsn: str = empty_database.dsn, **settings: str) -> Ran:
        with monkeypatch.context() as patch:
            for name in SETTINGS:
                patch.delenv(f"AUTH_MIDDLEWARE_{name}", raising=False)
            for name, value in settings.items():
                patch.setenv(f"AUTH_MIDDLEWARE_{name}", value)
            patch.setenv("DATABASE_URL", dsn)
            capsys.readouterr()
            status = main(["migrate", *arguments])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


@pytest.fixture
def served(empty_database: Database) -> Generator[Listener]:
    """Better Auth's tables with the triggers on them, and a session t1 of a user u1."""
    empty_database.execute(
        TABLES.read_text()
        + """INSERT INTO "user" (id, name, email) VALUES ('u1', 'Ada', 'ada');
             INSERT INTO session (id, user_id, token, expires_at) VALUES ('s1', 'u1', 't1', now())"""
    )
    with closing(Listener(empty_database)) as watched:
        yield watched


def triggers(database: Database) -> list[tuple[str, str]]:
    return sorted(
        database.fetch(
            "SELECT tgrelid::regclass::text, tgname::text FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'A'"
        )
    )


def functions(database: Database) -> list[str]:
    return [name for (name,) in database.fetch("SELECT proname::text FROM pg_proc WHERE proname LIKE 'auth%'")]


def recorded(database: Database) -> list[str]:
    return [name for (name,) in database.fetch("SELECT name FROM auth_middleware_migration ORDER BY name")]


def test_it_makes_the_triggers_and_records_it(migrate: Migrate, empty_database: Database) -> None:
    assert migrate("live", "tables") == Ran(0, "tables: applied\nlive: applied\n", "")
    assert triggers(empty_database) == sorted(TRIGGERS)
    assert sorted(functions(empty_database)) == [f"{NAME}_session", f"{NAME}_user"]
    assert recorded(empty_database) == ["live", "tables"]


def test_a_second_run_does_nothing_and_says_so(migrate: Migrate, served: Listener) -> None:
    before = served.state(), served.database.fetch("SELECT * FROM auth_middleware_migration")
    assert migrate("live") == Ran(0, "live: applied already, nothing was done\n", "")
    assert (served.state(), served.database.fetch("SELECT * FROM auth_middleware_migration")) == before


def test_without_a_name_it_tells_whether_it_is_in_force(migrate: Migrate, served: Listener) -> None:
    served.database.execute("DELETE FROM auth_middleware_migration")
    assert migrate().out.splitlines()[LIVE_LINE].split()[:2] == ["live", "open"]
    migrate("live")
    [line] = migrate().out.splitlines()[LIVE_LINE:]
    assert line.split()[:2] == ["live", "applied"]
    served.database.execute(f"ALTER TABLE session DISABLE TRIGGER {NAME}_delete")
    [line, problem] = migrate().out.splitlines()[LIVE_LINE:]
    assert line.split()[:2] == ["live", "applied"]
    assert problem.strip() == (f'but not in force: the trigger {NAME}_delete on "public"."session" is disabled {FIXES}')
    served.database.execute("DROP TABLE session")
    assert "but not in force: Better Auth's tables cannot be read: no table session" in migrate().out


DAMAGES = {
    **{f"drop {trigger} on {table}": f"DROP TRIGGER {trigger} ON {table}" for table, trigger in TRIGGERS},
    **{
        f"{how.lower()} {trigger} on {table}": f"ALTER TABLE {table} {how} TRIGGER {trigger}"
        for table, trigger in TRIGGERS
        for how in ("DISABLE", "ENABLE", "ENABLE REPLICA")
    },
    # What pg_restore --disable-triggers does.
    "restore": 'ALTER TABLE "user" DISABLE TRIGGER ALL; ALTER TABLE "user" ENABLE TRIGGER ALL',
    "other source": f"""
        CREATE OR REPLACE FUNCTION {NAME}_session() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'
    """,
    "other rights": f"ALTER FUNCTION {NAME}_user() SECURITY INVOKER",
    "other path": f"ALTER FUNCTION {NAME}_user() SET search_path = public",
    "other setting": f"ALTER FUNCTION {NAME}_session() SET bytea_output = escape",
    "other function": f"""
        CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE OR REPLACE TRIGGER {NAME}_truncate AFTER TRUNCATE ON session EXECUTE FUNCTION nothing();
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_truncate
    """,
    "other table's": f"""
        CREATE OR REPLACE TRIGGER {NAME}_delete AFTER DELETE ON session REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION {NAME}_user();
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_delete
    """,
    "one column only": f"""
        CREATE OR REPLACE TRIGGER {NAME}_truncate AFTER UPDATE OF ip_address ON session
        EXECUTE FUNCTION {NAME}_session();
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_truncate
    """,
    "on a condition": f"""
        CREATE OR REPLACE TRIGGER {NAME}_truncate AFTER TRUNCATE ON session
        WHEN (false) EXECUTE FUNCTION {NAME}_session();
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_truncate
    """,
    "no old rows": f"""
        CREATE OR REPLACE TRIGGER {NAME}_delete AFTER DELETE ON session EXECUTE FUNCTION {NAME}_session();
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_delete
    """,
    "other event": f"""
        CREATE OR REPLACE TRIGGER {NAME}_truncate AFTER INSERT ON session EXECUTE FUNCTION {NAME}_session();
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_truncate
    """,
    "id of another type": """
        ALTER TABLE session DROP CONSTRAINT session_user_id_fkey;
        ALTER TABLE account DROP CONSTRAINT account_user_id_fkey;
        ALTER TABLE session ALTER user_id TYPE double precision USING 1;
        ALTER TABLE "user" ALTER id TYPE double precision USING 1
    """,
    "tables of another owner": """
        ALTER TABLE session OWNER TO {role}; ALTER TABLE "user" OWNER TO {role}
    """,
    "functions of another owner": """
        GRANT CREATE ON SCHEMA public TO {role};
        ALTER FUNCTION {name}_session() OWNER TO {role}; ALTER FUNCTION {name}_user() OWNER TO {role}
    """,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found_and_fixed(migrate: Migrate, served: Listener, role: Role, damage: str) -> None:
    command = DAMAGES[damage]
    served.database.execute(command.format(role=role.name, name=NAME) if "{role}" in command else command)
    problem, _ = served.state()
    assert problem
    assert problem.endswith(FIXES)
    assert f"trigger {NAME}_" in problem
    for table, trigger in TRIGGERS:
        if damage.endswith(f" {trigger} on {table}"):
            assert f'trigger {trigger} on "public".{quoted(table)}' in problem
            assert "; " not in problem
    assert migrate("live").out == "live: applied\n"
    assert served.state()[0] is None
    assert triggers(served.database) == sorted(TRIGGERS)


TRACE_DAMAGES = {
    "dropped": "DROP TABLE {name}_suppressed",
    "unlogged": "ALTER TABLE {name}_suppressed SET UNLOGGED",
    "a view": "DROP TABLE {name}_suppressed; CREATE VIEW {name}_suppressed AS SELECT 1::int8 AS transaction_id",
    "with a rule": "CREATE RULE nothing AS ON INSERT TO {name}_suppressed DO INSTEAD NOTHING",
    "with row-level security": "ALTER TABLE {name}_suppressed ENABLE ROW LEVEL SECURITY",
    "of another owner": "GRANT CREATE ON SCHEMA public TO {role}; ALTER TABLE {name}_suppressed OWNER TO {role}",
}


@pytest.mark.parametrize("damage", TRACE_DAMAGES)
def test_a_damaged_table_of_suppressed_notifications_is_found_and_fixed(
    migrate: Migrate, served: Listener, role: Role, damage: str
) -> None:
    served.database.execute(TRACE_DAMAGES[damage].format(name=NAME, role=role.name))
    problem, _ = served.state()
    assert problem
    assert f'"public"."{NAME}_suppressed"' in problem
    if damage == "a view":
        # Whoever made it has to remove it.
        assert migrate("live").status == 1
        served.database.execute(f"DROP VIEW {NAME}_suppressed")
    assert migrate("live").out == "live: applied\n"
    assert served.state()[0] is None


def test_everybody_may_read_the_suppressed_notifications_and_only_the_owner_may_change_them(
    served: Listener, role: Role
) -> None:
    with closing(psycopg.connect(role.dsn(served.database), autocommit=True)) as connection:
        assert connection.execute(f"SELECT count(*) FROM {NAME}_suppressed".encode()).fetchall() == [(0,)]
        for change in (f"DELETE FROM {NAME}_suppressed", f"INSERT INTO {NAME}_suppressed VALUES (1, now())"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())


@pytest.mark.parametrize("grantee", ["PUBLIC", "role"])
def test_default_privileges_let_nobody_change_the_suppressed_notifications(
    migrate: Migrate, empty_database: Database, role: Role, grantee: str
) -> None:
    migrate("tables")
    to = role.name if grantee == "role" else grantee
    empty_database.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {to}")
    assert migrate("live").out == "live: applied\n"
    with closing(psycopg.connect(role.dsn(empty_database), autocommit=True)) as connection:
        assert connection.execute(f"SELECT count(*) FROM {NAME}_suppressed".encode()).fetchall() == [(0,)]
        for change in (f"DELETE FROM {NAME}_suppressed", f"TRUNCATE {NAME}_suppressed"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change.encode())


def test_an_owner_who_may_not_notify_is_told_which_right_is_missing(
    migrate: Migrate, served: Listener, role: Role
) -> None:
    served.database.execute(f"""
        ALTER TABLE session OWNER TO {role.name}; ALTER TABLE "user" OWNER TO {role.name};
        REVOKE EXECUTE ON FUNCTION pg_notify FROM PUBLIC
    """)
    ran = migrate("live")
    assert ran.status == 1
    assert f"GRANT EXECUTE ON FUNCTION pg_notify TO {role.name}" in ran.err
    served.database.execute(f"GRANT EXECUTE ON FUNCTION pg_notify TO {role.name}")
    assert migrate("live").out == "live: applied\n"


def test_functions_belong_to_the_owner_of_the_tables_and_not_to_the_role_that_migrates(
    migrate: Migrate, empty_database: Database, role: Role
) -> None:
    migrate("tables")
    empty_database.execute(f'ALTER TABLE session OWNER TO {role.name}; ALTER TABLE "user" OWNER TO {role.name}')
    assert migrate("live").out == "live: applied\n"
    owners = "SELECT DISTINCT pg_get_userbyid(proowner)::text FROM pg_proc WHERE proname LIKE 'auth_middleware_%%'"
    assert empty_database.fetch(owners) == [(role.name,)]
    # The attack: a cast of the table's owner's, which the function runs.
    with closing(psycopg.connect(role.dsn(empty_database), autocommit=True)) as connection:
        empty_database.execute(f"GRANT CREATE ON SCHEMA public TO {role.name}")
        connection.execute("""
            CREATE TABLE caught (name text);
            CREATE TYPE odd AS ENUM ('a');
            CREATE FUNCTION catch(odd) RETURNS text LANGUAGE plpgsql AS
                'BEGIN INSERT INTO public.caught VALUES (current_user); RETURN NULL; END';
            CREATE CAST (odd AS text) WITH FUNCTION catch(odd);
            INSERT INTO "user" (id, name, email) VALUES ('u1', 'Ada', 'ada');
            INSERT INTO session (id, user_id, token, expires_at) VALUES ('s1', 'u1', 't1', now());
            ALTER TABLE session ALTER token TYPE odd USING 'a';
        """)
    empty_database.execute("DELETE FROM session")
    assert empty_database.fetch("SELECT DISTINCT name FROM caught") == [(role.name,)]


def quoted(name: str) -> str:
    return f'"{name.strip(chr(34))}"'


def test_tables_made_anew_need_it_anew(migrate: Migrate, served: Listener) -> None:
    _, before = served.state()
    served.database.execute(f'DROP TABLE session, "user" CASCADE; {tables.CAMEL_CASE}')
    assert served.state()[0] == f"there are no triggers that notify changes {FIXES}"
    assert migrate("live").out == "live: applied\n"
    problem, after = served.state()
    assert problem is None
    assert after != before
    served.database.execute("""INSERT INTO "user" VALUES ('u1', 'Ada', 'ada', true)""")
    assert served.notified('UPDATE "user" SET "emailVerified" = false') == [user_item("u1")]


def test_functions_that_somebody_else_made_before_do_not_stay_theirs(
    migrate: Migrate, empty_database: Database, role: Role
) -> None:
    empty_database.execute(f"""
        {TABLES.read_text()}
        CREATE FUNCTION {NAME}_session() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        ALTER FUNCTION {NAME}_session() OWNER TO {role.name};
    """)
    assert migrate("live").status == 0
    owners = "SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE proname LIKE 'auth_middleware_%'"
    assert empty_database.fetch(owners) == [("postgres",)]


# What leaves no problem behind and could have kept a change from being told, or changed rows by itself.
UNSEEN = {
    "disabled for a while": f"""
        ALTER TABLE session DISABLE TRIGGER {NAME}_delete;
        DELETE FROM session;
        ALTER TABLE session ENABLE ALWAYS TRIGGER {NAME}_delete;
    """,
    "another function for a while": f"""
        DO $$
        DECLARE source text := pg_get_functiondef('{NAME}_session'::regproc);
        BEGIN
            EXECUTE replace(source, 'told', 'untold');
            EXECUTE source;
        END $$
    """,
    "rewritten": "ALTER TABLE session ALTER expires_at TYPE timestamptz USING now()",
    "columns swapped": """
        ALTER TABLE "user" RENAME email TO old; ALTER TABLE "user" RENAME name TO email;
        ALTER TABLE "user" RENAME old TO name;
    """,
    "an heir for a while": "CREATE TABLE heir () INHERITS (session); DROP TABLE heir",
    "inherited for a while": """
        CREATE TABLE parent (token text NOT NULL);
        ALTER TABLE session INHERIT parent; DELETE FROM parent; ALTER TABLE session NO INHERIT parent;
    """,
    "a partition for a while": """
        CREATE TABLE parent (LIKE session) PARTITION BY LIST (token);
        ALTER TABLE parent ATTACH PARTITION session DEFAULT;
        ALTER TABLE parent DETACH PARTITION session;
    """,
    "another table": """
        ALTER TABLE session DROP CONSTRAINT session_user_id_fkey;
        ALTER TABLE account DROP CONSTRAINT account_user_id_fkey;
        ALTER TABLE "user" RENAME TO people; CREATE TABLE "user" (LIKE people INCLUDING ALL);
    """,
    "truncated": "TRUNCATE session",
    "no longer readable": 'REVOKE SELECT ON "user" FROM PUBLIC; GRANT SELECT ON "user" TO PUBLIC',
}


@pytest.mark.parametrize("change", UNSEEN)
def test_the_fingerprint_is_another_after_what_could_not_be_told(
    migrate: Migrate, served: Listener, change: str
) -> None:
    problem, before = served.state()
    assert problem is None
    served.database.execute(UNSEEN[change])
    if change == "another table":
        assert migrate("live").out == "live: applied\n"
    problem, after = served.state()
    assert problem is None
    assert before != after


def test_the_fingerprint_stays_the_same_through_everyday_life(served: Listener, role: Role) -> None:
    before = served.state()
    served.database.execute("""
        INSERT INTO "user" (id, name, email) SELECT n, 'Ada', n FROM generate_series(1, 1000) AS n;
        INSERT INTO session (id, user_id, token, expires_at) SELECT n, n, n, now() FROM generate_series(1, 1000) AS n;
        UPDATE "user" SET name = 'Eve'; DELETE FROM session WHERE id > '5';
        ANALYZE session, "user"; CREATE INDEX ON session (updated_at);
    """)
    for vacuum in ('VACUUM (ANALYZE, FREEZE) session, "user"', "VACUUM (FREEZE) pg_class"):
        served.database.execute(vacuum)
    served.database.execute(f"GRANT SELECT ON account TO {role.name}")
    assert served.state() == before


def test_a_role_that_may_read_the_two_tables_sees_the_same_state(served: Listener, role: Role) -> None:
    served.database.execute(f'GRANT SELECT ON session, "user" TO {role.name}')
    assert served.state(role.dsn(served.database)) == served.state()
    served.database.execute(f"DROP TRIGGER {NAME}_update ON session")
    assert served.state(role.dsn(served.database)) == served.state()
    assert served.state()[0]


REFUSED = {
    "view": ("ALTER TABLE session RENAME TO stored; CREATE VIEW session AS SELECT * FROM stored",
             '"public"."session" is a view', "set AUTH_MIDDLEWARE_SESSION_TABLE to the table below it"),
    "materialized view": ('ALTER TABLE "user" RENAME TO stored; '
                          'CREATE MATERIALIZED VIEW "user" AS SELECT * FROM stored',
                          '"public"."user" is a view', "set AUTH_MIDDLEWARE_USER_TABLE to the table below it"),
    "partitioned": ("ALTER TABLE session RENAME TO old; CREATE TABLE session (LIKE old) PARTITION BY LIST (id)",
                    '"public"."session" is partitioned', "use another freshness"),
    "partition": ("CREATE TABLE parent (LIKE session) PARTITION BY LIST (id); "
                  "ALTER TABLE parent ATTACH PARTITION session DEFAULT",
                  '"public"."session" is partitioned, a partition', "use another freshness"),
    "parent": ("CREATE TABLE heir () INHERITS (session)", "tied to another table by inheritance",
               "use another freshness"),
    "heir": ('CREATE TABLE parent (id text); ALTER TABLE parent ALTER id SET NOT NULL; '
             'ALTER TABLE "user" INHERIT parent', '"public"."user" is', "use another freshness"),
    "foreign": ('ALTER TABLE "user" RENAME TO old; CREATE FOREIGN DATA WRAPPER nothing; '
                'CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing; CREATE FOREIGN TABLE "user" (id text, name text, '
                'email text, email_verified boolean, image text, created_at timestamptz, updated_at timestamptz) '
                'SERVER nowhere', '"public"."user" is a foreign table', "use another freshness"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("was_applied", [False, True])
def test_tables_whose_changes_no_trigger_can_notify_are_refused_by_name(
    migrate: Migrate, empty_database: Database, kind: str, was_applied: bool
) -> None:
    change, what, mend = REFUSED[kind]
    migrate(*(["tables", "live"] if was_applied else ["tables"]))
    empty_database.execute(change)
    ran = migrate("live")
    assert (ran.status, ran.out) == (1, "")
    assert '"live" was not applied, and nothing was changed: ' in ran.err
    assert what in ran.err
    assert mend in ran.err
    assert "migrate live fixes" not in ran.err
    assert migrate("--dry-run", "live").status == 1
    assert recorded(empty_database) == (["live", "tables"] if was_applied else ["tables"])
    assert (f"but not in force: {what}" in migrate().out) == was_applied or kind == "parent"


@pytest.fixture(scope="module")
def logical() -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres(settings={"wal_level": "logical"}) as postgres:
        yield postgres


def test_a_subscriber_is_refused_because_its_changes_fire_no_triggers(
    logical: EmbeddedPostgres, migrate: Migrate
) -> None:
    publisher, subscriber = (Database(logical.create_database(name)) for name in ("publisher", "subscriber"))
    for database in (publisher, subscriber):
        database.execute(TABLES.read_text())
    publisher.execute('CREATE PUBLICATION ours FOR TABLE session, "user"')
    publisher.execute("SELECT pg_create_logical_replication_slot('ours', 'pgoutput')")
    with closing(Listener(subscriber)) as watched:
        subscriber.execute(
            f"CREATE SUBSCRIPTION ours CONNECTION '{publisher.dsn}' PUBLICATION ours WITH (create_slot = false)"
        )
        problem, _ = watched.state()
        ran = migrate("live", dsn=subscriber.dsn)
        # What the publisher changes is changed here, and nobody is told.
        publisher.execute("""INSERT INTO "user" (id, name, email) VALUES ('u1', 'Ada', 'ada')""")
        publisher.execute("""UPDATE "user" SET name = 'Eve'""")
        wait_until(lambda: subscriber.fetch('SELECT name FROM "user"') == [("Eve",)])
        assert watched.received() == []
        subscriber.execute("DROP SUBSCRIPTION ours")
        assert watched.state()[0] is None
    assert problem
    assert '"public"."session" is written by a subscription' in problem
    assert '"public"."user" is written by a subscription' in problem
    assert "read from the publisher" in problem
    assert ran.status == 1
    assert problem in ran.err


class TestDown:
    def test_takes_back_all_of_it(self, migrate: Migrate, served: Listener) -> None:
        assert migrate("--down", "live") == Ran(0, "live: taken back\n", "")
        assert triggers(served.database) == []
        assert functions(served.database) == []
        assert recorded(served.database) == []
        assert served.notified("DELETE FROM session") == []
        assert migrate("live").out == "live: applied\n"
        assert served.notified("TRUNCATE session") == [EVERYTHING]

    def test_leaves_other_records(self, migrate: Migrate, empty_database: Database) -> None:
        migrate("tables", "live")
        migrate("--down", "live")
        assert recorded(empty_database) == ["tables"]

    @pytest.mark.parametrize("names", [["tables"], ["live", "rate_limit"], ["stack_auth"], []])
    def test_of_anything_else_is_refused(self, migrate: Migrate, served: Listener, names: list[str]) -> None:
        ran = migrate("--down", *names)
        assert (ran.status, ran.out) == (1, "")
        assert "only live can be taken back" in ran.err
        assert served.state()[0] is None

    def test_takes_away_what_was_made_by_hand(self, migrate: Migrate, served: Listener) -> None:
        served.database.execute("DROP TABLE auth_middleware_migration")
        assert migrate("--down", "live").out == "live: was not recorded; if its triggers were there, they are gone\n"
        assert triggers(served.database) == []
        assert served.database.fetch("SELECT to_regclass('auth_middleware_migration')") == [(None,)]

    def test_serves_tables_that_can_no_longer_be_served(self, migrate: Migrate, served: Listener) -> None:
        served.database.execute("CREATE TABLE heir () INHERITS (session)")
        assert migrate("--down", "live").out == "live: taken back\n"
        assert functions(served.database) == []

    def test_dry_run_prints_what_would_run(self, migrate: Migrate, served: Listener) -> None:
        ran = migrate("--down", "--dry-run", "live")
        assert ran.status == 0
        assert served.state()[0] is None
        served.database.execute(ran.out)
        assert triggers(served.database) == []
        assert functions(served.database) == []


class TestDryRun:
    def test_prints_the_very_sql_and_writes_nothing(self, migrate: Migrate, empty_database: Database) -> None:
        migrate("tables")
        ran = migrate("--dry-run", "live")
        assert ran.status == 0
        assert functions(empty_database) == []
        empty_database.execute(ran.out)
        assert triggers(empty_database) == sorted(TRIGGERS)
        # It is only not recorded.
        assert migrate("live").out == "live: applied\n"
        assert "-- live: applied already, nothing would run" in migrate("--dry-run", "live").out

    def test_prints_it_too_where_it_is_recorded_and_not_in_force(self, migrate: Migrate, served: Listener) -> None:
        served.database.execute(f"DROP TRIGGER {NAME}_update ON session")
        assert f'CREATE TRIGGER "{NAME}_update"' in migrate("--dry-run").out

    def test_of_all_says_in_a_comment_that_there_are_no_tables_yet(
        self, migrate: Migrate, empty_database: Database
    ) -> None:
        ran = migrate("--dry-run")
        assert ran.status == 0
        assert "-- live: changes of the tables cannot be followed: Better Auth's tables cannot be read" in ran.out
        assert migrate("--dry-run", "live").status == 1
        assert functions(empty_database) == []


class TestWhoMay:
    @pytest.fixture
    def owner(self, empty_database: Database, role: Role) -> Role:
        """Owns the two tables, and nothing else."""
        empty_database.execute(f"""
            CREATE SCHEMA auth;
            {tables.plain(schema="auth")}
            ALTER TABLE auth.session OWNER TO {role.name};
            ALTER TABLE auth."user" OWNER TO {role.name};
            GRANT USAGE ON SCHEMA auth TO {role.name};
        """)
        return role

    def test_the_owner_who_may_create_in_the_schema(
        self, migrate: Migrate, empty_database: Database, owner: Role
    ) -> None:
        empty_database.execute(f"GRANT CREATE ON SCHEMA auth TO {owner.name}")
        ran = migrate("live", dsn=owner.dsn(empty_database), SCHEMA="auth")
        assert ran == Ran(0, "live: applied\n", "")
        assert migrate("--down", "live", dsn=owner.dsn(empty_database), SCHEMA="auth").status == 0

    def test_the_owner_of_tables_that_hide_rows_from_the_owner(
        self, migrate: Migrate, empty_database: Database, owner: Role
    ) -> None:
        empty_database.execute(f"""
            GRANT CREATE ON SCHEMA auth TO {owner.name};
            ALTER TABLE auth.session ENABLE ROW LEVEL SECURITY; ALTER TABLE auth.session FORCE ROW LEVEL SECURITY;
        """)
        assert migrate("live", dsn=owner.dsn(empty_database), SCHEMA="auth").status == 0

    def test_not_the_owner_who_may_not(self, migrate: Migrate, empty_database: Database, owner: Role) -> None:
        ran = migrate("live", dsn=owner.dsn(empty_database), SCHEMA="auth")
        assert ran.status == 1
        assert "permission denied for schema auth" in ran.err
        assert "GRANT CREATE ON SCHEMA" in ran.err

    def test_nobody_else(self, migrate: Migrate, empty_database: Database, make_role: Callable[..., Role]) -> None:
        role = make_role()
        empty_database.execute(f"""
            {tables.plain()}
            GRANT CREATE ON SCHEMA public TO {role.name};
            GRANT ALL ON session, "user" TO {role.name};
        """)
        ran = migrate("live", dsn=role.dsn(empty_database))
        assert ran.status == 1
        assert "a role that owns both tables" in ran.err
        assert "the application itself needs only SELECT" in ran.err
        assert functions(empty_database) == []
        assert empty_database.fetch("SELECT to_regclass('auth_middleware_migration')") == [(None,)]


class TestWhichTables:
    def test_those_that_the_settings_name(self, migrate: Migrate, empty_database: Database) -> None:
        empty_database.execute(f"""
            CREATE SCHEMA auth; {tables.plain(schema="auth")} {tables.plain()}
            ALTER TABLE auth.session RENAME TO logins; ALTER TABLE auth.logins RENAME token TO secret;
            ALTER TABLE auth."user" RENAME TO people; ALTER TABLE auth.people RENAME id TO number;
        """)
        settings = {
            "SCHEMA": "auth",
            "SESSION_TABLE": "logins",
            "USER_TABLE": "people",
            "SESSION_COLUMNS": '{"token": "secret"}',
            "USER_COLUMNS": '{"id": "number"}',
        }
        assert migrate("live", **settings) == Ran(0, "live: applied\n", "")
        name = channel('"auth"."logins"')
        assert {table for table, _ in triggers(empty_database)} == {"auth.logins", "auth.people"}
        assert {trigger.rpartition("_")[0] for _, trigger in triggers(empty_database)} == {name}
        assert migrate("live", **settings).out == "live: applied already, nothing was done\n"

    def test_two_session_tables_beside_one_user_table_do_not_meet(
        self, migrate: Migrate, empty_database: Database
    ) -> None:
        empty_database.execute(f"{tables.plain()} CREATE TABLE staff (LIKE session)")
        assert migrate("live").status == 0
        # Recorded once, but these are others.
        assert migrate("live", SESSION_TABLE="staff").out == "live: applied\n"
        empty_database.execute(tables.person("u1", "t1"))
        with (
            closing(Listener(empty_database, '"public"."staff"', {"session_table": "staff"}, apply=False)) as staff,
            closing(Listener(empty_database, apply=False)) as everybody,
        ):
            assert (staff.state()[0], everybody.state()[0]) == (None, None)
            empty_database.execute("DELETE FROM session")
            assert (staff.received(), everybody.received()) == ([], [token_item("t1")])
            empty_database.execute("""UPDATE "user" SET name = 'Eve'""")
            assert staff.received() == everybody.received() == [user_item("u1")]

    def test_none_is_said(self, migrate: Migrate) -> None:
        ran = migrate("live")
        assert (ran.status, ran.out) == (1, "")
        assert "no table session or sessions in the search path; has Better Auth's migration run" in ran.err


def test_a_lock_is_waited_for_but_not_for_long(migrate: Migrate, empty_database: Database) -> None:
    migrate("tables")
    with psycopg.connect(empty_database.dsn) as reader:
        reader.execute("SELECT FROM session")
        ran = migrate("live")
    assert ran.status == 1
    assert "canceling statement due to lock timeout. Another transaction holds a lock on a table: try again." in ran.err
    assert functions(empty_database) == []
    assert migrate("live").status == 0


def test_a_migration_that_an_event_trigger_undoes_is_not_recorded(migrate: Migrate, empty_database: Database) -> None:
    migrate("tables")
    empty_database.execute(f"""
        CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = '{NAME}_truncate' AND tgrelid = 'session'::regclass) THEN
                DROP TRIGGER {NAME}_update ON session;
            END IF;
        END $$;
        CREATE EVENT TRIGGER meddle ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION meddle();
    """)
    ran = migrate("live")
    assert ran.status == 1
    assert f"there is no trigger {NAME}_update" in ran.err
    assert recorded(empty_database) == ["tables"]
    assert functions(empty_database) == []


def test_it_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["migrate", "--help"])
    assert 'triggers that notify of changes, for freshness "live"' in capsys.readouterr().out


def test_names_differ_by_the_session_table_alone() -> None:
    assert NAME == "auth_middleware_c37af32e77561dcb"
    assert len({channel(f'"{secrets.token_hex(2)}"."session"') for _ in range(3)}) == 3
