"""What goes wrong, one fault after another, and when the store may be unavailable because of it."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from dev.postgres import fetch
from dev.soak.model import Window
from dev.soak.modes import MODES
from dev.soak.servers import Servers

# Within this time after a fault, everything works again without a restart.
RECOVERY_SECONDS = 12.0
PAUSE_SECONDS = (4.0, 9.0)


class Faults:
    """Injects faults. `windows` are the times in which a 503 is allowed."""

    def __init__(self, servers: Servers, chance: random.Random) -> None:
        self.windows: list[Window] = []
        self.counts: dict[str, int] = {}
        self._servers = servers
        self._chance = chance
        self._writers = 0
        self._is_failing_over = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[None]:
        """For whoever changes a row: a fail-over waits for it, and lets nobody begin."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_failing_over)
            self._writers += 1
        try:
            yield
        finally:
            async with self._changed:
                self._writers -= 1
                self._changed.notify_all()

    async def run(self, until: float) -> None:
        """Injects faults in random order, each kind once before any comes again."""
        loop = asyncio.get_running_loop()
        kinds: list[Callable[[], Awaitable[None]]] = []
        while True:
            await asyncio.sleep(self._chance.uniform(*PAUSE_SECONDS))
            kinds = kinds or self._chance.sample(self._kinds(), len(self._kinds()))
            if loop.time() + RECOVERY_SECONDS > until:
                return
            inject = kinds.pop()
            begin = loop.time()
            self.windows.append(Window(begin, float("inf")))
            await inject()
            self.windows[-1] = Window(begin, loop.time() + RECOVERY_SECONDS)
            name = getattr(inject, "__name__", "")
            self.counts[name] = self.counts.get(name, 0) + 1

    def _kinds(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.restart_postgres,
            self.freeze_postgres,
            self.terminate_connections,
            self.cut_connections,
            self.freeze_the_network,
            self.slow_network,
            self.fail_over,
            self.reload_workers,
            self.restart_an_api,
        ]

    async def restart_postgres(self) -> None:
        await asyncio.to_thread(self._servers.primary.stop)
        await asyncio.sleep(self._chance.uniform(0.0, 2.0))
        await asyncio.to_thread(self._servers.primary.start)

    async def freeze_postgres(self) -> None:
        """Stops every process of the server by SIGSTOP, and continues them."""
        frozen = postgres_processes(self._servers.primary.socket_directory / "data")
        for pid in frozen:
            _send(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(1.0, 4.0))
        finally:
            for pid in frozen:
                _send(pid, signal.SIGCONT)

    async def terminate_connections(self) -> None:
        query = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'soak' AND pid <> pg_backend_pid()"
        )
        await asyncio.to_thread(fetch, self._servers.primary.dsn(), query)

    async def cut_connections(self) -> None:
        self._servers.address.cut()

    async def freeze_the_network(self) -> None:
        self._servers.address.freeze()
        await asyncio.sleep(self._chance.uniform(1.0, 6.0))
        self._servers.address.thaw()

    async def slow_network(self) -> None:
        self._servers.address.delay_seconds = 0.15
        await asyncio.sleep(self._chance.uniform(1.0, 5.0))
        self._servers.address.delay_seconds = 0.0

    async def fail_over(self) -> None:
        async with self._changed:
            self._is_failing_over = True
            await self._changed.wait_for(lambda: not self._writers)
        try:
            await self._servers.fail_over()
        finally:
            async with self._changed:
                self._is_failing_over = False
                self._changed.notify_all()
        await self._servers.add_standby()

    async def reload_workers(self) -> None:
        """uvicorn's parent replaces its workers one after another."""
        api = self._servers.apis[self._chance.choice(MODES).name]
        os.kill(api.pid, signal.SIGHUP)
        await asyncio.sleep(3)

    async def restart_an_api(self) -> None:
        mode = self._chance.choice(MODES)
        await asyncio.to_thread(self._servers.apis[mode.name].stop)
        await asyncio.to_thread(self._servers.start_api, mode)


def postgres_processes(data_directory: Path) -> list[int]:
    """The server's first process and its children."""
    first = int((data_directory / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
