"""A plugin: groups of tests that need a program of the system, as `pytestmark = pytest.mark.needs("pgbouncer")`.

A group whose program is missing is not run, and pytest's last line says so and how to get it. With REQUIRE_ALL=1 that
is a failure of the run. Nothing else skips: a test that is collected runs.
"""

import functools
import os
import shutil
from collections.abc import Callable, Collection, Generator
from itertools import chain
from typing import NamedTuple

import pytest

from dev import certificates, oldest, pgbouncer, pgbouncer_trixie, postgres
from tests.support import namespaces

# The environment's comes first: it clears the shell's settings before anything imports auth_middleware.
pytest_plugins = ("tests.support.environment", "tests.support.databases", "tests.support.instances")


class Group(NamedTuple):
    is_here: Callable[[], bool]
    command: str
    packages: tuple[str, ...] = ()


APT = "apt-get install"
GROUPS = {
    "postgresql-15": Group(
        lambda: postgres.DEBIAN_15.exists() and certificates.openssl() is not None, APT, ("postgresql-15", "openssl")
    ),
    "chromium": Group(lambda: shutil.which("chromium") is not None, APT, ("chromium",)),
    "pgbouncer": Group(lambda: pgbouncer.program() is not None, APT, ("pgbouncer",)),
    "pgbouncer-1.24": Group(pgbouncer_trixie.can_install, "let apt reach deb.debian.org"),
    "network-namespace": Group(namespaces.can_make, "as root: apt-get install", ("iproute2", "iptables")),
    "oldest": Group(lambda: oldest.is_installed() or oldest.can_install(), "let pip reach a package index"),
}

NOT_RUN = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(group): run where its programs are, one of {', '.join(GROUPS)}")
    config.stash[NOT_RUN] = set()


@pytest.hookimpl(trylast=True)  # after -k and -m: a group that nobody asked for is not missed
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        missing = {group for group in groups_of(item) if not is_here(group)}
        config.stash[NOT_RUN] |= missing
        (left_out if missing else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


# The outermost: what it writes comes after the line that pytest itself ends with.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    yield
    not_run = session.config.stash[NOT_RUN]
    if not not_run:
        return
    is_failure = os.environ.get("REQUIRE_ALL") == "1"
    if is_failure and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(terminal, pytest.TerminalReporter):
        because = "; REQUIRE_ALL=1 makes that a failure" if is_failure else ""
        terminal.write_line(f"not run: {described(not_run)}{because}", red=is_failure, yellow=not is_failure)


def groups_of(item: pytest.Item) -> set[str]:
    groups = {str(name) for mark in item.iter_markers("needs") for name in mark.args}
    if unknown := groups - GROUPS.keys():
        raise pytest.UsageError(f"{item.nodeid} needs {', '.join(unknown)}: the groups are in tests/support/groups.py")
    return groups


@functools.cache
def is_here(group: str) -> bool:
    return GROUPS[group].is_here()


def described(not_run: Collection[str]) -> str:
    """The groups, and the one command that gets all those that it can get."""
    by_command: dict[str, dict[str, Group]] = {}
    for name, group in GROUPS.items():
        if name in not_run:
            by_command.setdefault(group.command, {})[name] = group
    return ", ".join(
        f"{', '.join(groups)} ({' '.join([command, *chain.from_iterable(g.packages for g in groups.values())])})"
        for command, groups in by_command.items()
    )
