"""Compares our results with those of Better Auth's get-session, for real cookies and many mutations of them.

A difference that no rule in agreement/rules.py explains is a failure. `make canary VERSION=…` runs this with another
release. AGREEMENT_SEED=… repeats the generated part of an earlier run.
"""

import json
import os
import random
import secrets
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from auth_middleware import Auth, AuthSettings
from dev import better_auth, node
from dev.better_auth import VERSIONS
from dev.better_auth.strategies import StrategyServers
from dev.postgres import EmbeddedPostgres, execute
from tests.better_auth.agreement.comparison import Comparison, Report
from tests.better_auth.agreement.results import Member, MemberSession
from tests.better_auth.agreement.users import ALTER, CACHE_SECONDS, SESSION_FIELDS, USER_FIELDS, Accounts

SECRET = secrets.token_urlsafe(32)
SEED = int(os.environ.get("AGREEMENT_SEED") or secrets.randbits(32))


def packages() -> list[Path]:
    """The directories with better-auth: the canary's, or those of the locked versions."""
    if canary := os.environ.get("AGREEMENT_PACKAGE"):
        return [Path(canary).resolve()]
    return [better_auth.package(version) for version in VERSIONS]


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.name)
async def test_we_return_the_same_user_as_better_auth(
    package: Path, cluster: EmbeddedPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    if (package / "package-lock.json").exists():
        node.install(package)
    installed = json.loads((package / "node_modules" / "better-auth" / "package.json").read_text())["version"]
    version = tuple(int(number) for number in installed.partition("-")[0].split("."))
    strategies = ["compact", "jwt", "jwe", *(["jwks"] if version >= (1, 7) else [])]
    dsn = cluster.create_database(f"agreement {installed}")
    report = Report(version)
    with StrategyServers(
        package,
        dsn,
        secret=SECRET,
        strategies=strategies,
        user_fields=USER_FIELDS,
        session_fields=SESSION_FIELDS,
        cache_seconds=CACHE_SECONDS,
    ) as servers:
        execute(dsn, ALTER)
        for strategy in strategies:
            rng = random.Random(f"{SEED} {strategy}")  # noqa: S311 - reproducible
            accounts = Accounts(servers, dsn, strategy, rng)
            settings: dict[str, Any] = {"database_url": dsn, "secret": SECRET, "base_url": servers.url}
            settings |= {"cache_strategy": strategy}
            always = Auth(AuthSettings(**settings), user_model=Member, session_model=MemberSession)
            cached = Auth(
                AuthSettings(**settings, freshness="cookie_cache"), user_model=Member, session_model=MemberSession
            )
            async with always.lifespan(None), cached.lifespan(None):
                with psycopg.connect(dsn, autocommit=True) as rows:
                    await Comparison(accounts, rows, always, cached, report).compare(rng)
    with capsys.disabled():
        sys.stdout.write(f"\nlive agreement with better-auth {installed} (AGREEMENT_SEED={SEED})\n{report}\n")
    assert len(report.unexplained) == 0
    assert all(report.agreements[strategy, source] > 100 for strategy in strategies for source in ("store", "cache"))
