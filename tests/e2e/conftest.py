"""Real Better Auth servers with a cookie cache, on databases of their own."""

import secrets
from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import pytest

from dev import node
from dev.better_auth import END_TO_END
from dev.postgres import EmbeddedPostgres
from tests.e2e.agreement.neighbours import MeetNeighbour, Neighbour
from tests.e2e.agreement.servers import BetterAuths, Strategy

PACKAGE = END_TO_END / "better_auth_1_7_25"


@pytest.fixture(scope="session")
def cluster() -> Generator[EmbeddedPostgres]:
    with EmbeddedPostgres() as cluster:
        yield cluster


@pytest.fixture
def meet(cluster: EmbeddedPostgres) -> Generator[MeetNeighbour]:
    """Starts a Better Auth, on a new database unless one is given; keywords are options of `BetterAuths`."""
    node.install(PACKAGE)
    with ExitStack() as stack:

        def start(strategy: Strategy, /, *, dsn: str | None = None, **options: Any) -> Neighbour:
            secret = secrets.token_urlsafe(32)
            dsn = dsn or cluster.create_database(f"neighbour {secrets.token_hex(6)}")
            given: dict[str, Any] = {"secret": secret, **options}
            servers = stack.enter_context(BetterAuths(PACKAGE, dsn, strategies=[strategy], **given))
            return Neighbour(servers, strategy, dsn, given["secret"])

        yield start
