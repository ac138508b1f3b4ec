"""Better Auth's own get-session and ourselves, asked the same: real packages, real cookies, what can happen to them.

A disagreement that no rule of agreement/rules.py explains fails. `make canary VERSION=…` runs this with another
release; AGREEMENT_SEED=… takes the generated part of an earlier run.
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
from dev import node
from dev.better_auth import END_TO_END, VERSIONS
from dev.postgres import EmbeddedPostgres, execute
from tests.better_auth.agreement.asking import Both, Ledger
from tests.better_auth.agreement.comparing import Member, MemberSession
from tests.better_auth.agreement.people import ALTER, CACHE_SECONDS, SESSION_FIELDS, USER_FIELDS, Town
from tests.better_auth.agreement.servers import BetterAuths

SECRET = secrets.token_urlsafe(32)
SEED = int(os.environ.get("AGREEMENT_SEED") or secrets.randbits(32))


def packages() -> list[Path]:
    """Where better-auth is installed: the canary's folder, or each version that is locked here."""
    if canary := os.environ.get("AGREEMENT_PACKAGE"):
        return [Path(canary).resolve()]
    return [END_TO_END / f"better_auth_{version.replace('.', '_')}" for version in VERSIONS]


@pytest.mark.parametrize("package", packages(), ids=lambda package: package.name)
async def test_we_name_whom_better_auth_names_whatever_happens_to_its_cookies(
    package: Path, cluster: EmbeddedPostgres, capsys: pytest.CaptureFixture[str]
) -> None:
    if (package / "package-lock.json").exists():
        node.install(package)
    installed = json.loads((package / "node_modules" / "better-auth" / "package.json").read_text())["version"]
    version = tuple(int(number) for number in installed.partition("-")[0].split("."))
    strategies = ["compact", "jwt", "jwe", *(["jwks"] if version >= (1, 7) else [])]
    dsn = cluster.create_database(f"agreement {installed}")
    ledger = Ledger(version)
    with BetterAuths(
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
            chance = random.Random(f"{SEED} {strategy}")  # noqa: S311 - an earlier run can be had again
            town = Town(servers, dsn, strategy, chance)
            settings: dict[str, Any] = {"database_url": dsn, "secret": SECRET, "base_url": servers.url}
            settings |= {"cache_strategy": strategy}
            always = Auth(AuthSettings(**settings), user_model=Member, session_model=MemberSession)
            cached = Auth(
                AuthSettings(**settings, freshness="cookie_cache"), user_model=Member, session_model=MemberSession
            )
            async with always.lifespan(None), cached.lifespan(None):
                with psycopg.connect(dsn, autocommit=True) as rows:
                    await Both(town, rows, always, cached, ledger).compare(chance)
    with capsys.disabled():
        sys.stdout.write(f"\nlive agreement with better-auth {installed} (AGREEMENT_SEED={SEED})\n{ledger}\n")
    assert len(ledger.unexplained) == 0
    assert all(ledger.agreements[strategy, way] > 100 for strategy in strategies for way in ("store", "cache"))
