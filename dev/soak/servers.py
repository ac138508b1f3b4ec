"""The servers of a run: PostgreSQL with a standby behind one address, Better Auth, and one API for each mode."""

import asyncio
import os
import secrets
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import quote

from dev.better_auth import BetterAuthServer
from dev.environment import without_our_settings
from dev.postgres import SUPERUSER, EmbeddedPostgres
from dev.processes import ChildProcess, ProcessFailed, free_port
from dev.soak.address import Address
from dev.soak.modes import COOKIE_CACHE_SECONDS, CREDENTIALS, JWT_SECONDS, MODES, Mode
from dev.stack import migrate
from dev.standbys import Standby

ROOT = Path(__file__).parents[2]
WORKERS = 2
DATABASE = "soak"

Opened = TypeVar("Opened", bound=EmbeddedPostgres | BetterAuthServer)


class Servers:
    """Everything that people talk to. `logs` is a directory for the output of the APIs."""

    def __init__(self, logs: Path) -> None:
        self.secret = secrets.token_urlsafe(32)
        self.logs = logs
        self.apis: dict[str, ChildProcess] = {}
        self.urls: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self._standbys = 0

    async def __aenter__(self) -> Self:
        self.primary: EmbeddedPostgres = await self._opened(EmbeddedPostgres(settings={"max_connections": "100"}))
        self.address = await self._stack.enter_async_context(Address(self.primary.port))
        await asyncio.to_thread(self.primary.create_database, DATABASE)
        self.auth_service = await self._opened(
            BetterAuthServer(
                self.dsn,
                secret=self.secret,
                cookie_cache="compact",
                cookie_cache_max_age_seconds=COOKIE_CACHE_SECONDS,
                jwt={"jwt": {"expirationTime": f"{JWT_SECONDS}s"}},
                bearer=True,
                admin=True,
            )
        )
        await asyncio.to_thread(migrate, self.dsn, "live")
        await self.add_standby()
        for mode in MODES:
            await asyncio.to_thread(self.start_api, mode)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for api in self.apis.values():
            await asyncio.to_thread(api.stop)
        await self._stack.aclose()

    @property
    def dsn(self) -> str:
        """The database behind the one address."""
        return f"postgresql://{SUPERUSER}:{quote(self.primary.password)}@127.0.0.1:{self.address.port}/{DATABASE}"

    async def keep_auth_service(self) -> None:
        """Starts Better Auth again after node-postgres has ended it, as it does if a connection breaks in a query."""
        while True:
            await asyncio.sleep(0.2)
            if self.auth_service.has_exited():
                # While PostgreSQL is down, it ends at once.
                with suppress(ProcessFailed):
                    await asyncio.to_thread(self.auth_service.__enter__)

    async def add_standby(self) -> None:
        self.standby = await self._opened(Standby(self.primary, settings={"max_connections": "100"}))

    async def fail_over(self) -> None:
        """Fences the primary, and puts its standby in its place. Nobody may write meanwhile."""
        await asyncio.to_thread(self.standby.catch_up)
        await asyncio.to_thread(self.primary.stop)
        await asyncio.to_thread(self.standby.promote)
        self.primary = self.standby
        self.address.target = self.primary.port
        self.address.cut()

    def start_api(self, mode: Mode) -> None:
        """Starts the API of a mode, on the same port as before."""
        url = self.urls.setdefault(mode.name, f"http://localhost:{free_port()}")
        log = (self.logs / f"{mode.name}.log").open("a")
        port = url.rpartition(":")[2]
        command = ["-m", "uvicorn", "dev.soak.application:app", "--workers", str(WORKERS), "--log-level", "info"]
        api = ChildProcess(
            mode.name,
            [sys.executable, *command, "--host", "127.0.0.1", "--port", port],
            cwd=ROOT,
            env={**without_our_settings(), **self._settings(), **mode.environment, **CREDENTIALS},
            log=log,
        )
        api.wait_for_url(f"http://127.0.0.1:{port}/openapi.json")
        self.apis[mode.name] = api

    def workers(self, name: str) -> list[int]:
        """The process ids of an API's workers."""
        tasks = Path(f"/proc/{self.apis[name].pid}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in task.read_text().split()]
        # multiprocessing's resource tracker is a child too.
        return [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def _settings(self) -> Mapping[str, str]:
        return {
            "DATABASE_URL": self.dsn,
            "BETTER_AUTH_SECRET": self.secret,
            "BETTER_AUTH_URL": self.auth_service.url,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }

    async def _opened(self, server: Opened) -> Opened:
        await asyncio.to_thread(server.__enter__)
        self._stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
        return server
