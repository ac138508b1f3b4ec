"""A plugin: `Auth` instances for tests, closed with the test."""

import asyncio
from collections.abc import Generator
from typing import Any, Protocol

import pytest

from auth_middleware import Auth, AuthSettings, AuthUser
from dev.processes import free_port
from tests.support.cookies import SECRET
from tests.support.databases import Database

BASE_URL = "http://auth.test"
DEFAULTS: dict[str, Any] = {"secret": SECRET, "base_url": BASE_URL, "trusted_origins": ("http://page.test",)}


class MakeAuth(Protocol):
    def __call__(self, *, user_model: type[AuthUser] = ..., **settings: Any) -> Auth[Any, Any]: ...


@pytest.fixture
def make_auth(database: Database) -> Generator[MakeAuth]:
    """Makes instances for the test's database; keywords are settings."""
    made: list[Auth[Any, Any]] = []

    def make(*, user_model: type[AuthUser] = AuthUser, **settings: Any) -> Auth[Any, Any]:
        values: dict[str, Any] = {"database_url": database.dsn, **DEFAULTS, **settings}
        auth = Auth(AuthSettings(**values), user_model=user_model)
        made.append(auth)
        return auth

    yield make
    for auth in made:
        asyncio.run(auth.close())


@pytest.fixture
def auth(make_auth: MakeAuth) -> Auth:
    return make_auth()


def nowhere() -> str:
    """A DSN where nobody listens."""
    return f"postgresql://app:unused@127.0.0.1:{free_port()}/app"
