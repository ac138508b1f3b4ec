"""Guarded sockets and streams under the servers that people use, with both event loops, as real processes."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from dev.cookies import SECRET
from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port
from tests.support.applications import TLS
from tests.support.databases import Database, SignedIn
from tests.support.guarded_sockets import Client, Close
from tests.support.instances import BASE_URL
from tests.support.live import migrate_live
from tests.support.polling import TIMEOUT_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
APP = "tests.support.programs.guarded:app"
SESSION_ENDED = (4001, "session ended")

# Each server's command line, for an event loop, a port and a number of worker processes.
COMMANDS: dict[str, Callable[[str, int, int], Sequence[str]]] = {
    **{
        f"uvicorn {ws}": lambda loop, port, workers, ws=ws: [
            *("uvicorn", f"--ws={ws}", f"--loop={loop}", f"--port={port}", f"--workers={workers}"),
            "--timeout-graceful-shutdown=20",
        ]
        for ws in ("websockets", "websockets-sansio", "wsproto")
    },
    "hypercorn": lambda loop, port, workers: [
        "hypercorn",
        f"--worker-class={loop}",
        f"--bind=127.0.0.1:{port}",
        f"--workers={workers}",
    ],
    "granian": lambda loop, port, workers: [
        *("granian", "--interface=asgi", f"--loop={loop}", f"--port={port}", f"--workers={workers}"),
    ],
}


class Site(NamedTuple):
    url: str
    process: ChildProcess


Serve = Callable[..., Site]


@pytest.fixture
def serve(database: Database) -> Generator[Serve]:
    with ExitStack() as stack:

        def start(server: str, loop: str = "asyncio", workers: int = 1, **settings: str) -> Site:
            port = free_port()
            environment = {
                "DATABASE_URL": database.dsn,
                "BETTER_AUTH_SECRET": SECRET,
                "BETTER_AUTH_URL": BASE_URL,
                "AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS": "30",
                "AUTH_MIDDLEWARE_RECHECK_SECONDS": "0.2",
                **settings,
            }
            command = [sys.executable, "-m", *COMMANDS[server](loop, port, workers), APP]
            process = ChildProcess(server, command, env=without_our_settings() | environment, cwd=ROOT)
            site = Site(f"http://127.0.0.1:{port}", stack.enter_context(process))
            process.wait_for_url(f"{site.url}/loop")
            return site

        yield start


def guarded_connections(site: Site) -> int:
    return httpx.get(f"{site.url}/count", trust_env=False, verify=TLS).json()


def sign_out(database: Database, who: SignedIn) -> None:
    database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("server", COMMANDS)
def test_sockets_and_streams_end_with_their_sessions(serve: Serve, database: Database, server: str, loop: str) -> None:
    site = serve(server, loop)
    assert httpx.get(f"{site.url}/loop", trust_env=False, verify=TLS).json()[0] == loop
    stays = database.sign_in()
    staying = Client(f"{site.url}/echo", stays.headers)
    for path in ("/echo", "/flood", "/stubborn"):
        who = database.sign_in()
        socket = Client(site.url + path, who.headers)
        assert socket.user_id == who.user_id
        sign_out(database, who)
        assert socket.closed() == SESSION_ENDED, path

    who = database.sign_in()
    with httpx.stream("GET", f"{site.url}/ticks", headers=who.headers, trust_env=False, verify=TLS) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "tick"
        sign_out(database, who)
        assert set(lines) == {"tick"}, "it ends as a response that is complete"
    assert httpx.get(f"{site.url}/ticks", headers=who.headers, trust_env=False, verify=TLS).status_code == 401

    staying.echo("still there")
    wait_until(lambda: guarded_connections(site) == 1)
    staying.leave()
    wait_until(lambda: guarded_connections(site) == 0)
    site.process.stop()
    assert "Traceback" not in site.process.last_output()


@pytest.mark.parametrize("server", ["uvicorn websockets-sansio", "hypercorn", "granian"])
async def test_every_worker_closes_its_own(serve: Serve, database: Database, server: str) -> None:
    await migrate_live(database.dsn)
    site = serve(server, "uvloop", 2, AUTH_MIDDLEWARE_FRESHNESS="live", AUTH_MIDDLEWARE_RECHECK_SECONDS="3600")
    who, other = database.sign_in(), database.sign_in()
    async with asyncio.timeout(TIMEOUT_SECONDS), asyncio.TaskGroup() as tasks:
        stays = await connected(site, other)
        # The server's processes share them.
        sockets = await asyncio.gather(*(connected(site, who) for _ in range(20)))
        ended = [tasks.create_task(closed(socket)) for socket in sockets]
        sign_out(database, who)
    assert {task.result() for task in ended} == {SESSION_ENDED}
    await stays.send("still there")
    assert await stays.recv() == "still there"
    await stays.close()


async def connected(site: Site, who: SignedIn) -> ClientConnection:
    socket = await connect("ws" + site.url[4:] + "/echo", additional_headers=who.headers, proxy=None)
    await socket.recv()
    return socket


async def closed(socket: ClientConnection) -> Close:
    with pytest.raises(ConnectionClosed) as ended:
        await asyncio.wait_for(socket.recv(), TIMEOUT_SECONDS)
    close = ended.value.rcvd
    await socket.close()
    return (close.code, close.reason) if close else (None, None)


@pytest.mark.parametrize("server", COMMANDS)
async def test_a_server_with_a_thousand_sockets_stops(serve: Serve, database: Database, server: str) -> None:
    site = serve(server)
    who = database.sign_in()
    sockets: list[ClientConnection] = []
    for _ in range(10):
        sockets += await asyncio.gather(*(connected(site, who) for _ in range(100)))
    assert await asyncio.to_thread(guarded_connections, site) == 1000
    os.kill(site.process.pid, signal.SIGTERM)
    await asyncio.to_thread(wait_until, site.process.has_exited)
    if server != "hypercorn":  # which logs a traceback for each of its sockets, without guards too
        assert "Traceback" not in site.process.last_output()
    for socket in sockets:
        await closed(socket)


@pytest.mark.parametrize("freshness", ["always", "live"])
async def test_a_forked_child_guards_its_own_sockets(database: Database, freshness: str) -> None:
    await migrate_live(database.dsn)
    parents, childs = database.sign_in(), database.sign_in()
    settings = {
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": BASE_URL,
        "AUTH_MIDDLEWARE_FRESHNESS": freshness,
        "AUTH_MIDDLEWARE_RECHECK_SECONDS": "0.2",
        "COOKIE_VALUES": f"{parents.cookie_value} {childs.cookie_value}",
    }
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.programs.guard_forks"),
        env=without_our_settings() | settings,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert program.stdout
    async with asyncio.timeout(TIMEOUT_SECONDS):
        assert await program.stdout.readline() == b"parent open\n"
        assert await program.stdout.readline() == b"child open\n"
        sign_out(database, childs)
        assert await program.stdout.readline() == b"child 4001 session ended\n"
        assert await program.stdout.readline() == b"parent has 1\n"
        sign_out(database, parents)
        assert await program.stdout.readline() == b"parent 4001 session ended\n"
        assert await program.wait() == 0
