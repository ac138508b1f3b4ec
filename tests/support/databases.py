"""A pytest plugin: one embedded PostgreSQL for the run, and a database of its own for each test that requests one."""

import os
import secrets
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg
import pytest

from dev.cookies import cookie, new_token, signed
from dev.postgres import EmbeddedPostgres, execute, fetch

TABLES = Path(__file__).parents[2] / "python" / "auth_middleware" / "migrations" / "13_better_auth_tables.sql"
TEMPLATE = "better_auth_template"
PLENTY_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class SignedIn:
    """A signed-in user: the ids of the rows, and the cookie that the browser sends."""

    user_id: str
    session_id: str
    token: str
    email: str

    @property
    def headers(self) -> dict[str, str]:
        return cookie(self.token)

    @property
    def cookie_value(self) -> str:
        return signed(self.token)


class Database:
    """A database with Better Auth's tables in snake_case."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    @property
    def name(self) -> str:
        return self.dsn.rpartition("/")[2]

    def execute(self, command: str) -> None:
        execute(self.dsn, command)

    def fetch(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        return fetch(self.dsn, query, *parameters)

    def sign_in(self, *, expires_at: str | datetime | None = None) -> SignedIn:
        """Adds a user with a session, which lasts an hour by default."""
        number = secrets.token_hex(4)
        who = SignedIn(f"user-{number}", f"session-{number}", new_token(), f"ada-{number}@example.com")
        expires_at = expires_at or datetime.now(UTC) + timedelta(hours=1)
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                'INSERT INTO "user" (id, name, email) VALUES (%s, %s, %s)', (who.user_id, "Ada Lovelace", who.email)
            )
            connection.execute(
                "INSERT INTO session (id, user_id, token, expires_at) VALUES (%s, %s, %s, %s::timestamptz)",
                (who.session_id, who.user_id, who.token, str(expires_at)),
            )
        return who

    @contextmanager
    def locked(self) -> Generator[Callable[[], int]]:
        """Blocks lookups. Yields a function that returns how many are waiting."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            yield self._blocked

    def _blocked(self) -> int:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'session'::regclass"
        [(count,)] = self.fetch(query)
        return int(count)


@contextmanager
def outage(postgres: EmbeddedPostgres) -> Generator[None]:
    """Stops PostgreSQL for the duration of the block."""
    postgres.stop()
    try:
        yield
    finally:
        postgres.start()


@pytest.fixture(scope="session")
def postgres() -> Generator[EmbeddedPostgres]:
    with (
        TemporaryDirectory(prefix="postgres-", dir=fast_directory()) as directory,
        EmbeddedPostgres(Path(directory)) as postgres,
    ):
        yield postgres


def fast_directory() -> Path | None:
    """A directory in memory, if it has enough room. Creating databases takes most of the tests' time."""
    memory = Path("/dev/shm")  # noqa: S108 - the directory created in it has a unique name
    if not memory.is_dir() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return None
    return memory if shutil.disk_usage(memory).free > PLENTY_BYTES else None


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    execute(postgres.create_database(TEMPLATE), TABLES.read_text())
    return TEMPLATE


@pytest.fixture
def database(postgres: EmbeddedPostgres, template: str) -> Generator[Database]:
    name = f"test_{secrets.token_hex(6)}"
    yield Database(postgres.create_database(name, template))
    postgres.drop_database(name)
