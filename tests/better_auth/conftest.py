"""Fixtures: sites and issuers of JWTs that run until the end of the session, browsers, and Better Auth servers with a
cookie cache."""

import json
import secrets
from collections.abc import Generator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from auth_middleware import Auth, AuthSettings
from dev import node
from dev.better_auth import VERSIONS, BetterAuthServer, Schema, Version, package
from dev.better_auth.strategies import Strategy, StrategyServers
from dev.postgres import EmbeddedPostgres
from tests.better_auth.agreement.instance import BetterAuth, StartBetterAuth
from tests.support.databases import Database
from tests.support.issuers import PLUGINS, Issuer, OpenIssuer
from tests.support.servers import serving
from tests.support.sites import Browse, Browser, OpenSite, Site, application

PACKAGE = package("1.7.25")


@pytest.fixture(scope="session")
def open_site(postgres: EmbeddedPostgres, template: str) -> Generator[OpenSite]:
    """Opens sites, and returns the same site for the same arguments."""
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
    """A cluster that a test may stop. The sites use another one."""
    with EmbeddedPostgres() as cluster:
        yield cluster


@pytest.fixture
def start_better_auth(cluster: EmbeddedPostgres) -> Generator[StartBetterAuth]:
    """Starts Better Auth, on a new database by default. Keyword arguments are options of `StrategyServers`."""
    node.install(PACKAGE)
    with ExitStack() as stack:

        def start(strategy: Strategy, /, *, dsn: str | None = None, **options: Any) -> BetterAuth:
            secret = secrets.token_urlsafe(32)
            dsn = dsn or cluster.create_database(f"better_auth {secrets.token_hex(6)}")
            given: dict[str, Any] = {"secret": secret, **options}
            servers = stack.enter_context(StrategyServers(PACKAGE, dsn, strategies=[strategy], **given))
            return BetterAuth(servers, strategy, dsn, given["secret"])

        yield start


@pytest.fixture(scope="session")
def open_issuer(postgres: EmbeddedPostgres) -> Generator[OpenIssuer]:
    """Opens issuers; the same one for the same arguments, until the run ends."""
    with ExitStack() as stack:

        @cache
        def opened(version: Version = "1.7.25", options: str = "{}", **more: Any) -> Issuer:
            dsn = postgres.create_database(f"issuer_{secrets.token_hex(4)}")
            secret = secrets.token_urlsafe(32)
            given = {**PLUGINS, "jwt": json.loads(options), **more}
            server = stack.enter_context(BetterAuthServer(dsn, secret=secret, version=version, **given))
            return Issuer(server, dsn, secret)

        yield opened


@pytest.fixture(params=VERSIONS)
def issuer(request: pytest.FixtureRequest, open_issuer: OpenIssuer) -> Issuer:
    return open_issuer(request.param)


@pytest.fixture
def newest(open_issuer: OpenIssuer) -> Issuer:
    return open_issuer()
