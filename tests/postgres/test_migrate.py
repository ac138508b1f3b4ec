"""`python -m auth_middleware migrate`, against a real PostgreSQL."""

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from importlib.resources import files
from typing import NamedTuple

import psycopg
import pytest
from psycopg.types.json import Jsonb

from auth_middleware import SchemaError
from auth_middleware._core import Migrations
from auth_middleware.cli import main
from auth_middleware.cli.migrate import MIGRATIONS, PURPOSES
from dev.postgres import EmbeddedPostgres, execute, fetch
from tests.support.instances import unreachable_dsn
from tests.support.tables import CAMEL_CASE as BETTER_AUTHS_OWN

BETTER_AUTH = ["account", "session", "user", "verification"]
RECORD = "auth_middleware_migration"

CAMEL_CASE = {
    "user": 'CREATE TABLE "user" (id text, name text, email text, "emailVerified" boolean)',
    "session": 'CREATE TABLE session (id text, token text, "userId" text, "expiresAt" timestamptz)',
    "account": 'CREATE TABLE account (id text, "userId" text, "accountId" text, "providerId" text)',
    "verification": 'CREATE TABLE verification (id text, identifier text, value text, "expiresAt" timestamptz)',
}

# As Neon has it: all but two columns are made from raw_json.
USERS_SYNC = """
    CREATE SCHEMA neon_auth;
    CREATE TABLE neon_auth.users_sync (
        raw_json   jsonb NOT NULL,
        id         text GENERATED ALWAYS AS (raw_json ->> 'id') STORED PRIMARY KEY,
        name       text GENERATED ALWAYS AS (raw_json ->> 'display_name') STORED,
        email      text GENERATED ALWAYS AS (raw_json ->> 'primary_email') STORED,
        created_at timestamptz GENERATED ALWAYS AS
                   (to_timestamp(trunc((raw_json ->> 'signed_up_at_millis')::bigint / 1000.0))) STORED,
        updated_at timestamptz,
        deleted_at timestamptz
    );
"""
SIGNED_UP = datetime(2024, 5, 1, 12, 0, 0, tzinfo=UTC)
UPDATED = datetime(2024, 6, 1, 12, 0, 0, tzinfo=UTC)


class Ran(NamedTuple):
    status: int
    out: str
    err: str


class StackUser(NamedTuple):
    id: str
    email: str | None
    name: str | None = None
    signed_up: datetime | None = SIGNED_UP
    updated: datetime | None = UPDATED
    deleted: datetime | None = None
    raw: Mapping[str, object] = {}  # what raw_json has besides


@pytest.fixture(scope="module")
def postgres() -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres() as postgres:
        yield postgres


