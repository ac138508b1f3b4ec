"""What the triggers of `migrate live` tell, heard as any PostgreSQL client hears it."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

import psycopg

from auth_middleware._core import Migrations
from tests.support.databases import Database

EVERYTHING = "everything"


def channel(session_table: str = '"public"."session"') -> str:
    """The argument is the table's quoted name."""
    return f"auth_middleware_{hashlib.sha256(session_table.encode()).hexdigest()[:16]}"


def token_item(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def user_item(user_id: str) -> str:
    return f"u{hashlib.sha256(user_id.encode()).hexdigest()}"


class Watched:
    """A database whose triggers are made here or were made before; the settings are those that name the tables."""

    def __init__(
        self,
        database: Database,
        session_table: str = '"public"."session"',
        settings: Mapping[str, Any] | None = None,
        *,
        apply: bool = True,
    ) -> None:
        self.database = database
        self.channel = channel(session_table)
        self._tables: Mapping[str, Any] = {"schema": None, **(settings or {})}
        assert not apply or self.apply()
        self._listener = psycopg.connect(database.dsn, autocommit=True)
        self._listener.execute(f'LISTEN "{self.channel}"'.encode())

    def close(self) -> None:
        self._listener.close()

    def apply(self) -> bool:
        async def run() -> bool:
            return await Migrations(self.database.dsn, **self._tables).apply_live()

        return asyncio.run(run())

    def state(self, dsn: str | None = None) -> tuple[str | None, str]:
        """The problem and the fingerprint, as this database's superuser or whoever `dsn` names sees them."""

        async def run() -> tuple[str | None, str]:
            return await Migrations(dsn or self.database.dsn, **self._tables).live_state()

        return asyncio.run(run())

    def told(self, command: str, *, dsn: str | None = None) -> list[str]:
        """Runs the command as one transaction; gives what was told of it, items in order and apart."""
        with psycopg.connect(dsn or self.database.dsn, autocommit=True) as connection:
            connection.execute(command.encode())
        return self.heard()

    def heard(self) -> list[str]:
        """What has been committed since the last time."""
        # Notifications come in the order of commits: when this one is here, those are.
        nonce = secrets.token_hex(8)
        with psycopg.connect(self.database.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, %s)", (self.channel, nonce))
        payloads: list[str] = []
        for notification in self._listener.notifies(timeout=30):
            if notification.payload == nonce:
                return sorted(item for payload in payloads for item in payload.split(","))
            payloads.append(notification.payload)
        raise AssertionError("the listener heard nothing within 30 s")
