"""The servers that people use, with both event loops, as real processes with real sockets."""

import asyncio
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from dev.cookies import SECRET, cookie, new_token
from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port
from tests.support.applications import TLS, connect_websocket
from tests.support.databases import Database, SignedIn
from tests.support.instances import BASE_URL
from tests.support.polling import wait_until

ROOT = Path(__file__).parents[2]
APP = "tests.support.programs.served:app"

# Each server's command line, for an event loop, a port and a number of worker processes.
COMMANDS: dict[str, Callable[[str, int, int], Sequence[str]]] = {
    "uvicorn": lambda loop, port, workers: [f"--loop={loop}", f"--port={port}", f"--workers={workers}"],
    "hypercorn": lambda loop, port, workers: [
        f"--worker-class={loop}",
        f"--bind=127.0.0.1:{port}",
        f"--workers={workers}",
    ],
    "granian": lambda loop, port, workers: [
        "--interface=asgi",
        f"--loop={loop}",
        f"--port={port}",
        f"--workers={workers}",
    ],
}


class Site(NamedTuple):
    url: str
    database: Database
    process: ChildProcess


Serve = Callable[[str, str, int], Site]


@pytest.fixture
def serve(database: Database) -> Generator[Serve]:
    with ExitStack() as stack:

        def start(server: str, loop: str, workers: int) -> Site:
            port = free_port()
            settings = {
                "DATABASE_URL": database.dsn,
                "BETTER_AUTH_SECRET": SECRET,
                "BETTER_AUTH_URL": BASE_URL,
                "AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS": "30",
            }
            command = [sys.executable, "-m", server, *COMMANDS[server](loop, port, workers), APP]
            process = ChildProcess(server, command, env=without_our_settings() | settings, cwd=ROOT)
            site = Site(f"http://127.0.0.1:{port}", database, stack.enter_context(process))
            process.wait_for_url(f"{site.url}/loop")
            return site

        yield start


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> str:
    return request.param


def request_for_all(site: Site, path: str, everybody: Sequence[SignedIn]) -> list[tuple[int, Any]]:
    """Sends one request per user, all at once, and returns the statuses and bodies."""

    async def main() -> list[tuple[int, Any]]:
        async with httpx.AsyncClient(trust_env=False, verify=TLS, timeout=30) as client:
            requests = (client.get(site.url + path, headers=who.headers) for who in everybody)
            return [(response.status_code, response.json()) for response in await asyncio.gather(*requests)]

    return asyncio.run(main())


def hang_up_while_waiting(site: Site, everybody: Sequence[SignedIn]) -> None:
    """Sends requests and closes their connections before the responses."""
    port = int(site.url.rpartition(":")[2])
    with site.database.locked() as blocked, ExitStack() as stack:
        for who in everybody:
            caller = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            header = f"Cookie: {who.headers['Cookie']}\r\n"
            caller.sendall(f"GET /required HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode())
        wait_until(lambda: blocked() > 0)


@pytest.mark.parametrize("server", COMMANDS)
def test_each_user_gets_their_own_response_and_a_sign_out_is_noticed_at_once(
    serve: Serve, database: Database, server: str, loop: str
) -> None:
    everybody = [database.sign_in() for _ in range(60)]
    site = serve(server, loop, 1)
    [(_, [name, _])] = request_for_all(site, "/loop", everybody[:1])
    assert name == loop

    for path in ("/required", "/optional", "/session"):
        assert request_for_all(site, path, everybody) == [(200, who.user_id) for who in everybody]
    assert connect_websocket(f"{site.url}/required", everybody[0].headers).body == everybody[0].user_id
    assert connect_websocket(f"{site.url}/validated", everybody[1].headers).body == everybody[1].user_id

    hang_up_while_waiting(site, everybody[:20])
    gone, *others = everybody
    database.execute(f"DELETE FROM session WHERE id = '{gone.session_id}'")
    assert request_for_all(site, "/required", everybody) == [
        (401, {"detail": "Invalid or expired session"}),
        *((200, who.user_id) for who in others),
    ]
    assert connect_websocket(f"{site.url}/required", gone.headers).status == 401
    assert connect_websocket(f"{site.url}/required", cookie(new_token())).status == 401

    site.process.stop()
    assert "Traceback" not in site.process.last_output()
    wait_until(lambda: connections(database) == 0)


def connections(database: Database) -> int:
    """The number of open connections of all processes."""
    ours = "application_name = 'auth_middleware' AND datname = current_database()"
    [(number,)] = database.fetch(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}")
    return int(number)


@pytest.mark.parametrize("server", COMMANDS)
def test_several_workers_respond(serve: Serve, database: Database, server: str) -> None:
    everybody = [database.sign_in() for _ in range(60)]
    site = serve(server, "uvloop", 2)
    for _ in range(3):
        assert request_for_all(site, "/required", everybody) == [(200, who.user_id) for who in everybody]
    pids: set[int] = set()

    def have_both_responded() -> bool:
        pids.update(pid for _, [_, pid] in request_for_all(site, "/loop", everybody[:20]))
        return len(pids) == 2

    wait_until(have_both_responded)
    assert request_for_all(site, "/optional", everybody) == [(200, who.user_id) for who in everybody]
