"""Requests to a protected route under uvicorn and uvloop, sent by wrk."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benches.figures import Competition, Round
from benches.scenarios.setup import credentials, wrk
from benches.scenarios.setup.credentials import Headers
from benches.scenarios.setup.environment import Environment
from benches.scenarios.setup.process_stats import cpu_seconds
from benches.scenarios.setup.rounds import Lengths, turns
from benches.scenarios.setup.servers import Server

CONNECTIONS = (1, 32, 128)
USERS = 1_000
# Cache entries expire while the other contenders take their turn, which does not happen on a busy server. Each turn
# therefore begins with a second that is not counted.
LEAD_IN_SECONDS = 1
# Contenders with similar figures stand next to each other, so that they run close together in time.
CONTENDERS = (
    "no_dependency",
    "empty_dependency",
    "empty_dependency_session_data",
    "live",
    "cookie_cache",
    "seconds",
    "always",
    "hand_written",
    "bridge",
    "get_session",
    "jwks",
)
# Contenders whose users present a JWT of 15 minutes.
PRESENT_JWTS = ("jwks", "bridge_jwt", "empty_dependency_jwt", "jwt_claims", "jwt_always")

Servers = Mapping[str, Server]
Request = Callable[[Environment], Coroutine[Any, Any, Headers]]


@contextmanager
def serving(env: Environment, contenders: Sequence[str] = CONTENDERS) -> Generator[Servers]:
    """Starts all servers, and checks them, which also warms them up."""
    headers_of = headers_by_contender(env._replace(users=dict(islice(env.users.items(), USERS))))
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(name, env, headers_of(name))) for name in contenders}
        for server in servers.values():
            server.check()
        yield servers


def headers_by_contender(env: Environment) -> Callable[[str], Headers]:
    """The credentials that each contender is sent."""
    with_data = credentials.with_session_data
    special: Mapping[str, Request] = {
        "cookie_cache": with_data,
        "empty_dependency_session_data": with_data,
        **dict.fromkeys(PRESENT_JWTS, credentials.bearer_tokens),
    }

    @cache
    def requested(by: Request) -> Headers:
        """From Better Auth, once for all contenders that are sent the same."""
        return asyncio.run(by(env))

    def headers_of(contender: str) -> Headers:
        if contender in special:
            return requested(special[contender])
        return credentials.session_cookies(env.users)

    return headers_of


def compete(servers: Servers, lengths: Lengths) -> list[Competition]:
    """One competition for each number of connections."""
    with TemporaryDirectory() as directory:
        files = {name: write_headers(server, Path(directory)) for name, server in servers.items()}
        return [
            Competition(load=connections, rounds=rounds(servers, files, connections, lengths))
            for connections in CONNECTIONS
        ]


def rounds(
    servers: Servers, files: Mapping[str, Path], connections: int, lengths: Lengths
) -> Mapping[str, list[Round]]:
    done: dict[str, list[Round]] = {name: [] for name in servers}
    for turn in turns(list(servers), lengths.rounds, lengths.http_seconds):
        server = servers[turn.contender]
        wrk.load(server.url, files[turn.contender], connections, LEAD_IN_SECONDS)
        before = cpu_seconds(server.pid)
        load = wrk.load(server.url, files[turn.contender], connections, turn.seconds)
        cpu = (cpu_seconds(server.pid) - before) / load.requests
        if turn.is_counted:
            done[turn.contender].append(Round(load.requests / load.seconds, load.p50, load.p99, cpu))
    return done


def write_headers(server: Server, directory: Path) -> Path:
    """Writes the credentials to a file for wrk."""
    file = directory / server.contender
    file.write_text("".join(f"{line}\n" for line in server.headers.values()))
    return file
