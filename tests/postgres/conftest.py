"""Databases with other tables than the migration's, roles with few rights, and instances for any DSN."""

import secrets
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar, overload
from urllib.parse import urlsplit

import pytest

from auth_middleware import Auth, AuthSession, AuthSettings, AuthUser
from dev.postgres import EmbeddedPostgres, execute
from tests.support import tables
from tests.support.databases import Database
from tests.support.instances import DEFAULTS

User = TypeVar("User", bound=AuthUser)
Session = TypeVar("Session", bound=AuthSession)


class MakeAuthFor:
    """Makes instances for a DSN; further keywords are settings."""

    def __init__(self) -> None:
        self.made: list[Auth[Any, Any]] = []

    @overload
    def __call__(self, dsn: str, *, user_model: type[User], **settings: Any) -> Auth[AuthSession, User]: ...
    @overload
    def __call__(self, dsn: str, *, session_model: type[Session], **settings: Any) -> Auth[Session]: ...
    @overload
    def __call__(self, dsn: str, **settings: Any) -> Auth: ...
    def __call__(
        self,
        dsn: str,
        *,
        user_model: type[Any] = AuthUser,
        session_model: type[Any] = AuthSession,
        **settings: Any,
    ) -> Auth[Any, Any]:
        values: dict[str, Any] = {"database_url": dsn, **DEFAULTS, **settings}
        auth = Auth(AuthSettings(**values), user_model=user_model, session_model=session_model)
        self.made.append(auth)
        return auth


@pytest.fixture
async def auth_for() -> AsyncGenerator[MakeAuthFor]:
    make = MakeAuthFor()
    yield make
    for auth in make.made:
        await auth.close()


@pytest.fixture(scope="session")
def camel_template(postgres: EmbeddedPostgres) -> str:
    name = "better_auth_camel_template"
    execute(postgres.create_database(name), tables.CAMEL_CASE)
    return name


@pytest.fixture
def camel_database(postgres: EmbeddedPostgres, camel_template: str) -> Generator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    yield Database(postgres.create_database(name, camel_template))
    postgres.drop_database(name)


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Generator[Database]:
    """No tables at all."""
    name = f"test_{secrets.token_hex(6)}"
    yield Database(postgres.create_database(name))
    postgres.drop_database(name)


@dataclass(frozen=True)
class Role:
    """Somebody who may log in, and nothing more than PUBLIC may."""

    name: str
    password: str

    def dsn(self, database: Database) -> str:
        """To `database`, as this role."""
        parts = urlsplit(database.dsn)
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{self.name}:{self.password}@{host}").geturl()


@pytest.fixture
def make_role(postgres: EmbeddedPostgres) -> Callable[..., Role]:
    """Makes roles; the argument is their options. They go with the cluster."""

    def make(options: str = "") -> Role:
        role = Role(f"role_{secrets.token_hex(6)}", secrets.token_hex(16))
        execute(postgres.dsn(), f"CREATE ROLE {role.name} LOGIN PASSWORD '{role.password}' {options}")
        return role

    return make


@pytest.fixture
def role(make_role: Callable[..., Role]) -> Role:
    return make_role()
