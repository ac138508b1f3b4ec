"""`make bench`: measures, keeps the figures below target/bench, writes docs/benchmarks.md and its pictures.

python -m benches             all of it; nothing else should use the machine
python -m benches --quick     short rounds and few people, to see that it runs; the report goes to target/bench
python -m benches --report    the report anew, from the figures of the last run
"""

import argparse
import asyncio
import statistics
import sys
import time
from pathlib import Path

import psycopg

from benches import counted, footprints, growth, lookups, memory, report, requests, steps
from benches.figures import Competition, Figures
from benches.machine import machine
from benches.processes import resident_bytes
from benches.proxy import delayed
from benches.stage import Stage, stage
from benches.turns import FULL, QUICK, Lengths

FIGURES = Path("target", "bench", "figures.json")
DOCS, DRAFT = Path("docs"), Path("target", "bench")

COMPETING = [lookups.OURS, lookups.BY_HAND, lookups.PSQLPY, lookups.BRIDGE]
COMPETING_FAR = [lookups.OURS_PREPARED, *COMPETING]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches", description="Measures ours beside its rivals.")
    parser.add_argument("--quick", action="store_true", help="short rounds; the report goes to target/bench")
    parser.add_argument("--report", action="store_true", help="write the report anew, from the last figures")
    chosen = parser.parse_args()
    if not chosen.report:
        measure(QUICK if chosen.quick else FULL)
    figures = Figures.model_validate_json(FIGURES.read_text())
    written = report.write(figures, DRAFT if chosen.quick else DOCS)
    print(written.read_text())
    print(f"written: {written}")
    return 0


def measure(lengths: Lengths) -> None:
    """Part by part, so that no two load the machine at once; first what must be built. Kept after each part."""
    figures = Figures(lengths=lengths.text)
    tell("criterion, and the wheel")
    figures.steps = steps.measure()
    wheel = footprints.wheel()
    figures.wheel_bytes = wheel.stat().st_size
    figures.installed_bytes = footprints.installed_bytes(wheel)
    with stage(lengths.people) as place:
        figures.machine = machine(place)
        keep(figures)
        tell("look-ups")
        figures.lookups = asyncio.run(lookups.compete(place.dsn, COMPETING, place.people, lengths))
        keep(figures)
        tell("forged cookies")
        figures.forged = asyncio.run(lookups.refuse(place.dsn, place.people, lengths))
        keep(figures)
        tell("look-ups, with a delay")
        measure_delayed(place, lengths, figures)
        keep(figures)
        tell("requests")
        measure_requests(place, lengths, figures)
        keep(figures)
        tell("growth")
        figures.growth = growth.grow(place.postgres, lengths)
        keep(figures)
        tell("memory, cold starts, imports")
        grown = memory.bytes_per_session(place)
        figures.bytes_per_session = {name: each.kept for name, each in grown.items()}
        figures.bytes_ready = {name: each.ready for name, each in grown.items()}
        figures.cold_starts = footprints.cold_starts(place, lengths.rounds)
        figures.imports = footprints.imports(lengths.rounds)
    keep(figures)
    tell("statements and connections")
    figures.counted = counted.count()
    keep(figures)


def keep(figures: Figures) -> None:
    FIGURES.parent.mkdir(parents=True, exist_ok=True)
    FIGURES.write_text(figures.model_dump_json(indent=1))


def measure_delayed(place: Stage, lengths: Lengths, figures: Figures) -> None:
    trips = {"direct": round_trip_ms(place.dsn)}
    competitions: list[Competition] = []
    for delay_ms in lookups.DELAYS_MS:
        with delayed(place.dsn, delay_ms) as dsn:
            trips[f"{delay_ms} ms"] = round_trip_ms(dsn)
            competitions += asyncio.run(lookups.compete(dsn, COMPETING_FAR, place.people, lengths, delay_ms))
    figures.round_trips_ms, figures.delayed = trips, competitions


def measure_requests(place: Stage, lengths: Lengths, figures: Figures) -> None:
    with requests.serving(place) as servers:
        figures.requests = requests.compete(servers, lengths)
        figures.resident_mib = {name: resident_bytes(each.pid) / 2**20 for name, each in servers.items()}


def round_trip_ms(dsn: str) -> float:
    """Of the smallest statement: is the delay what it should be?"""

    def asked(connection: psycopg.Connection) -> float:
        before = time.perf_counter()
        connection.execute("SELECT 1")
        return time.perf_counter() - before

    with psycopg.connect(dsn, autocommit=True) as connection:
        return statistics.median(asked(connection) for _ in range(50)) * 1e3


def tell(part: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {part}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
