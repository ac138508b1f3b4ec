"""What guarded sockets cost while they are open, and how soon they are closed after a sign-out."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import date

import psycopg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benches.figures import GuardFigures
from dev.cookies import SECRET, cookie
from dev.environment import without_our_settings
from dev.postgres import EmbeddedPostgres
from dev.postgres_proxies import counting_proxy
from dev.processes import ChildProcess, free_port
from dev.sessions import create_tables, numbered_token, sign_in_numbered

OPEN, CLOSED = 10_000, 1_000
RECHECK_SECONDS = 30
# Two rounds of re-checks.
IDLE_SECONDS = 60
CONNECTING = 50


def measure() -> GuardFigures:
    """Measures sockets without a server in processes of their own, and then sockets of a uvicorn."""
    with ExitStack() as stack:
        postgres = stack.enter_context(EmbeddedPostgres())
        dsn = postgres.create_database("guards")
        create_tables(dsn)
        sign_in_numbered(dsn, 2 * OPEN)
        subprocess.run(
            [sys.executable, "-m", "auth_middleware", "migrate", "live", "--database-url", dsn],
            env=without_our_settings(),
            check=True,
            stdout=subprocess.DEVNULL,
        )
        validated, _, _ = hold("validated", settings(dsn), 1)
        with counting_proxy(dsn) as proxy:
            guarded, cpu, statements = hold("guarded", settings(proxy.dsn), IDLE_SECONDS, lambda: proxy.statements)
        with counting_proxy(dsn) as proxy:
            live = {**settings(proxy.dsn), "AUTH_MIDDLEWARE_FRESHNESS": "live"}
            _, live_cpu, live_statements = hold("guarded", live, IDLE_SECONDS, lambda: proxy.statements)
        one, purge = asyncio.run(closing(dsn))
    return GuardFigures(
        date=f"{date.today():%B %Y}",
        machine=f"{os.cpu_count()} processors that other programs used too",
        open=OPEN,
        closed=CLOSED,
        bytes_each=guarded - validated,
        bytes_validated=validated,
        recheck_seconds=RECHECK_SECONDS,
        cpu=cpu,
        statements_per_recheck=statements * RECHECK_SECONDS / IDLE_SECONDS,
        live_cpu=live_cpu,
        live_statements_per_minute=live_statements * 60 / IDLE_SECONDS,
        one_by_one=one,
        purge=purge,
    )


def settings(dsn: str) -> Mapping[str, str]:
    return {
        **without_our_settings(),
        "DATABASE_URL": dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "http://auth.test",
        "AUTH_MIDDLEWARE_RECHECK_SECONDS": str(RECHECK_SECONDS),
    }


def hold(
    kind: str, environment: Mapping[str, str], seconds: int, count: Callable[[], int] = lambda: 0
) -> tuple[float, float, int]:
    """Bytes for each socket; the share of a processor, and the statements, while all are idle."""
    command = [sys.executable, "-m", "benches.scenarios.guards_process", kind, str(OPEN), str(seconds)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        opened = process.stdout.readline().split()
        before = count()
        idle = process.stdout.readline().split()
        statements = count() - before
    assert (opened[0], idle[0]) == ("open", "idle")
    return float(opened[1]), float(idle[1]), statements


async def closing(dsn: str) -> tuple[Sequence[float], Sequence[float]]:
    """Seconds from the return of a commit to the close frame: each session by itself, then all in one statement."""
    port = free_port()
    live = {"AUTH_MIDDLEWARE_FRESHNESS": "live", "AUTH_MIDDLEWARE_RECHECK_SECONDS": "3600"}
    command = [sys.executable, "-m", "uvicorn", f"--port={port}", "benches.contenders.applications.guarded:app"]
    with ChildProcess("uvicorn", command, env={**settings(dsn), **live}) as process:
        process.wait_for_url(f"http://127.0.0.1:{port}/ready")
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as database:
            tasks = await opened(port, range(CLOSED))
            one_by_one: list[float] = []
            for number, task in enumerate(tasks):
                token = numbered_token(number)
                await database.execute('DELETE FROM "session" WHERE "token" = %s', [token])
                committed = time.perf_counter()
                one_by_one.append(await task - committed)
            tokens = [numbered_token(number) for number in range(CLOSED, 2 * CLOSED)]
            tasks = await opened(port, range(CLOSED, 2 * CLOSED))
            await database.execute('DELETE FROM "session" WHERE "token" = ANY(%s)', [tokens])
            committed = time.perf_counter()
            purge = [await task - committed for task in tasks]
    return one_by_one, purge


async def opened(port: int, numbers: Sequence[int]) -> Sequence["asyncio.Task[float]"]:
    """Tasks that return when their socket was closed."""
    sockets: list[ClientConnection] = []
    for first in range(0, len(numbers), CONNECTING):
        connecting = (connected(port, number) for number in numbers[first : first + CONNECTING])
        sockets += await asyncio.gather(*connecting)
    return [asyncio.create_task(closed_at(socket)) for socket in sockets]


async def connected(port: int, number: int) -> ClientConnection:
    headers = cookie(numbered_token(number))
    socket = await connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, proxy=None)
    assert await socket.recv() == "open"
    return socket


async def closed_at(socket: ClientConnection) -> float:
    try:
        await socket.recv()
    except ConnectionClosed as closed:
        at = time.perf_counter()
        code = closed.rcvd.code if closed.rcvd else None
        if code == 4001:
            return at
        raise RuntimeError(f"it was closed with {code}") from closed
    raise RuntimeError("it has received something")
