"""A session that has expired by our clock, and not by the database server's, shows that the clocks differ."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from dev.cookies import SECRET
from tests.support.clocks import libfaketime
from tests.support.databases import Database

PROGRAM = """
import asyncio, sys
from auth_middleware import Auth, AuthSettings

async def main(dsn, secret, cookies, prepared_statements):
    auth = Auth(AuthSettings(
        database_url=dsn, secret=secret, base_url="http://auth.test", prepared_statements=prepared_statements
    ))
    for _ in range(2):
        print([await auth.validate_session(cookie) is not None for cookie in cookies])
    await auth.close()

*arguments, prepared_statements = sys.argv[1:]
asyncio.run(main(arguments[0], arguments[1], arguments[2:], prepared_statements))
"""


def run(database: Database, offset: str, *cookies: str, prepared_statements: str = "auto") -> tuple[str, list[str]]:
    """What a process whose clock is moved prints and logs."""
    clock = {"FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "LD_PRELOAD": str(libfaketime())}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, database.dsn, SECRET, *cookies, prepared_statements],
        env={**os.environ, **clock},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "session" in line]


@pytest.mark.needs("libfaketime")
@pytest.mark.parametrize("hours", [2, 3])
def test_a_clock_that_is_ahead_is_reported_once_for_a_single_session(database: Database, hours: int) -> None:
    who = database.sign_in()  # for an hour
    printed, [line] = run(database, f"+{hours}h", who.cookie_value)
    assert printed == "[False]\n[False]\n"
    [seconds] = re.findall(r"which was (\d+) s ahead of the database server's", line)
    assert abs(int(seconds) - hours * 3600) < 10
    assert "NTP" in line


@pytest.mark.needs("libfaketime")
@pytest.mark.parametrize("offset", ["+0", "-2h", "+10m"])
def test_a_session_that_has_expired_by_both_clocks_says_nothing_of_them(database: Database, offset: str) -> None:
    expired = database.sign_in(expires_at=datetime.now(UTC) - timedelta(hours=3))
    assert run(database, offset, expired.cookie_value) == ("[False]\n[False]\n", [])


@pytest.mark.needs("libfaketime")
def test_one_that_is_valid_by_both_is_accepted_and_the_other_is_explained(database: Database) -> None:
    short = database.sign_in(expires_at=datetime.now(UTC) + timedelta(minutes=10))
    printed, [line] = run(database, "+30m", database.sign_in().cookie_value, short.cookie_value)
    assert printed == "[True, False]\n[True, False]\n"
    assert "ahead of the database server's" in line


@pytest.mark.needs("libfaketime")
def test_without_a_measurement_nothing_is_said(database: Database) -> None:
    """Where a setting decides about named statements, the server is not examined."""
    who = database.sign_in()
    assert run(database, "+2h", who.cookie_value, prepared_statements="off") == ("[False]\n[False]\n", [])
