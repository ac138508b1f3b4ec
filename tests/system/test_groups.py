"""The report of tests that could not be run because a program is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests.support import groups

groups.GROUPS = {
    "here": groups.Group(lambda: True, "apt-get install", ("here",)),
    "postgres": groups.Group(lambda: False, "apt-get install", ("postgres", "its-client")),
    "pooler": groups.Group(lambda: False, "apt-get install", ("pooler",)),
    "index": groups.Group(lambda: False, "give pip access"),
}
pytest_plugins = ["tests.support.groups"]
"""
TESTS = """
import pytest

def test_plain(): pass

@pytest.mark.needs("here")
def test_here(): pass

@pytest.mark.needs("pooler")
def test_pooler(): raise AssertionError

@pytest.mark.needs("postgres", "here")
def test_postgres(): raise AssertionError

@pytest.mark.needs("index")
def test_index(): raise AssertionError
"""
NOT_RUN = "not run: postgres, pooler (apt-get install postgres its-client pooler), index (give pip access)"


def run(directory: Path, tests: str, *arguments: str, require_all: bool = False) -> tuple[int, str]:
    """Runs these tests. Returns the exit status and the last line of output."""
    (directory / "conftest.py").write_text(CONFTEST)
    (directory / "test_it.py").write_text(tests)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REQUIRE_ALL": str(int(require_all)), "COLUMNS": "200"}
    options = ["-q", "--strict-markers", "-p", "no:cacheprovider", "-p", "no:asyncio", *arguments]
    command = [sys.executable, "-m", "pytest", "--rootdir", directory, "-c", os.devnull, *options, directory]
    done = subprocess.run(command, env=environment, cwd=directory, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize("require_all", [False, True])
def test_the_last_line_lists_the_groups_and_how_to_install_their_programs(tmp_path: Path, require_all: bool) -> None:
    status, last_line = run(tmp_path, TESTS, require_all=require_all)
    assert status == (pytest.ExitCode.TESTS_FAILED if require_all else pytest.ExitCode.OK)
    assert last_line.startswith(NOT_RUN)
    assert ("REQUIRE_ALL=1" in last_line) == require_all


@pytest.mark.parametrize("arguments", [["-k", "plain or here"], ["-k", "here"]])
def test_a_deselected_group_is_not_reported(tmp_path: Path, arguments: list[str]) -> None:
    status, last_line = run(tmp_path, TESTS, *arguments, require_all=True)
    assert status == pytest.ExitCode.OK
    assert " passed, " in last_line


def test_a_misspelt_group_is_a_usage_error(tmp_path: Path) -> None:
    status, last_line = run(tmp_path, TESTS.replace('"index"', '"indecks"'))
    assert status == pytest.ExitCode.USAGE_ERROR
    assert "indecks" in last_line
