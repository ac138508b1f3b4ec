"""A pytest plugin for tests that need a system program, marked with `pytestmark = pytest.mark.needs("pgbouncer")`.

If the program is missing, the group is not run, and the last line of pytest's output says so and how to install it.
With REQUIRE_ALL=1, the run fails instead. No test is skipped for any other reason.
"""

import functools
import os
import shutil
from collections.abc import Callable, Collection, Generator
from itertools import chain
from typing import NamedTuple

import pytest

from dev import certificates, oldest, pgbouncer, pgbouncer_trixie, postgres
from tests.support import clocks, namespaces

# `environment` comes first: it removes the shell's settings before anything imports auth_middleware.
pytest_plugins = ("tests.support.environment", "tests.support.databases", "tests.support.instances")


class Group(NamedTuple):
    is_available: Callable[[], bool]
    command: str
    packages: tuple[str, ...] = ()


APT = "apt-get install"
GROUPS = {
    "openssl": Group(lambda: certificates.openssl() is not None, APT, ("openssl",)),
    "postgresql-15": Group(
        lambda: postgres.DEBIAN_15.exists() and certificates.openssl() is not None, APT, ("postgresql-15", "openssl")
    ),
    "chromium": Group(lambda: shutil.which("chromium") is not None, APT, ("chromium",)),
    "caddy": Group(lambda: shutil.which("caddy") is not None, APT, ("caddy",)),
    # With it, the tests' browser is told to trust Caddy's authority.
    "certutil": Group(lambda: shutil.which("certutil") is not None, APT, ("libnss3-tools",)),
    "pgbouncer": Group(lambda: pgbouncer.program() is not None, APT, ("pgbouncer",)),
    "pgbouncer-1.24": Group(pgbouncer_trixie.can_install, "let apt reach Debian's packages"),
    "network-namespace": Group(namespaces.can_make, "as root: apt-get install", ("iproute2", "iptables")),
    "libfaketime": Group(lambda: clocks.libfaketime() is not None, APT, ("libfaketime",)),
    "mount-namespace": Group(namespaces.can_mount, "as root: apt-get install", ("util-linux",)),
    "oldest": Group(lambda: oldest.is_installed() or oldest.can_install(), "let pip reach a package index"),
}

NOT_RUN = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(group): needs a system program; one of {', '.join(GROUPS)}")
    config.stash[NOT_RUN] = set()


@pytest.hookimpl(trylast=True)  # after -k and -m, so that a deselected group is not reported
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selected: list[pytest.Item] = []
    deselected: list[pytest.Item] = []
    for item in items:
        missing = {group for group in groups_of(item) if not is_available(group)}
        config.stash[NOT_RUN] |= missing
        (deselected if missing else selected).append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = selected


# Outermost, so that its line comes after pytest's own summary.
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
        suffix = "; this is a failure because of REQUIRE_ALL=1" if is_failure else ""
        terminal.write_line(f"not run: {described(not_run)}{suffix}", red=is_failure, yellow=not is_failure)


def groups_of(item: pytest.Item) -> set[str]:
    groups = {str(name) for mark in item.iter_markers("needs") for name in mark.args}
    if unknown := groups - GROUPS.keys():
        raise pytest.UsageError(
            f"{item.nodeid} needs unknown groups: {', '.join(unknown)}. See tests/support/groups.py"
        )
    return groups


@functools.cache
def is_available(group: str) -> bool:
    return GROUPS[group].is_available()


def described(not_run: Collection[str]) -> str:
    """Lists the groups, together with one command for each way to install them."""
    by_command: dict[str, dict[str, Group]] = {}
    for name, group in GROUPS.items():
        if name in not_run:
            by_command.setdefault(group.command, {})[name] = group
    return ", ".join(
        f"{', '.join(groups)} ({' '.join([command, *chain.from_iterable(g.packages for g in groups.values())])})"
        for command, groups in by_command.items()
    )
