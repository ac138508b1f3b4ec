"""A pytest plugin: `Auth` instances that are closed at the end of the test."""

import asyncio
from collections.abc import Generator
from typing import Any, Protocol

import pytest

from auth_middleware import Auth, AuthSettings, AuthUser
from dev.cookies import SECRET
from dev.processes import free_port
from tests.support.databases import Database

BASE_URL = "http://auth.test"
DEFAULTS: dict[str, Any] = {"secret": SECRET, "base_url": BASE_URL, "trusted_origins": ("http://page.test",)}


class MakeAuth(Protocol):
    def __call__(self, *, user_model: type[AuthUser] = ..., **settings: Any) -> Auth[Any, Any]: ...


@pytest.fixture
def make_auth(database: Database) -> Generator[MakeAuth]:
    """Creates instances for the test's database. Keyword arguments are settings."""
    created: list[Auth[Any, Any]] = []

    def make(*, user_model: type[AuthUser] = AuthUser, **settings: Any) -> Auth[Any, Any]:
        values: dict[str, Any] = {"database_url": database.dsn, **DEFAULTS, **settings}
        auth = Auth(AuthSettings(**values), user_model=user_model)
        created.append(auth)
        return auth

    yield make
    for auth in created:
        asyncio.run(auth.close())


@pytest.fixture
def auth(make_auth: MakeAuth) -> Auth:
    return make_auth()


def unreachable_dsn() -> str:
    """The DSN of a port on which nothing listens."""
    return f"postgresql://app:unused@127.0.0.1:{free_port()}/app"
