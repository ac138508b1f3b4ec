"""Forks, and interpreters that end while the store is asked."""

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

# What each process of tests/support/programs/forks.py is answered, by the way it forks.
FORKS = {
    "after_import": {"child": 1, "parent": 1},
    "after_use": {"child": 1, "parent": 2},
    "twice_removed": {"child": 2, "grandchild": 1, "parent": 2},
    "under_a_running_loop": {"child": 1, "parent": 5},
    "a_child_that_closes_what_it_inherited": {"child": 2, "parent": 3},
    "by_multiprocessing": {"child": 3, "parent": 2},
    "a_child_that_looks_up_nothing": {"parent": 2},
}


def start(program: str, way: str, settings: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", f"tests.support.programs.{program}", way],
        cwd=ROOT,
        env={**without_our_settings(), **settings},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end_of(process: subprocess.Popen[str], line: str | None = None) -> tuple[str, str]:
    """What it printed, and its errors. One that hangs is ended, with its children: else nothing would tell of it."""
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


@pytest.mark.parametrize("way", FORKS)
def test_parent_and_child_are_both_answered_by_connections_of_their_own(database: Database, way: str) -> None:
    who = database.sign_in()
    database.execute(NAMED_BY_BACKEND)
    settings = settings_for(database, who.cookie_value, "always") | {"AUTH_MIDDLEWARE_POOL_SIZE": "1"}
    answers = answers_of_forks(way, settings)
    assert {user_id for _, user_id, _ in answers} == {who.user_id}
    # Nothing that a child did or left undone cost the parent its connection.
    parents = {server for process, _, server in answers if process == "parent"}
    assert len(parents) == 1
    assert parents.isdisjoint(server for process, _, server in answers if process != "parent")


@pytest.mark.parametrize("way", FORKS)
def test_parent_and_child_are_both_answered(database: Database, freshness: str, way: str) -> None:
    who = database.sign_in()
    answers = answers_of_forks(way, settings_for(database, who.cookie_value, freshness))
    assert {user_id for _, user_id, *_ in answers} == {who.user_id}


def answers_of_forks(way: str, settings: Mapping[str, str]) -> list[list[str]]:
    """Who was answered, with whom, and what that is called: as often as is right."""
    with start("forks", way, settings) as process:
        printed, errors = end_of(process)
    assert (process.returncode, errors) == (0, "")
    answers = [line.split(maxsplit=2) for line in printed.splitlines()]
    assert Counter(process for process, *_ in answers) == FORKS[way]
    return answers


async def test_a_child_does_not_keep_its_parents_listener_at_the_server(database: Database) -> None:
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


@pytest.mark.parametrize("way", ["returning", "exiting", "abandoning", "in_a_daemon_thread"])
def test_an_interpreter_ends_cleanly_while_look_ups_are_under_way(database: Database, freshness: str, way: str) -> None:
    who = database.sign_in()
    settings = settings_for(database, who.cookie_value, freshness)
    with database.locked() as look_ups_under_way, start("exits", way, settings) as process:
        wait_until(lambda: look_ups_under_way() > 0 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        answers, errors = end_of(process, "\n")
    assert (process.returncode, answers, errors) == (0, "", "")


@pytest.mark.parametrize("attempt", range(3))
def test_an_interpreter_ends_cleanly_while_answers_come_in(database: Database, freshness: str, attempt: int) -> None:
    who = database.sign_in()
    with start("exits", "in_a_busy_daemon_thread", settings_for(database, who.cookie_value, freshness)) as process:
        answers, errors = end_of(process)
    assert (attempt, process.returncode, answers, errors) == (attempt, 0, "", "")
