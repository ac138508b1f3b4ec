"""A protected GET under uvicorn and uvloop, asked by wrk."""

import asyncio
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benches import credentials, wrk
from benches.credentials import Headers
from benches.figures import Competition, Round
from benches.processes import cpu_seconds
from benches.servers import Server
from benches.stage import Stage
from benches.turns import Lengths, turns

CONNECTIONS = (1, 32, 128)
SHOWN = 1_000
# What a cache holds ages while the others take their turn, as it would not in a server that is never idle. So each turn
# begins with a second that is not counted, for all alike.
LEAD_IN_SECONDS = 1
# Those that are compared closely take turns closely.
CONTENDERS = (
    "bare",
    "nothing",
    "nothing_long",
    "live",
    "cookie_cache",
    "seconds",
    "always",
    "by_hand",
    "bridge",
    "get_session",
    "jwks",
)

Servers = Mapping[str, Server]


@contextmanager
def serving(stage: Stage, contenders: Sequence[str] = CONTENDERS) -> Generator[Servers]:
    """Checked, so warm too."""
    shown = shown_by(stage._replace(people=dict(islice(stage.people.items(), SHOWN))))
    with ExitStack() as stack:
        servers = {name: stack.enter_context(Server(name, stage, shown(name))) for name in contenders}
        for server in servers.values():
            server.check()
        yield servers


def shown_by(stage: Stage) -> Callable[[str], Headers]:
    """What each contender's users show."""
    long = credentials.with_session_data
    special = {"cookie_cache": long, "nothing_long": long, "jwks": credentials.bearer_tokens}

    def shown(contender: str) -> Headers:
        if contender in special:
            return asyncio.run(special[contender](stage))
        return credentials.session_cookies(stage.people)

    return shown


def compete(servers: Servers, lengths: Lengths) -> list[Competition]:
    """One competition for each number of connections."""
    with TemporaryDirectory() as directory:
        files = {name: written(server, Path(directory)) for name, server in servers.items()}
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


def written(server: Server, directory: Path) -> Path:
    """What the server's users show, for wrk."""
    file = directory / server.contender
    file.write_text("".join(f"{line}\n" for line in server.headers.values()))
    return file
