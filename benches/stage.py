"""PostgreSQL over TCP, real Better Auths on it, and many people who are signed in."""

import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from dev import node
from dev.better_auth import END_TO_END, BetterAuthServer
from dev.postgres import DEBIAN_15, EmbeddedPostgres
from dev.sessions import sign_in
from tests.better_auth.agreement.servers import BetterAuths
from tests.support.cookies import SECRET, signed
from tests.support.environment import without_our_settings

VERSION = "1.7.25"
# Nothing that Better Auth signs may run out while we measure.
CACHE_SECONDS = 7200

IS_DEBIANS = (DEBIAN_15 / "postgres").exists()


class Stage(NamedTuple):
    """What the contenders are given. `people` are names by signed cookie value."""

    postgres: EmbeddedPostgres
    dsn: str
    better_auth: BetterAuthServer
    issuers: BetterAuths  # with a cookie cache, and with tokens
    people: Mapping[str, str]


@contextmanager
def stage(people: int, settings: Mapping[str, str] | None = None) -> Generator[Stage]:
    """The machine's own PostgreSQL where there is one; tables that Better Auth makes, with our triggers."""
    package = END_TO_END / f"better_auth_{VERSION.replace('.', '_')}"
    node.install(package)
    with EmbeddedPostgres(settings=settings, programs=DEBIAN_15 if IS_DEBIANS else None) as postgres:
        dsn = postgres.create_database("benchmark")
        with (
            BetterAuthServer(dsn, secret=SECRET, version=VERSION) as better_auth,
            BetterAuths(
                package, dsn, strategies=["compact", "jwks"], secret=SECRET, cache_seconds=CACHE_SECONDS
            ) as issuers,
        ):
            # Whoever only reads pays nothing for the triggers.
            subprocess.run(
                [sys.executable, "-m", "auth_middleware", "migrate", "live", "--database-url", dsn],
                env=without_our_settings(),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield Stage(postgres, dsn, better_auth, issuers, signed_in(dsn, people))


def signed_in(dsn: str, people: int) -> Mapping[str, str]:
    names: Sequence[str] = [f"user {number}" for number in range(people)]
    return dict(zip(map(signed, sign_in(dsn, names)), names, strict=True))