@pytest.fixture
def dsn(postgres: EmbeddedPostgres) -> Generator[str]:
    """An empty database."""
    name = f"test_{secrets.token_hex(6)}"
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture
def migrate(dsn: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs the command in this process, with DATABASE_URL set; `environment` is set besides."""

    def run(*arguments: str, **environment: str) -> Ran:
        with monkeypatch.context() as patch:
            patch.delenv("AUTH_MIDDLEWARE_SCHEMA", raising=False)
            for name, value in {"DATABASE_URL": dsn, **environment}.items():
                patch.setenv(name, value)
            capsys.readouterr()
            try:
                status = main(["migrate", *arguments])
            except SystemExit as usage:
                status = int(usage.code or 0)
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


def tables(dsn: str, schema: str = "public") -> list[str]:
    query = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = %s ORDER BY 1"
    return [name for (name,) in fetch(dsn, query, schema)]


def recorded(dsn: str) -> list[str]:
    return [name for (name,) in fetch(dsn, "SELECT name FROM auth_middleware_migration ORDER BY name")]


def with_search_path(dsn: str, path: str) -> str:
    return f"{dsn}?options=-c%20search_path%3D{path}"


def test_without_a_name_it_lists_what_is_open_and_writes_nothing(migrate: Callable[..., Ran], dsn: str) -> None:
    ran = migrate()
    assert ran.status == 0
    assert [line.split()[:2] for line in ran.out.splitlines()] == [[name, "open"] for name in PURPOSES]
    assert tables(dsn) == []


def test_tables_makes_better_auths_tables_and_records_it(migrate: Callable[..., Ran], dsn: str) -> None:
    assert migrate("tables") == Ran(0, "tables: applied\n", "")
    assert tables(dsn) == sorted([*BETTER_AUTH, RECORD])
    assert recorded(dsn) == ["tables"]
    [(when,)] = fetch(dsn, "SELECT applied_at FROM auth_middleware_migration")
    state = migrate().out.splitlines()
    assert state[0].split()[:3] == ["tables", "applied", f"{when.astimezone():%Y-%m-%d}"]
    assert state[1].split()[:2] == ["rate_limit", "open"]


def test_a_second_run_does_nothing_and_says_so(migrate: Callable[..., Ran], dsn: str) -> None:
    migrate("tables")
    [before] = fetch(dsn, "SELECT * FROM auth_middleware_migration")
    assert migrate("tables") == Ran(0, "tables: applied already, nothing was done\n", "")
    assert fetch(dsn, "SELECT * FROM auth_middleware_migration") == [before]


def test_tables_that_were_made_by_hand_stay_with_their_rows(migrate: Callable[..., Ran], dsn: str) -> None:
    execute(dsn, MIGRATIONS["tables"].sql)
    execute(dsn, """INSERT INTO "user" (id, name, email) VALUES ('u1', 'Ada', 'ada@example.com')""")
    assert migrate("tables").status == 0
    assert fetch(dsn, 'SELECT id FROM "user"') == [("u1",)]
    assert recorded(dsn) == ["tables"]


def test_several_run_in_their_own_order_whatever_the_order_of_the_names(migrate: Callable[..., Ran], dsn: str) -> None:
    execute(dsn, USERS_SYNC)
    ran = migrate("stack_auth", "rate_limit", "tables", "tables")
    assert ran.status == 0
    assert [line for line in ran.out.splitlines() if line.endswith(": applied")] == [
        "tables: applied",
        "rate_limit: applied",
        "stack_auth: applied",
    ]
    assert recorded(dsn) == ["rate_limit", "stack_auth", "tables"]


def test_the_first_that_fails_ends_the_run_and_what_was_applied_before_stays(
    migrate: Callable[..., Ran], dsn: str
) -> None:
    ran = migrate("tables", "stack_auth")
    assert ran.status == 1
    assert ran.out == "tables: applied\n"
    assert "neon_auth.users_sync" in ran.err
    assert recorded(dsn) == ["tables"]


def test_of_two_processes_at_once_one_applies_and_the_other_finds_it_done(dsn: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with closing(psycopg.connect(dsn)) as blocker:
        # What each run takes first: so both are under way before either can write.
        blocker.execute("SELECT pg_advisory_xact_lock(7022362994164359524)")
        command = [sys.executable, "-m", "auth_middleware", "migrate", "tables", "rate_limit"]
        runs = [
            subprocess.Popen(command, env={**os.environ, "DATABASE_URL": dsn}, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        deadline = time.monotonic() + 60
        while fetch(dsn, waiting) != [(2,)]:
            assert time.monotonic() < deadline, "they did not both wait for the lock"
            time.sleep(0.02)
        blocker.rollback()
    said = "".join(run.communicate(timeout=60)[0] for run in runs)
    assert [run.returncode for run in runs] == [0, 0]
    for name in ("tables", "rate_limit"):
        assert said.count(f"{name}: applied\n") == 1
        assert said.count(f"{name}: applied already, nothing was done\n") == 1
    assert recorded(dsn) == ["rate_limit", "tables"]


async def test_a_migration_that_fails_half_way_changes_nothing(dsn: str) -> None:
    half_way = "CREATE TABLE half (id int); INSERT INTO half VALUES (1); SELECT 1 / (id - 1) FROM half;"
    migrations = Migrations(dsn, None)
    with pytest.raises(SchemaError, match=r'"half" was not applied, and nothing was changed: division by zero'):
        await migrations.apply("half", half_way)
    assert tables(dsn) == []
    assert await migrations.applied() == {}
    # Nothing of the failure stays: the mended one can be applied.
    assert await migrations.apply("half", "CREATE TABLE half (id int); SELECT 1, NULL;") == [["1", None]]
    assert list(await migrations.applied() or {}) == ["half"]


def test_another_applications_table_of_the_same_name_is_refused(migrate: Callable[..., Ran], dsn: str) -> None:
    execute(dsn, "CREATE TABLE verification (id text, identifier text, value text, checked boolean)")
    ran = migrate("tables")
    assert ran.status == 1
    assert 'column "expires_at" does not exist' in ran.err
    assert tables(dsn) == ["verification"]


@pytest.mark.parametrize("table", BETTER_AUTH)
def test_tables_refuses_beside_better_auths_own_camel_case_tables(
    migrate: Callable[..., Ran], dsn: str, table: str
) -> None:
    execute(dsn, CAMEL_CASE[table])
    ran = migrate("tables")
    assert ran.status == 1
    assert ran.out == ""
    assert (
        "Better Auth's tables are here already, with camelCase columns: public."
        + ('"user"' if table == "user" else table)
        in ran.err
    )
    assert "auth_middleware reads them as they are" in ran.err
    assert tables(dsn) == [table]


def test_tables_goes_into_the_schema_that_the_search_path_in_the_options_leads_to(
    migrate: Callable[..., Ran], dsn: str
) -> None:
    execute(dsn, f"CREATE SCHEMA auth; {CAMEL_CASE['user']}")
    scoped = with_search_path(dsn, "auth")
    assert migrate("tables", "--database-url", scoped).status == 0
    assert tables(dsn, "auth") == sorted([*BETTER_AUTH, RECORD])
    assert tables(dsn) == ["user"]
    # The record goes with the schema.
    assert migrate("--database-url", scoped).out.splitlines()[0].split()[1] == "applied"
    assert migrate().out.splitlines()[0].split()[1] == "open"


def test_a_record_further_down_the_search_path_is_another_schemas(migrate: Callable[..., Ran], dsn: str) -> None:
    migrate("tables")
    execute(dsn, "CREATE SCHEMA auth")
    scoped = with_search_path(dsn, "auth%2Cpublic")
    assert migrate("--database-url", scoped).out.splitlines()[0].split()[1] == "open"
    assert migrate("tables", "--database-url", scoped).status == 0
    assert tables(dsn, "auth") == sorted([*BETTER_AUTH, RECORD])


@pytest.mark.parametrize("quoted", ["auth", "My Schema"])
def test_the_schema_that_the_application_reads_from_is_the_one_that_is_written_to(
    migrate: Callable[..., Ran], dsn: str, quoted: str
) -> None:
    execute(dsn, f'CREATE SCHEMA "{quoted}"')
    assert migrate("tables", AUTH_MIDDLEWARE_SCHEMA=quoted).status == 0
    assert migrate("rate_limit", "--database-url", f"{dsn}?schema={quoted.replace(' ', '%20')}").status == 0
    assert tables(dsn, quoted) == sorted([*BETTER_AUTH, RECORD, "rate_limit"])
    assert tables(dsn) == []


def test_a_schema_that_does_not_exist_is_reported(migrate: Callable[..., Ran], dsn: str) -> None:
    ran = migrate("tables", "--database-url", with_search_path(dsn, "nowhere"))
    assert ran.status == 1
    assert "create it first" in ran.err
    assert migrate("--database-url", with_search_path(dsn, "nowhere")).status == 0


def test_a_dry_run_prints_the_sql_that_would_run_and_writes_nothing(migrate: Callable[..., Ran], dsn: str) -> None:
    ran = migrate("rate_limit", "tables", "--dry-run")
    assert ran.status == 0
    assert MIGRATIONS["tables"].sql in ran.out
    assert MIGRATIONS["rate_limit"].sql in ran.out
    assert tables(dsn) == []
    # It is SQL, comments and all.
    execute(dsn, ran.out)
    assert tables(dsn) == sorted([*BETTER_AUTH, "rate_limit"])


def test_a_dry_run_leaves_out_what_is_applied(migrate: Callable[..., Ran], dsn: str) -> None:
    execute(dsn, USERS_SYNC)
    migrate("tables", "rate_limit")
    ran = migrate("--dry-run")
    assert "-- tables: applied already, nothing would run" in ran.out
    assert MIGRATIONS["tables"].sql not in ran.out
    assert MIGRATIONS["stack_auth"].sql in ran.out
    assert recorded(dsn) == ["rate_limit", "tables"]


def test_jwks_has_better_auths_columns_in_snake_case(migrate: Callable[..., Ran], dsn: str) -> None:
    assert migrate("jwks").status == 0
    query = "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = 'jwks'"
    assert sorted(fetch(dsn, query)) == [
        ("alg", "text"),
        ("created_at", "timestamp with time zone"),
        ("crv", "text"),
        ("expires_at", "timestamp with time zone"),
        ("id", "text"),
        ("private_key", "text"),
        ("public_key", "text"),
    ]
    assert migrate("jwks") == Ran(0, "jwks: applied already, nothing was done\n", "")


@pytest.mark.parametrize("columns", ['id text, "publicKey" text', "id text, public_key text, private_key text"])
def test_jwks_refuses_a_table_with_other_columns(migrate: Callable[..., Ran], dsn: str, columns: str) -> None:
    execute(dsn, f"CREATE TABLE jwks ({columns})")
    ran = migrate("jwks")
    assert ran.status == 1
    assert 'table jwks: column "created_at" does not exist' in ran.err
    assert tables(dsn) == ["jwks"]


def test_rate_limit_has_better_auths_columns_in_snake_case(migrate: Callable[..., Ran], dsn: str) -> None:
    assert migrate("rate_limit").status == 0
    query = "SELECT column_name::text, data_type::text FROM information_schema.columns WHERE table_name = 'rate_limit'"
    assert sorted(fetch(dsn, query)) == [
        ("count", "integer"),
        ("id", "text"),
        ("key", "text"),
        ("last_request", "bigint"),
    ]


def stack_database(dsn: str, *users: StackUser) -> None:
    execute(dsn, USERS_SYNC)
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        for user in users:
            raw = {
                "id": user.id,
                "display_name": user.name,
                "primary_email": user.email,
                "signed_up_at_millis": user.signed_up and int(user.signed_up.timestamp() * 1000),
                **user.raw,
            }
            connection.execute(
                "INSERT INTO neon_auth.users_sync (raw_json, updated_at, deleted_at) VALUES (%s, %s, %s)",
                (Jsonb(raw), user.updated, user.deleted),
            )


def test_stack_auths_users_become_users_with_their_times(migrate: Callable[..., Ran], dsn: str) -> None:
    stack_database(dsn, StackUser("s1", "Ada@Example.com", "Ada"), StackUser("s2", "bob@example.com"))
    ran = migrate("tables", "stack_auth")
    assert ran.status == 0
    assert ran.out.splitlines()[1:] == ["stack_auth: applied", "  2 of 2 users migrated", *counts(unknown=2)]
    assert fetch(dsn, 'SELECT * FROM "user" ORDER BY id') == [
        # In lower case: Better Auth looks for it so, whatever is typed.
        ("s1", "Ada", "ada@example.com", True, None, SIGNED_UP, UPDATED),
        ("s2", "bob@example.com", "bob@example.com", True, None, SIGNED_UP, UPDATED),
    ]


def test_times_that_stack_auth_does_not_know_are_now(migrate: Callable[..., Ran], dsn: str) -> None:
    stack_database(dsn, StackUser("s1", "ada@example.com", signed_up=None, updated=None))
    before = datetime.now(UTC)
    assert migrate("tables", "stack_auth").status == 0
    [(created_at, updated_at)] = fetch(dsn, 'SELECT created_at, updated_at FROM "user"')
    assert before <= created_at == updated_at <= datetime.now(UTC)


def test_users_that_cannot_be_migrated_from_stack_auth_are_listed_row_by_row(
    migrate: Callable[..., Ran], dsn: str
) -> None:
    later = SIGNED_UP.replace(year=2025)
    stack_database(
        dsn,
        StackUser("known", "new@example.com", "New name"),
        StackUser("no-address", None, "Nobody"),
        StackUser("blank", "  ", "Blank"),
        StackUser("taken", "grace@example.com"),
        StackUser("taken-otherwise", "GRACE@Example.COM"),
        StackUser("taken-by-odd-one", "odd@example.com"),
        StackUser("gone", "gone@example.com", deleted=UPDATED),
        StackUser("gone-namesake", "Ada@example.com", deleted=UPDATED, signed_up=SIGNED_UP.replace(year=2020)),
        StackUser("younger", "ADA@example.com", signed_up=later),
        StackUser("no-time", "aDa@example.com", signed_up=None),
        StackUser("older", "ada@example.com", " Ada "),
    )
    assert migrate("tables").status == 0
    execute(
        dsn,
        """INSERT INTO "user" (id, name, email) VALUES
           ('known', 'Old name', 'old@example.com'), ('grace', 'Grace', 'grace@example.com'),
           ('odd', 'Odd', 'Odd@Example.com')""",
    )
    existing = fetch(dsn, 'SELECT * FROM "user" ORDER BY id')

    ran = migrate("stack_auth")
    assert ran.status == 0
    assert ran.out.splitlines() == [
        "stack_auth: applied",
        "  blank: not migrated: no e-mail address",
        "  gone: not migrated: deleted at Stack Auth",
        "  gone-namesake: not migrated: deleted at Stack Auth",
        "  known: not migrated: a user with this id is here already",
        "  no-address: not migrated: no e-mail address",
        "  no-time: not migrated: its address belongs to the user older",
        "  taken: not migrated: its address belongs to the user grace",
        "  taken-by-odd-one: not migrated: its address belongs to the user odd",
        "  taken-otherwise: not migrated: its address belongs to the user grace",
        "  younger: not migrated: its address belongs to the user older",
        "  1 of 11 users migrated",
        *counts(unknown=1),
    ]
    assert fetch(dsn, """SELECT id, name, email FROM "user" WHERE id NOT IN ('known', 'grace', 'odd')""") == [
        ("older", "Ada", "ada@example.com")
    ]
    assert fetch(dsn, """SELECT * FROM "user" WHERE id <> 'older' ORDER BY id""") == existing


def counts(*, verified: int = 0, unverified: int = 0, unknown: int = 0, marked: str = "verified") -> list[str]:
    return [
        f"  address verified at Stack Auth: {verified}",
        f"  address not verified at Stack Auth: {unverified}",
        f"  not stated in raw_json, marked as {marked}: {unknown}",
    ]


@pytest.mark.parametrize(("options", "assumed"), [([], True), (["--unverified"], False)])
def test_an_address_is_verified_where_stack_auth_says_so(
    migrate: Callable[..., Ran], dsn: str, options: list[str], assumed: bool
) -> None:
    said: dict[str, tuple[Mapping[str, object], bool]] = {
        "a-true": ({"primary_email_verified": True}, True),
        "b-text": ({"primary_email_verified": "True"}, True),
        "c-false": ({"primary_email_verified": False}, False),
        "d-text": ({"primary_email_verified": "false"}, False),
        "e-number": ({"primary_email_verified": 1}, False),
        "f-object": ({"primary_email_verified": {"at": "2024-05-01"}}, False),
        "g-null": ({"primary_email_verified": None}, assumed),
        "h-absent": ({}, assumed),
        "i-elsewhere": ({"client_metadata": {"primary_email_verified": True}}, assumed),
    }
    stack_database(dsn, *(StackUser(name, f"{name}@example.com", raw=raw) for name, (raw, _) in said.items()))
    ran = migrate("tables", "stack_auth", *options)
    assert ran.status == 0
    assert fetch(dsn, 'SELECT id, email_verified FROM "user" ORDER BY id') == [
        (name, verified) for name, (_, verified) in said.items()
    ]
    marked = "verified" if assumed else "not verified"
    assert ran.out.splitlines()[2:] == [
        "  9 of 9 users migrated",
        *counts(verified=2, unverified=4, unknown=3, marked=marked),
    ]


def test_only_migrated_rows_are_counted(migrate: Callable[..., Ran], dsn: str) -> None:
    verified, unverified = {"primary_email_verified": True}, {"primary_email_verified": False}
    stack_database(
        dsn,
        StackUser("s1", "ada@example.com", raw=verified),
        StackUser("s2", "ada@example.com", raw=verified),
        StackUser("s3", "bob@example.com", raw=unverified, deleted=UPDATED),
        StackUser("s4", None),
    )
    assert migrate("tables", "stack_auth").out.splitlines()[-4:] == ["  1 of 4 users migrated", *counts(verified=1)]


def test_an_address_goes_to_who_verified_it_before_who_signed_up_first(migrate: Callable[..., Ran], dsn: str) -> None:
    early, late = SIGNED_UP.replace(year=2020), SIGNED_UP.replace(year=2025)
    verified, unverified = {"primary_email_verified": True}, {"primary_email_verified": False}
    stack_database(
        dsn,
        StackUser("a-squatter", "ada@example.com", signed_up=early, raw=unverified),
        StackUser("a-owner", "Ada@example.com", signed_up=late, raw=verified),
        StackUser("b-squatter", "bob@example.com", signed_up=early, raw=unverified),
        StackUser("b-unknown", "bob@example.com", signed_up=late),
        StackUser("c-older", "cyd@example.com", signed_up=early, raw=verified),
        StackUser("c-younger", "cyd@example.com", signed_up=late, raw=verified),
    )
    ran = migrate("tables", "stack_auth")
    assert fetch(dsn, 'SELECT id FROM "user" ORDER BY id') == [("a-owner",), ("b-unknown",), ("c-older",)]
    assert "  a-squatter: not migrated: its address belongs to the user a-owner" in ran.out.splitlines()


@pytest.mark.parametrize("column", ["ADD COLUMN raw_json json", "ADD COLUMN raw_json jsonb", "ADD COLUMN other text"])
def test_users_sync_without_anything_in_raw_json_is_migrated_too(
    migrate: Callable[..., Ran], dsn: str, column: str
) -> None:
    execute(dsn, "CREATE SCHEMA neon_auth; CREATE TABLE neon_auth.users_sync (id text, name text, email text)")
    execute(dsn, "ALTER TABLE neon_auth.users_sync ADD created_at timestamptz, ADD updated_at timestamptz")
    execute(dsn, f"ALTER TABLE neon_auth.users_sync ADD deleted_at timestamptz, {column}")
    execute(dsn, "INSERT INTO neon_auth.users_sync (id, email) VALUES ('s1', 'ada@example.com')")
    ran = migrate("tables", "stack_auth", "--unverified")
    assert ran.out.splitlines()[-1:] == counts(unknown=1, marked="not verified")[-1:]
    assert fetch(dsn, 'SELECT email_verified FROM "user"') == [(False,)]


def test_a_databases_own_setting_does_not_decide_what_is_assumed(migrate: Callable[..., Ran], dsn: str) -> None:
    stack_database(dsn, StackUser("s1", "ada@example.com"))
    [(name,)] = fetch(dsn, "SELECT current_database()::text")
    execute(dsn, f"ALTER DATABASE {name} SET auth_middleware.assume_verified = 'off'")
    assert migrate("tables", "stack_auth").status == 0
    assert fetch(dsn, 'SELECT email_verified FROM "user"') == [(True,)]


def test_a_dry_run_shows_what_unverified_changes(migrate: Callable[..., Ran], dsn: str) -> None:
    stack_database(dsn, StackUser("s1", "ada@example.com"))
    migrate("tables")
    for options, setting in (([], "on"), (["--unverified"], "off")):
        printed = migrate("stack_auth", "--dry-run", *options).out
        assert f"SET LOCAL auth_middleware.assume_verified TO '{setting}';" in printed
        assert MIGRATIONS["stack_auth"].sql in printed


@pytest.mark.parametrize("names", [[], ["tables"], ["live", "--down"]])
def test_unverified_without_stack_auth_is_refused(migrate: Callable[..., Ran], dsn: str, names: list[str]) -> None:
    ran = migrate(*names, "--unverified")
    assert (ran.status, tables(dsn)) == (1, [])
    assert "--unverified applies to stack_auth only" in ran.err


def test_stack_auth_waits_for_a_sign_up_that_is_under_way(migrate: Callable[..., Ran], dsn: str) -> None:
    stack_database(dsn, StackUser("s1", "ada@example.com"))
    migrate("tables")
    with closing(psycopg.connect(dsn)) as sign_up:
        sign_up.execute("""INSERT INTO "user" (id, name, email) VALUES ('u1', 'Ada', 'ada@example.com')""")
        command = [sys.executable, "-m", "auth_middleware", "migrate", "stack_auth"]
        run = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": dsn}, stdout=subprocess.PIPE, text=True)
        waiting = """SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '"user"'::regclass"""
        deadline = time.monotonic() + 60
        while fetch(dsn, waiting) != [(1,)]:
            assert time.monotonic() < deadline, "it did not wait"
            time.sleep(0.02)
        sign_up.commit()
    said, _ = run.communicate(timeout=60)
    assert run.returncode == 0
    assert "s1: not migrated: its address belongs to the user u1" in said


def test_stack_auth_needs_the_tables_first_and_says_so(migrate: Callable[..., Ran], dsn: str) -> None:
    stack_database(dsn, StackUser("s1", "ada@example.com"))
    ran = migrate("stack_auth")
    assert ran.status == 1
    assert 'Apply the migration "tables" first' in ran.err
    assert tables(dsn) == []


def test_a_role_that_may_not_create_tables_is_told_what_it_needs(
    migrate: Callable[..., Ran], postgres: EmbeddedPostgres, dsn: str
) -> None:
    role, password = f"role_{secrets.token_hex(4)}", secrets.token_hex(8)
    execute(postgres.dsn(), f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
    ran = migrate("tables", "--database-url", dsn.replace(f"postgres:{postgres.password}@", f"{role}:{password}@"))
    assert ran.status == 1
    assert "permission denied for schema public" in ran.err
    assert "a role that may create tables" in ran.err


def test_a_name_that_is_none_is_a_mistake_in_the_command(migrate: Callable[..., Ran], dsn: str) -> None:
    ran = migrate("tables", "tabels")
    assert ran.status == 2
    assert "there is no migration 'tabels', only tables, rate_limit, jwks, stack_auth" in ran.err
    assert tables(dsn) == []


def test_without_a_database_url_it_says_which_variable_to_set(migrate: Callable[..., Ran]) -> None:
    ran = migrate("tables", DATABASE_URL="")
    assert ran.status == 1
    assert "DATABASE_URL is not set" in ran.err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:geheim-wort@127.0.0.1:1/none",
        "mysql://ada:geheim-wort@127.0.0.1/none",
        "postgresql://ada:geheim-wort@127.0.0.1:port/none",
    ],
)
def test_a_database_that_cannot_be_reached_is_said_without_its_password(migrate: Callable[..., Ran], url: str) -> None:
    ran = migrate("tables", "--database-url", url)
    assert ran.status == 1
    assert ran.err.startswith("auth_middleware: ")
    assert len(ran.err.splitlines()) == 1
    assert "geheim" not in ran.out + ran.err


def test_every_file_of_the_folder_is_a_migration_that_can_be_named() -> None:
    folder = {file.name for file in files("auth_middleware").joinpath("migrations").iterdir()}
    assert folder == {migration.file for migration in MIGRATIONS.values()}


def test_the_command_is_the_packages_own() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "auth_middleware", "migrate", "--help"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert all(name in help_text for name in PURPOSES)


class TestARoleThatMayOnlyRead:
    """As the application's own: the state of things is for everybody to see."""

    @pytest.fixture
    def reader(self, postgres: EmbeddedPostgres, dsn: str) -> str:
        name, password = f"reader_{secrets.token_hex(4)}", secrets.token_hex(8)
        execute(dsn, f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
        return dsn.replace(f"postgres:{postgres.password}@", f"{name}:{password}@")

    def test_sees_tables_that_another_tool_made(self, migrate: Callable[..., Ran], dsn: str, reader: str) -> None:
        execute(dsn, MIGRATIONS["tables"].sql)
        execute(dsn, f'GRANT SELECT ON "user", session TO {reader.split("//")[1].partition(":")[0]}')
        for url in (reader, dsn):
            ran = migrate("--database-url", url)
            assert (ran.status, ran.err) == (0, "")
            assert ran.out.startswith("tables: made by another tool ")
            assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [
                ["rate_limit", "open"],
                ["jwks", "open"],
                ["stack_auth", "open"],
                ["live", "open"],
            ]

    def test_sees_that_it_may_not_read_the_record(self, migrate: Callable[..., Ran], dsn: str, reader: str) -> None:
        assert migrate("tables").status == 0
        ran = migrate("--database-url", reader)
        assert (ran.status, ran.err) == (0, "")
        lines = ran.out.splitlines()
        assert lines[0].startswith("tables: made by another tool ")
        assert lines[1].split()[:2] == ["rate_limit", "unknown"]
        assert "may not read auth_middleware_migration" in lines[-1]
        execute(dsn, f"GRANT SELECT ON {RECORD} TO {reader.split('//')[1].partition(':')[0]}")
        assert migrate("--database-url", reader).out.splitlines()[0].split()[:2] == ["tables", "applied"]

    def test_sees_camel_case_tables_too(self, migrate: Callable[..., Ran], dsn: str, reader: str) -> None:
        execute(dsn, BETTER_AUTHS_OWN)
        assert migrate("--database-url", reader).out.startswith("tables: made by another tool ")
        execute(dsn, 'DROP TABLE session; CREATE TABLE session (id text, "userId" text)')
        assert migrate("--database-url", reader).out.splitlines()[0].split()[:2] == ["tables", "open"]


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_dry_run_of_a_file_needs_no_database(migrate: Callable[..., Ran], name: str) -> None:
    for url in ("", unreachable_dsn()):
        ran = migrate(name, "--dry-run", DATABASE_URL=url)
        assert (ran.status, ran.err) == (0, "")
        assert MIGRATIONS[name].sql in ran.out
        assert "-- What is applied already is unknown: " in ran.out
        assert migrate("live", "--dry-run", DATABASE_URL=url).status == 1
        everything = migrate("--dry-run", DATABASE_URL=url)
        assert everything.status == 0
        assert everything.out.endswith("-- live: written for the tables that are found\n\n")
