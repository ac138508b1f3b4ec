"""The section about telemetry, which can be measured and replaced by itself."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benches.figures import CPU, PER_SECOND, Competition, Spread, TelemetryFigures
from benches.report.markdown import count, microseconds, ratio, replace_section, section, table

TITLE = "(h) Telemetry"
NAMES = {
    "not_recorded": "nothing recorded",
    "no_sdk": "no SDK: the duration in Rust, for Prometheus",
    "sdk_metrics": "OpenTelemetry SDK, metrics",
    "sdk_traces": "OpenTelemetry SDK, metrics and traces",
}
INTRODUCTION = """Measured on {date} at commit {commit}; {lengths}. `validate_session` in one process without HTTP, so
that the difference shows: lookups with `always`, and hits of a cache of 3600 seconds. Traces are exported to nowhere.
A request through uvicorn takes several times as long, and its share is smaller accordingly."""


def replace(page: Path, figures: TelemetryFigures) -> None:
    """Writes the section into an existing report. The other sections keep the figures of their own run."""
    page.write_text(replace_section(page.read_text(), TITLE, telemetry_section(figures)))


def telemetry_section(figures: TelemetryFigures) -> str:
    introduction = INTRODUCTION.format(date=figures.date, commit=figures.commit, lengths=figures.lengths)
    heads = ["", "", "per second (spread)", "this / nothing recorded", "CPU µs", "CPU µs more"]
    loads = [(f"lookup, {each.load} concurrent", each) for each in figures.lookups]
    rows = [row for load, each in [*loads, ("cache hit", figures.hits)] for row in rows_of(load, each)]
    return section(TITLE, introduction, table(heads, rows))


def rows_of(load: str, competition: Competition) -> Iterable[Sequence[str]]:
    base = competition.rounds["not_recorded"]
    cpu = Spread.of_rounds(base, CPU).median
    for name, rounds in competition.rounds.items():
        its_cpu = Spread.of_rounds(rounds, CPU).median
        yield [
            load,
            NAMES[name],
            count(Spread.of_rounds(rounds, PER_SECOND)),
            ratio(Spread.of_ratios(rounds, base, PER_SECOND)),
            microseconds(its_cpu),
            f"{(its_cpu - cpu) * 1e6:.1f}",
        ]
