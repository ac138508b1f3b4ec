"""Forks, and interpreters that exit during lookups."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from dev.cookies import SECRET
from dev.environment import without_our_settings
from tests.support.databases import Database
from tests.support.instances import BASE_URL
from tests.support.live import migrate_live
from tests.support.polling import TIMEOUT_SECONDS, wait_until
from tests.support.tables import NAMED_BY_BACKEND

ROOT = Path(__file__).parents[2]

# The number of results in each process of tests/support/programs/forks.py, by scenario.
FORKS = {
    "after_import": {"child": 1, "parent": 1},
    "after_use": {"child": 1, "parent": 2},
    "twice_removed": {"child": 2, "grandchild": 1, "parent": 2},
    "under_a_running_loop": {"child": 1, "parent": 5},
    "a_child_that_closes_what_it_inherited": {"child": 2, "parent": 3},
    "by_multiprocessing": {"child": 3, "parent": 2},
    "a_child_that_looks_up_nothing": {"parent": 2},
}


def start(program: str, scenario: str, settings: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", f"tests.support.programs.{program}", scenario],
        cwd=ROOT,
        env={**without_our_settings(), **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end_of(process: subprocess.Popen[str], line: str | None = None) -> tuple[str, str]:
    """Waits for the process and returns its output and its errors. Kills a process that hangs, with its children."""
    try:
        return process.communicate(line, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


@pytest.fixture(params=["always", "live", "60"])
async def freshness(request: pytest.FixtureRequest, database: Database) -> str:
    if request.param == "live":
        await migrate_live(database.dsn)
    return request.param


def settings_for(database: Database, cookie_value: str, freshness: str) -> dict[str, str]:
    return {
        "AUTH_MIDDLEWARE_FRESHNESS": freshness,
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": BASE_URL,
        "COOKIE_VALUE": cookie_value,
    }


@pytest.mark.parametrize("scenario", FORKS)
def test_parent_and_child_use_connections_of_their_own(database: Database, scenario: str) -> None:
    who = database.sign_in()
    database.execute(NAMED_BY_BACKEND)
    settings = settings_for(database, who.cookie_value, "always") | {"AUTH_MIDDLEWARE_POOL_SIZE": "1"}
    results = results_of_forks(scenario, settings)
    assert {user_id for _, user_id, _ in results} == {who.user_id}
    # The children did not close the parent's connection.
    parents = {server for process, _, server in results if process == "parent"}
    assert len(parents) == 1
    assert parents.isdisjoint(server for process, _, server in results if process != "parent")


@pytest.mark.parametrize("scenario", FORKS)
def test_parent_and_child_can_both_look_up(database: Database, freshness: str, scenario: str) -> None:
    who = database.sign_in()
    results = results_of_forks(scenario, settings_for(database, who.cookie_value, freshness))
    assert {user_id for _, user_id, *_ in results} == {who.user_id}


def results_of_forks(scenario: str, settings: Mapping[str, str]) -> list[list[str]]:
    """Runs the program and returns its results: the process, the user's id and the server's backend."""
    with start("forks", scenario, settings) as process:
        output, errors = end_of(process)
    assert (process.returncode, errors) == (0, "")
    results = [line.split(maxsplit=2) for line in output.splitlines()]
    assert Counter(process for process, *_ in results) == FORKS[scenario]
    return results


async def test_a_child_does_not_keep_its_parents_listener_open(database: Database) -> None:
    await migrate_live(database.dsn)
    who = database.sign_in()
    settings = settings_for(database, who.cookie_value, "live")
    listeners = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auth_middleware listener' \
                 AND datname = current_database()"
    with start("forks", "closed_while_a_child_lives", settings) as process:
        assert process.stdout
        assert process.stdout.readline().startswith(f"parent {who.user_id} ")
        assert process.stdout.readline() == "closed\n"
        wait_until(lambda: database.fetch(listeners) == [(0,)])
        _, errors = end_of(process, "\n")
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("scenario", ["returning", "exiting", "abandoning", "in_a_daemon_thread"])
def test_an_interpreter_exits_cleanly_during_lookups(database: Database, freshness: str, scenario: str) -> None:
    who = database.sign_in()
    settings = settings_for(database, who.cookie_value, freshness)
    with database.locked() as blocked, start("exits", scenario, settings) as process:
        wait_until(lambda: blocked() > 0 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        output, errors = end_of(process, "\n")
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize("attempt", range(3))
def test_an_interpreter_exits_cleanly_while_results_arrive(database: Database, freshness: str, attempt: int) -> None:
    who = database.sign_in()
    with start("exits", "in_a_busy_daemon_thread", settings_for(database, who.cookie_value, freshness)) as process:
        output, errors = end_of(process)
    assert (attempt, process.returncode, output, errors) == (attempt, 0, "", "")
