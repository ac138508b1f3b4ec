"""`python -m auth_middleware migrate live --ignoring`: the command."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from auth_middleware.cli import main
from tests.support.databases import TABLES, Database

LINE = "updates that change only these columns are not notified"


class Ran(NamedTuple):
    status: int
    out: str
    err: str


Migrate = Callable[..., Ran]


@pytest.fixture
def migrate(empty_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Migrate:
    """Runs the command in this process, on Better Auth's tables with times of the last activity."""
    empty_database.execute(
        TABLES.read_text()
        + 'ALTER TABLE session ADD "lastActivityAt" timestamptz; ALTER TABLE "user" ADD last_seen timestamptz'
    )
    monkeypatch.setenv("DATABASE_URL", empty_database.dsn)

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(["migrate", *arguments])
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


def test_it_says_what_is_ignored_and_a_second_run_does_nothing(migrate: Migrate) -> None:
    arguments = ("live", "--ignoring", "session.lastActivityAt,session.updatedAt", "--ignoring", "user.lastSeen")
    columns = "session.updated_at, session.lastActivityAt, user.last_seen"
    assert migrate(*arguments) == Ran(0, f"live: applied\n  {LINE}: {columns}\n", "")
    assert migrate(*arguments) == Ran(0, "live: applied already, nothing was done\n", "")
    again = ("live", "--ignoring", 'user."last_seen", session.updated_at,session.last_activity_at')
    assert migrate(*again).out == "live: applied already, nothing was done\n"
    listed = [line.split() for line in migrate().out.splitlines()]
    [number] = [number for number, words in enumerate(listed) if words[:2] == ["live", "applied"]]
    assert listed[number + 1] == f"{LINE}: {columns}".split()


def test_another_list_and_no_list_replace_the_former(migrate: Migrate) -> None:
    migrate("live", "--ignoring", "session.lastActivityAt")
    assert migrate("live", "--ignoring", "user.last_seen").out == f"live: applied\n  {LINE}: user.last_seen\n"
    assert migrate("live").out == "live: applied\n"
    assert LINE not in migrate().out
    assert migrate("live").out == "live: applied already, nothing was done\n"


def test_down_removes_triggers_that_ignore_columns(migrate: Migrate, empty_database: Database) -> None:
    migrate("live", "--ignoring", "session.lastActivityAt")
    assert migrate("--down", "live").out == "live: taken back\n"
    assert empty_database.fetch("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]


def test_dry_run_prints_the_very_sql(migrate: Migrate, empty_database: Database) -> None:
    arguments = ("live", "--ignoring", "session.lastActivityAt")
    printed = migrate("--dry-run", *arguments)
    assert printed.status == 0
    assert "REFERENCING OLD TABLE AS gone NEW TABLE AS came" in printed.out
    assert empty_database.fetch("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]
    empty_database.execute(printed.out)
    assert migrate(*arguments).status == 0  # it is only not recorded
    assert "applied already, nothing would run" in migrate("--dry-run", *arguments).out
    assert "NEW TABLE AS came" not in migrate("--dry-run", "live").out
    assert "CREATE TRIGGER" in migrate("--dry-run", "live").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tables", "--ignoring", "session.lastActivityAt"], "applies to the migration live only"),
        (["--ignoring", "session.lastActivityAt"], "applies to the migration live only"),
        (["--down", "live", "--ignoring", "session.lastActivityAt"], "applies to the migration live only"),
        (["live", "--ignoring", ""], "is not a list of columns"),
        (["live", "--ignoring", "session.unknown"], '"public"."session" has no column unknown; it has id, '),
        (["live", "--ignoring", "user.lastSeen,session.token"], '"session"."token" must be notified'),
        (["--dry-run", "live", "--ignoring", "session.expiresAt"], '"session"."expires_at" must be notified'),
    ],
)
def test_what_makes_no_sense_is_said_and_changes_nothing(
    migrate: Migrate, empty_database: Database, arguments: list[str], said: str
) -> None:
    ran = migrate(*arguments)
    assert ran.status == 1
    assert said in ran.err
    assert empty_database.fetch("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == [(0,)]


def test_it_has_a_line_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["migrate", "--help"])
    assert "--ignoring COLUMNS" in capsys.readouterr().out
