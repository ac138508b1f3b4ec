"""`make bench`: runs every scenario, saves the figures below target/bench, and writes docs/benchmarks.md.

python -m benches             the full run; nothing else should use the machine
python -m benches --quick     short rounds and few users, to check that everything runs; the report goes to target/bench
python -m benches --tokens    only the section about JWTs, which replaces the one in the report; takes ten minutes
python -m benches --telemetry likewise the section about telemetry; takes two minutes
python -m benches --report    writes the report again from the figures of the last run
"""

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

import psycopg

from benches.figures import Competition, Figures, TelemetryFigures, TokenFigures
from benches.report import page
from benches.report import telemetry as telemetry_report
from benches.report import tokens as tokens_report
from benches.scenarios import (
    footprints,
    growth,
    lookups,
    memory,
    requests,
    statements,
    steps,
    telemetry,
    tokens,
)
from benches.scenarios.setup.delay_proxy import delayed
from benches.scenarios.setup.environment import Environment, environment
from benches.scenarios.setup.machine import machine
from benches.scenarios.setup.process_stats import resident_bytes
from benches.scenarios.setup.rounds import FULL, QUICK, Lengths

FIGURES = Path("target", "bench", "figures.json")
TOKENS = Path("target", "bench", "tokens.json")
TELEMETRY = Path("target", "bench", "telemetry.json")
DOCS, DRAFT = Path("docs"), Path("target", "bench")

CONTENDERS = [lookups.OURS, lookups.HAND_WRITTEN, lookups.PSQLPY, lookups.BRIDGE]
CONTENDERS_WITH_DELAY = [lookups.OURS_PREPARED, *CONTENDERS]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benches", description="Benchmarks auth_middleware against the alternatives."
    )
    parser.add_argument("--quick", action="store_true", help="short rounds; the report goes to target/bench")
    parser.add_argument("--report", action="store_true", help="only write the report again, from the last figures")
    parser.add_argument("--tokens", action="store_true", help="only the section about JWTs")
    parser.add_argument("--telemetry", action="store_true", help="only the section about telemetry")
    options = parser.parse_args()
    lengths, folder = (QUICK, DRAFT) if options.quick else (FULL, DOCS)
    if options.tokens:
        return replace_tokens(lengths, folder, is_measured=not options.report)
    if options.telemetry:
        return replace_telemetry(lengths, folder, is_measured=not options.report)
    if not options.report:
        measure(lengths)
    figures = Figures.model_validate_json(FIGURES.read_text())
    of_tokens = TokenFigures.model_validate_json(TOKENS.read_text())
    of_telemetry = TelemetryFigures.model_validate_json(TELEMETRY.read_text())
    written = page.write(figures, of_tokens, of_telemetry, folder)
    print(written.read_text())
    print(f"wrote {written}")
    return 0


def replace_tokens(lengths: Lengths, folder: Path, *, is_measured: bool) -> int:
    if is_measured:
        with environment(requests.USERS) as env:
            measure_tokens(env, lengths)
    figures = TokenFigures.model_validate_json(TOKENS.read_text())
    print(tokens_report.tokens_section(figures))
    if folder == DOCS:
        tokens_report.replace(folder / "benchmarks.md", figures)
    return 0


def replace_telemetry(lengths: Lengths, folder: Path, *, is_measured: bool) -> int:
    if is_measured:
        with environment(requests.USERS) as env:
            measure_telemetry(env, lengths)
    figures = TelemetryFigures.model_validate_json(TELEMETRY.read_text())
    print(telemetry_report.telemetry_section(figures))
    if folder == DOCS:
        telemetry_report.replace(folder / "benchmarks.md", figures)
    return 0


def measure(lengths: Lengths) -> None:
    """Builds first, then runs one scenario at a time, and saves the figures after each."""
    figures = Figures(lengths=lengths.text)
    announce("building; criterion")
    figures.steps = steps.measure()
    wheel = footprints.wheel()
    figures.wheel_bytes = wheel.stat().st_size
    figures.installed_bytes = footprints.installed_bytes(wheel)
    with environment(lengths.users) as env:
        figures.machine = machine(env)
        save(figures)
        announce("lookups")
        figures.lookups = asyncio.run(lookups.compete(env.dsn, CONTENDERS, env.users, lengths))
        save(figures)
        announce("forged cookies")
        figures.forged = asyncio.run(lookups.refuse(env.dsn, env.users, lengths))
        save(figures)
        announce("lookups with network delay")
        measure_delayed(env, lengths, figures)
        save(figures)
        announce("requests")
        measure_requests(env, lengths, figures)
        save(figures)
        announce("JWTs")
        measure_tokens(env, lengths)
        announce("telemetry")
        measure_telemetry(env, lengths)
        announce("growth")
        figures.growth = growth.measure(env.postgres, lengths)
        save(figures)
        announce("memory, start-up time, import time")
        per_session = memory.bytes_per_session(env)
        figures.bytes_per_session = {name: each.cached for name, each in per_session.items()}
        figures.bytes_of_objects = {name: each.objects for name, each in per_session.items()}
        figures.cold_starts = footprints.cold_starts(env, lengths.rounds)
        figures.imports = footprints.imports(lengths.rounds)
    save(figures)
    announce("statements and connections")
    figures.statements = statements.count()
    save(figures)


def measure_tokens(env: Environment, lengths: Lengths) -> None:
    TOKENS.parent.mkdir(parents=True, exist_ok=True)
    TOKENS.write_text(tokens.measure(env, lengths).model_dump_json(indent=1))


def measure_telemetry(env: Environment, lengths: Lengths) -> None:
    TELEMETRY.parent.mkdir(parents=True, exist_ok=True)
    TELEMETRY.write_text(telemetry.measure(env.dsn, env.users, lengths).model_dump_json(indent=1))


def save(figures: Figures) -> None:
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(figures.model_dump_json(indent=1))


def measure_delayed(env: Environment, lengths: Lengths, figures: Figures) -> None:
    round_trips = {"direct": round_trip_ms(env.dsn)}
    competitions: list[Competition] = []
    for delay_ms in lookups.DELAYS_MS:
        with delayed(env.dsn, delay_ms) as dsn:
            round_trips[f"{delay_ms} ms"] = round_trip_ms(dsn)
            competitions += asyncio.run(lookups.compete(dsn, CONTENDERS_WITH_DELAY, env.users, lengths, delay_ms))
    figures.round_trips_ms, figures.delayed = round_trips, competitions


def measure_requests(env: Environment, lengths: Lengths, figures: Figures) -> None:
    with requests.serving(env) as servers:
        figures.requests = requests.compete(servers, lengths)
        figures.resident_mib = {name: resident_bytes(each.pid) / 2**20 for name, each in servers.items()}


def round_trip_ms(dsn: str) -> float:
    """The median time of a `SELECT 1`, to check that the proxy adds the right delay."""

    def timed(connection: psycopg.Connection) -> float:
        before = time.perf_counter()
        connection.execute("SELECT 1")
        return time.perf_counter() - before

    with psycopg.connect(dsn, autocommit=True) as connection:
        return statistics.median(timed(connection) for _ in range(50)) * 1e3


def announce(scenario: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {scenario}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
