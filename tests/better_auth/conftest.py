"""Sites that stay up until the run ends, browsers, and Better Auths with a cookie cache."""

import secrets
from collections.abc import Generator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from auth_middleware import Auth, AuthSettings
from dev import node
from dev.better_auth import END_TO_END, VERSIONS, BetterAuthServer, Schema, Version
from dev.postgres import EmbeddedPostgres
from tests.better_auth.agreement.neighbours import MeetNeighbour, Neighbour
from tests.better_auth.agreement.servers import BetterAuths, Strategy
from tests.support.databases import Database
from tests.support.servers import serving
from tests.support.sites import Browse, Browser, OpenSite, Site, application

PACKAGE = END_TO_END / "better_auth_1_7_25"


@pytest.fixture(scope="session")
def open_site(postgres: EmbeddedPostgres, template: str) -> Generator[OpenSite]:
    """Opens sites; the same one for the same arguments, until the run ends."""
    with ExitStack() as stack:

        @cache
        def opened(version: Version = "1.7.25", schema: Schema = "camel", **options: Any) -> Site:
            name = f"site_{secrets.token_hex(4)}"
            database = Database(postgres.create_database(name, template if schema == "snake" else None))
            secret = secrets.token_urlsafe(32)
            server = stack.enter_context(
                BetterAuthServer(database.dsn, secret=secret, version=version, schema=schema, **options)
            )
            auth = Auth(AuthSettings(database_url=database.dsn, secret=secret, base_url=server.base_url))
            return Site(server, stack.enter_context(serving(application(auth))), database, is_snake=schema == "snake")

        yield opened


@pytest.fixture(params=[(version, schema) for schema in ("camel", "snake") for version in VERSIONS], ids="-".join)
def site(request: pytest.FixtureRequest, open_site: OpenSite) -> Site:
    version, schema = request.param
    return open_site(version, schema)


@pytest.fixture
def browse() -> Generator[Browse]:
    with ExitStack() as stack:

        def new(site: Site) -> Browser:
            browser = Browser(site)
            stack.enter_context(browser.client)
            return browser

        yield new


@pytest.fixture
def browser(browse: Browse, site: Site) -> Browser:
    return browse(site)


@pytest.fixture(scope="session")
def cluster() -> Generator[EmbeddedPostgres]:
    """One that a test may stop: the sites above live on the other."""
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
