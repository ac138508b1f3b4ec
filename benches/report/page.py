"""Writes docs/benchmarks.md from the figures of a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benches.figures import (
    CPU,
    P50,
    P99,
    PER_SECOND,
    Competition,
    Figures,
    Rounds,
    Spread,
    Statements,
    TelemetryFigures,
    TokenFigures,
)
from benches.report import charts
from benches.report.growth import growth_section
from benches.report.markdown import advantage, count, mebibytes, microseconds, milliseconds, ratio, section, table
from benches.report.names import ALTERNATIVES, NAMES, OURS
from benches.report.targets import targets
from benches.report.telemetry import telemetry_section
from benches.report.tokens import tokens_section
from benches.scenarios.requests import USERS
from benches.scenarios.steps import TITLES as STEPS

HEAD = """# Benchmarks

`make bench` writes this file; do not edit it. All figures come from one run, in which the contenders take turns and
each goes first as often as last, so that other load on the machine affects all of them alike. **The absolute figures
depend on the machine; compare the ratios.** A ratio is calculated for each round. The tables show the median of the
rounds, with the lowest and the highest in parentheses. Where auth_middleware is slower, the cell says so, and the
section "Where we are slower" lists it.
"""

LOOKUPS = """From a signed cookie to two models, through asyncio in one process, with a database query every time.
What the bridge extracts from the request before it verifies anything is not counted."""

REQUESTS = f"""`wrk` with one thread sends requests to one route under uvicorn (one worker, uvloop, httptools), each
with the credential of the next of {USERS:,} users. Every contender is one process, started once; CPU is the CPU time
of that process. The cache entries of `live` and of 60 seconds expire while the other contenders take their turn,
which does not happen on a busy server, so each turn begins with a second that is not counted. Nearly all counted
responses of these two therefore come from the cache. A busy server additionally looks up each user about once a
minute. Users of the cookie cache send half a kilobyte more; the row "empty dependency, with session_data" shows what
those bytes cost by themselves."""

DELAYS = """The same as (a), with a proxy in front of PostgreSQL that adds half the delay in each direction. A
connection through a proxy is not direct, so auth_middleware does not use named statements
(`prepared_statements=auto`). An operator who knows that the proxy allows them can set `on`."""

STATEMENTS = """Measured in a cluster that counts statements, with a role for each contender, {sessions} sessions, and
a new process for each load. Connections are the highest number that `pg_stat_activity` showed at one time."""

FOOTPRINTS = """Cold start is the time in seconds from the start of the process to its first response to a signed-in
user. Import time is measured in milliseconds in a process that has already imported FastAPI. Size on disk is the
installed size without FastAPI and its dependencies."""


def write(figures: Figures, tokens: TokenFigures, telemetry: TelemetryFigures, folder: Path) -> Path:
    """Writes the report and its charts, and returns the path of the report."""
    directory = folder / "benchmarks"
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.svg"):
        old.unlink()
    for name, chart in charts.charts(figures).items():
        (directory / f"{name}.svg").write_text(chart)
    written = folder / "benchmarks.md"
    written.write_text("\n".join([HEAD, *sections(figures, tokens, telemetry)]))
    return written


def sections(figures: Figures, tokens: TokenFigures, telemetry: TelemetryFigures) -> Iterable[str]:
    yield targets_section(figures)
    yield slower_section(figures)
    yield section("(a) Lookups", LOOKUPS, chart_link("lookups"), lookups_table(figures.lookups))
    yield section("(b) Requests to a protected route", REQUESTS, chart_link("requests"), requests_table(figures))
    yield section(
        "(c) Lookups with network delay",
        DELAYS,
        chart_link("delayed"),
        round_trips(figures),
        lookups_table(figures.delayed),
    )
    yield section("(d) Statements and connections", statements_table(figures.statements))
    yield section(
        "(d) Memory, start-up time and size",
        FOOTPRINTS,
        footprints_table(figures),
        memory_table(figures),
        forged_table(figures),
    )
    yield section("(e) Request inspection, step by step", steps_table(figures))
    yield growth_section(figures)
    yield tokens_section(tokens)
    yield telemetry_section(telemetry)
    yield section("Machine and commands", machine_table(figures))


def targets_section(figures: Figures) -> str:
    rows = [
        [each.description, f"{'≥' if each.is_at_least else '≤'} {each.bound:g}", ratio(each.measured), each.verdict]
        for each in targets(figures)
    ]
    profile = "For the missed targets, [profile.md](profile.md) shows where the time goes and what would reduce it."
    return section("Targets", table(["measurement", "target", "measured (spread)", "met or missed"], rows), profile)


def slower_section(figures: Figures) -> str:
    lines = [
        *slower(figures.lookups, ["ours"]),
        *slower(figures.delayed, ["ours"]),
        *slower([figures.forged] if figures.forged else [], ["ours"]),
        *slower(figures.requests, OURS),
    ]
    return section("Where we are slower", "\n".join(lines) or "Nowhere in this run.")


def slower(competitions: Iterable[Competition], ours: Sequence[str]) -> Iterable[str]:
    """Lists the alternatives with a higher throughput than ours."""
    for each in competitions:
        for own in ours:
            for other in sorted(ALTERNATIVES & each.rounds.keys()) if own in each.rounds else ():
                spread = throughput_ratio(each.rounds[own], each.rounds[other])
                if spread.median < 1:
                    load = f"{each.load} concurrent" + (f", {each.delay_ms:g} ms delay" if each.delay_ms else "")
                    yield f"- {load}: {NAMES[own]} reaches {ratio(spread)} of the throughput of “{NAMES[other]}”"


def lookups_table(competitions: Sequence[Competition]) -> str:
    heads = ["concurrent", "", "lookups/s (spread)", "ours / this", "p50 ms", "p99 ms", "CPU µs"]
    if any(each.delay_ms for each in competitions):
        heads = ["delay", *heads]
    return table(heads, (row for each in competitions for row in lookups_rows(each)))


def lookups_rows(competition: Competition) -> Iterable[Sequence[str]]:
    delay = [f"{competition.delay_ms:g} ms"] if competition.delay_ms else []
    for name, rounds in competition.rounds.items():
        ours = advantage_over(competition, "ours", name)
        yield [*delay, str(competition.load), NAMES[name], count(per_second(rounds)), ours, *times(rounds)]


def requests_table(figures: Figures) -> str:
    heads = ["connections", "", "requests/s (spread)", "this / empty dependency", "live / this", "always / this"]
    rows = (row for each in figures.requests for row in requests_rows(each))
    return table([*heads, "p50 ms", "p99 ms", "CPU µs"], rows)


def requests_rows(competition: Competition) -> Iterable[Sequence[str]]:
    for name, rounds in competition.rounds.items():
        upper_bound = ratio(throughput_ratio(rounds, competition.rounds["empty_dependency"]))
        ours = [advantage_over(competition, own, name) for own in ("live", "always")]
        yield [str(competition.load), NAMES[name], count(per_second(rounds)), upper_bound, *ours, *times(rounds)]


def round_trips(figures: Figures) -> str:
    measured = ", ".join(f"{took:.2f} ms ({name})" for name, took in figures.round_trips_ms.items())
    return f"A `SELECT 1` takes {measured}."


def statements_table(statements: Sequence[Statements]) -> str:
    if not statements:
        return ""
    rows = [
        [
            *(NAMES[each.contender], str(each.load), f"{each.requests:,}"),
            f"{each.statements / each.requests:.3f}",
            "–" if each.lookups is None else f"{each.lookups / each.sessions:.2f}",
            str(each.connections),
        ]
        for each in statements
    ]
    heads = ["", "HTTP connections", "requests", "statements per request", "lookups per session"]
    text = STATEMENTS.format(sessions=max(each.sessions for each in statements))
    return f"{text}\n\n{table([*heads, 'connections to PostgreSQL'], rows)}"


def footprints_table(figures: Figures) -> str:
    started = {"ours": "always"}
    rows = [
        [
            NAMES[name],
            spread_of(figures.cold_starts.get(started.get(name, name)), 1),
            spread_of(figures.imports.get(name), 1e3),
            f"{mebibytes(figures.installed_bytes[name])} MiB" if name in figures.installed_bytes else "–",
        ]
        for name in ("empty_dependency", "ours", "hand_written", "bridge")
    ]
    size = f"The wheel is {mebibytes(figures.wheel_bytes)} MiB."
    return f"{table(['', 'cold start s', 'import ms', 'size on disk'], rows)}\n\n{size}"


def memory_table(figures: Figures) -> str:
    cached = {name: f"{size:,.0f}" for name, size in figures.bytes_per_session.items()}
    objects = {name: f"{size:,.0f}" for name, size in figures.bytes_of_objects.items()}
    rows = [
        [NAMES[name], cached.get(name, "–"), objects.get(name, "–"), f"{size:.0f}"]
        for name, size in figures.resident_mib.items()
    ]
    heads = ["", "bytes per cached session", "plus its cached Python objects", "MiB of the process after (b)"]
    return table(heads, rows)


def forged_table(figures: Figures) -> str:
    if figures.forged is None:
        return ""
    rows = [
        [NAMES[name], count(per_second(rounds)), advantage_over(figures.forged, "ours", name)]
        for name, rounds in figures.forged.rounds.items()
    ]
    return table(["forged cookies, one at a time", "refused/s (spread)", "ours / this"], rows)


def steps_table(figures: Figures) -> str:
    rows = [[STEPS[each.name], f"{each.median:,.0f} ({each.low:,.0f}–{each.high:,.0f})"] for each in figures.steps]
    return table(["step, for a browser request with 13 headers", "ns (95 % confidence)"], rows)


def machine_table(figures: Figures) -> str:
    rows = [[name, value] for name, value in {**figures.machine, "lengths": figures.lengths}.items()]
    commands = "```sh\napt-get install wrk postgresql-15   # once\nmake bench\n```"
    return f"{table(['', ''], rows)}\n\n{commands}"


def advantage_over(competition: Competition, ours: str, name: str) -> str:
    """Our throughput divided by an alternative's; empty for rows that are not an alternative."""
    if name not in ALTERNATIVES or ours not in competition.rounds:
        return ""
    return advantage(throughput_ratio(competition.rounds[ours], competition.rounds[name]))


def chart_link(name: str) -> str:
    return f"![{name}](benchmarks/{name}.svg)"


def per_second(rounds: Rounds) -> Spread:
    return Spread.of_rounds(rounds, PER_SECOND)


def throughput_ratio(ours: Rounds, theirs: Rounds) -> Spread:
    return Spread.of_ratios(ours, theirs, PER_SECOND)


def times(rounds: Rounds) -> Sequence[str]:
    """The medians of p50, p99 and CPU over all rounds."""
    return [
        milliseconds(Spread.of_rounds(rounds, P50).median),
        milliseconds(Spread.of_rounds(rounds, P99).median),
        microseconds(Spread.of_rounds(rounds, CPU).median),
    ]


def spread_of(values: Sequence[float] | None, factor: float) -> str:
    return ratio(Spread.of([value * factor for value in values])) if values else "–"
