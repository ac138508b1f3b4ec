"""Sites that stay up until the run ends, and browsers that are closed with the test."""

import secrets
from collections.abc import Generator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from auth_middleware import Auth, AuthSettings
from dev.better_auth import VERSIONS, BetterAuthServer, Schema, Version
from dev.postgres import EmbeddedPostgres
from tests.support.databases import Database
from tests.support.servers import serving
from tests.support.sites import Browse, Browser, OpenSite, Site, application


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
