"""What telemetry costs: processes that record nothing, without an SDK, with metrics, and with traces as well."""

import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from tempfile import NamedTemporaryFile

from benches.figures import Competition, Round, TelemetryFigures
from benches.scenarios.setup.machine import commit
from benches.scenarios.setup.rounds import Lengths, turns
from dev.cookies import SECRET
from dev.environment import without_our_settings

# The first one records nothing, as before there was telemetry. Not even the duration in Rust.
CONTENDERS = ("not_recorded", "no_sdk", "sdk_metrics", "sdk_traces")
CONCURRENT = (1, 64)
HIT = "hit"


class Process:
    """A contender in a process of its own, which measures when it is told to."""

    def __init__(self, contender: str, dsn: str, cookies: str) -> None:
        settings = {"DATABASE_URL": dsn, "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": "http://auth.test"}
        command = [sys.executable, "-m", "benches.scenarios.telemetry_process", contender, cookies]
        self._process = subprocess.Popen(
            command,
            env={**without_our_settings(), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def measure(self, load: str, seconds: float) -> Round:
        """`load` is `hit`, or the number of concurrent lookups."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{load} {seconds}\n")
        return Round(*map(float, self._process.stdout.readline().split()))

    def stop(self) -> None:
        self._process.communicate(timeout=30)


def measure(dsn: str, users: Mapping[str, str], lengths: Lengths) -> TelemetryFigures:
    with processes(dsn, users) as contenders:
        return TelemetryFigures(
            date=datetime.now(UTC).date().isoformat(),
            commit=commit(),
            lengths=f"{lengths.rounds} rounds of {lengths.lookup_seconds:g} s each, alternating",
            lookups=[compete(contenders, str(load), lengths) for load in CONCURRENT],
            hits=compete(contenders, HIT, lengths),
        )


@contextmanager
def processes(dsn: str, users: Mapping[str, str]) -> Generator[Mapping[str, Process]]:
    with NamedTemporaryFile("w") as file, ExitStack() as stack:
        file.writelines(f"{cookie_value}\n" for cookie_value in users)
        file.flush()
        contenders = {name: Process(name, dsn, file.name) for name in CONTENDERS}
        for contender in contenders.values():
            stack.callback(contender.stop)
        yield contenders


def compete(contenders: Mapping[str, Process], load: str, lengths: Lengths) -> Competition:
    done: dict[str, list[Round]] = {name: [] for name in contenders}
    for turn in turns(list(contenders), lengths.rounds, lengths.lookup_seconds):
        measured = contenders[turn.contender].measure(load, turn.seconds)
        if turn.is_counted:
            done[turn.contender].append(measured)
    return Competition(load=1 if load == HIT else int(load), rounds=done)
