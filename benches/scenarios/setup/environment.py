"""PostgreSQL over TCP, real Better Auth servers, and many signed-in users."""

import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from dev import node
from dev.better_auth import BetterAuthServer, package
from dev.better_auth.strategies import StrategyServers
from dev.cookies import SECRET, signed
from dev.environment import without_our_settings
from dev.postgres import DEBIAN_15, EmbeddedPostgres
from dev.sessions import sign_in

VERSION = "1.7.25"
# Nothing that Better Auth signs may expire during a run.
CACHE_SECONDS = 7200

USES_DEBIANS_POSTGRES = (DEBIAN_15 / "postgres").exists()


class Environment(NamedTuple):
    """What every contender is given. `users` maps signed cookie values to user names."""

    postgres: EmbeddedPostgres
    dsn: str
    better_auth: BetterAuthServer
    strategies: StrategyServers  # one with a cookie cache, one that issues JWTs
    users: Mapping[str, str]


@contextmanager
def environment(users: int, settings: Mapping[str, str] | None = None) -> Generator[Environment]:
    """Uses Debian's PostgreSQL if it is installed. The tables are Better Auth's own, with our triggers."""
    node.install(package(VERSION))
    with EmbeddedPostgres(settings=settings, programs=DEBIAN_15 if USES_DEBIANS_POSTGRES else None) as postgres:
        dsn = postgres.create_database("benchmark")
        with (
            BetterAuthServer(dsn, secret=SECRET, version=VERSION) as better_auth,
            StrategyServers(
                package(VERSION), dsn, strategies=["compact", "jwks"], secret=SECRET, cache_seconds=CACHE_SECONDS
            ) as strategies,
        ):
            # The triggers cost nothing for contenders that only read.
            subprocess.run(
                [sys.executable, "-m", "auth_middleware", "migrate", "live", "--database-url", dsn],
                env=without_our_settings(),
                check=True,
                stdout=subprocess.DEVNULL,
            )
            yield Environment(postgres, dsn, better_auth, strategies, signed_in(dsn, users))


def signed_in(dsn: str, users: int) -> Mapping[str, str]:
    """Adds users with a session each. Returns their names by signed cookie value."""
    names: Sequence[str] = [f"user {number}" for number in range(users)]
    return dict(zip(map(signed, sign_in(dsn, names)), names, strict=True))
