"""Receives the notifications that the triggers of `migrate live` send."""

import asyncio
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from auth_middleware._core import Migrations
from tests.support.databases import Database

EVERYTHING = "everything"


def channel(session_table: str = '"public"."session"') -> str:
    """The channel for a session table, given by its qualified, quoted name."""
    return f"auth_middleware_{hashlib.sha256(session_table.encode()).hexdigest()[:16]}"


def token_item(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def user_item(user_id: str) -> str:
    return f"u{hashlib.sha256(user_id.encode()).hexdigest()}"


class Listener:
    """Listens on a database and records what its triggers send.

    Creates the triggers unless `apply` is false. `settings` are the settings that name the tables, and `ignoring` the
    columns for `migrate live --ignoring`.
    """

    def __init__(
        self,
        database: Database,
        session_table: str = '"public"."session"',
        settings: Mapping[str, Any] | None = None,
        *,
        apply: bool = True,
        ignoring: Sequence[str] = (),
    ) -> None:
        self.database = database
        self.channel = channel(session_table)
        self._tables: Mapping[str, Any] = {"schema": None, **(settings or {})}
        assert not apply or self.apply(ignoring)
        self._listener = psycopg.connect(database.dsn, autocommit=True)
        self._listener.execute(f'LISTEN "{self.channel}"'.encode())

    def close(self) -> None:
        self._listener.close()

    def apply(self, ignoring: Sequence[str] = ()) -> bool:
        async def run() -> bool:
            return await Migrations(self.database.dsn, **self._tables).apply_live(ignoring)

        return asyncio.run(run())

    def state(self, dsn: str | None = None) -> tuple[str | None, str]:
        """The problem and the fingerprint, as seen by the superuser or by the role in `dsn`."""

        async def run() -> tuple[str | None, str]:
            return await Migrations(dsn or self.database.dsn, **self._tables).live_state()

        return asyncio.run(run())

    def notified(self, command: str, *, dsn: str | None = None) -> list[str]:
        """Runs the command in one transaction, and returns the items of its notifications, sorted."""
        with psycopg.connect(dsn or self.database.dsn, autocommit=True) as connection:
            connection.execute(command.encode())
        return self.received()

    def received(self) -> list[str]:
        """The items of all notifications since the last call, sorted."""
        # Notifications arrive in commit order, so all earlier ones have arrived before this one.
        nonce = secrets.token_hex(8)
        with psycopg.connect(self.database.dsn, autocommit=True) as connection:
            connection.execute("SELECT pg_notify(%s, %s)", (self.channel, nonce))
        payloads: list[str] = []
        for notification in self._listener.notifies(timeout=30):
            if notification.payload == nonce:
                return sorted(item for payload in payloads for item in payload.split(","))
            payloads.append(notification.payload)
        raise AssertionError("no notification arrived within 30 s")
