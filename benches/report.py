"""docs/benchmarks.md, made of a run's figures and nothing else."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benches import plots
from benches.figures import CPU, P50, P99, PER_SECOND, Competition, Counted, Figures, Rounds, Spread
from benches.growing import of_growth
from benches.markdown import compared, count, mebibytes, microseconds, milliseconds, ratio, section, table
from benches.requests import SHOWN
from benches.steps import TITLES as STEPS
from benches.targets import targets
from benches.titles import OURS, RIVALS, TITLES

HEAD = """# Benchmarks

Written by `make bench`; do not edit. One command, one run: the contenders take turns, round by round, each going
first as often as last, so that what else the machine does meets all of them. **The figures are this machine's; the
ratios are what to look at.** A ratio is worked out for each round; shown are the median of the rounds and, in
parentheses, the least and the greatest. Where we lose, the cell says so, and a section lists it.
"""

LOOKUPS = """From a signed cookie to two models, through asyncio, in one process; the database is asked every
time. What the bridge takes out of a request before it checks anything is not counted."""

REQUESTS = f"""`wrk` with one thread asks one route under uvicorn (one worker, uvloop, httptools), each time as
the next of {SHOWN:,} users. Every contender is a process of its own, started once; CPU is that process's. What live and
seconds keep ages while the others take their turn, as it would not in a server that is never idle; so each turn begins
with a second that is not counted. What is counted are then nearly all answers from memory: a server that is never idle
looks up each of its users once a minute besides. The cookie cache's users send half a kilobyte more: what that costs
anybody shows the dependency that does nothing and is sent the same."""

DELAYS = """The same as (a), with a proxy before PostgreSQL that adds half the delay to each way. A look-up
through a proxy is no direct connection, so ours names no statements there
(`prepared_statements=auto`); `on` is what an operator may say who knows the proxy."""

POSTGRES = """In a cluster that counts statements, each contender with a role of its own, {sessions} sessions; for each
load a process that has just started. Connections are the most that `pg_stat_activity` showed at one moment."""

FOOTPRINTS = """Cold start: from the start of the process to its answer to a user's request, seconds. Import: in a
process that has imported FastAPI, milliseconds. On disk: installed, without what FastAPI brings
along."""


def write(figures: Figures, folder: Path) -> Path:
    """The report and, beside it, its pictures."""
    pictures = folder / "benchmarks"
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.svg"):
        old.unlink()
    for name, picture in plots.pictures(figures).items():
        (pictures / f"{name}.svg").write_text(picture)
    written = folder / "benchmarks.md"
    written.write_text("\n".join([HEAD, *parts(figures)]))
    return written


def parts(figures: Figures) -> Iterable[str]:
    yield of_targets(figures)
    yield of_losses(figures)
    yield section("(a) Look-ups", LOOKUPS, plotted("lookups"), of_lookups(figures.lookups))
    yield section("(b) A protected GET", REQUESTS, plotted("requests"), of_requests(figures))
    yield section(
        "(c) Look-ups, with a delay", DELAYS, plotted("delayed"), of_trips(figures), of_lookups(figures.delayed)
    )
    yield section("(d) What PostgreSQL sees", of_counted(figures.counted))
    yield section(
        "(d) Memory, starting, size", FOOTPRINTS, of_footprints(figures), of_memory(figures), of_forged(figures)
    )
    yield section("(e) From the headers to the verdict", of_steps(figures))
    yield of_growth(figures)
    yield section("Machine and commands", of_machine(figures))


def of_targets(figures: Figures) -> str:
    rows = [
        [each.says, f"{'≥' if each.is_at_least else '≤'} {each.bound:g}", ratio(each.measured), each.verdict]
        for each in targets(figures)
    ]
    spent = "What the time is spent on, where one is missed, and what it would take: [profile.md](profile.md)."
    return section("Targets", table(["what", "target", "measured (spread)", "met or missed"], rows), spent)


def of_losses(figures: Figures) -> str:
    found = [
        *losses(figures.lookups, ["ours"]),
        *losses(figures.delayed, ["ours"]),
        *losses([figures.forged] if figures.forged else [], ["ours"]),
        *losses(figures.requests, OURS),
    ]
    return section("Where we lose", "\n".join(found) or "In no competition of this run.")


def losses(competitions: Iterable[Competition], ours: Sequence[str]) -> Iterable[str]:
    """Which rivals answer more than ours."""
    for each in competitions:
        for own in ours:
            for rival in sorted(RIVALS & each.rounds.keys()) if own in each.rounds else ():
                spread = faster(each.rounds[own], each.rounds[rival])
                if spread.median < 1:
                    where = f"{each.load} at a time" + (f", {each.delay_ms:g} ms away" if each.delay_ms else "")
                    yield f"- {where}: {TITLES[own]} does {ratio(spread)} of what “{TITLES[rival]}” does"


def of_lookups(competitions: Sequence[Competition]) -> str:
    heads = ["concurrent", "", "look-ups/s (spread)", "ours / this", "p50 ms", "p99 ms", "CPU µs"]
    if any(each.delay_ms for each in competitions):
        heads = ["delay", *heads]
    return table(heads, (row for each in competitions for row in rows_of_lookups(each)))


def rows_of_lookups(competition: Competition) -> Iterable[Sequence[str]]:
    delay = [f"{competition.delay_ms:g} ms"] if competition.delay_ms else []
    for name, rounds in competition.rounds.items():
        versus = compared_with(competition, "ours", name)
        yield [*delay, str(competition.load), TITLES[name], count(per_second(rounds)), versus, *times(rounds)]


def of_requests(figures: Figures) -> str:
    heads = [*("connections", "", "requests/s (spread)", "this / does nothing"), "live / this", "always / this"]
    rows = (row for each in figures.requests for row in rows_of_requests(each))
    return table([*heads, "p50 ms", "p99 ms", "CPU µs"], rows)


def rows_of_requests(competition: Competition) -> Iterable[Sequence[str]]:
    for name, rounds in competition.rounds.items():
        limit = ratio(faster(rounds, competition.rounds["nothing"]))
        versus = [compared_with(competition, own, name) for own in ("live", "always")]
        yield [str(competition.load), TITLES[name], count(per_second(rounds)), limit, *versus, *times(rounds)]


def of_trips(figures: Figures) -> str:
    trips = ", ".join(f"{name}: {took:.2f} ms" for name, took in figures.round_trips_ms.items())
    return f"A `SELECT 1` takes, {trips}."


def of_counted(counted: Sequence[Counted]) -> str:
    if not counted:
        return ""
    rows = [
        [
            *(TITLES[each.contender], str(each.load), f"{each.requests:,}"),
            f"{each.statements / each.requests:.3f}",
            "–" if each.lookups is None else f"{each.lookups / each.sessions:.2f}",
            str(each.connections),
        ]
        for each in counted
    ]
    heads = [*("", "connections to it", "requests"), "statements per request"]
    sessions = max(each.sessions for each in counted)
    return f"{POSTGRES.format(sessions=sessions)}\n\n" + table(
        [*heads, "look-ups per session", "its connections"], rows
    )


def of_footprints(figures: Figures) -> str:
    ours = {"ours": "always"}
    rows = [
        [
            TITLES[name],
            spread_of(figures.cold_starts.get(ours.get(name, name)), 1),
            spread_of(figures.imports.get(name), 1e3),
            f"{mebibytes(figures.installed_bytes[name])} MiB" if name in figures.installed_bytes else "–",
        ]
        for name in ("nothing", "ours", "by_hand", "bridge")
    ]
    size = f"The wheel has {mebibytes(figures.wheel_bytes)} MiB."
    return f"{table(['', 'cold start s', 'import ms', 'on disk'], rows)}\n\n{size}"


def of_memory(figures: Figures) -> str:
    cached = {name: f"{size:,.0f}" for name, size in figures.bytes_per_session.items()}
    ready = {name: f"{size:,.0f}" for name, size in figures.bytes_ready.items()}
    rows = [
        [TITLES[name], cached.get(name, "–"), ready.get(name, "–"), f"{size:.0f}"]
        for name, size in figures.resident_mib.items()
    ]
    heads = ["", "bytes per cached session", "and its ready Python objects", "MiB of the process after (b)"]
    return table(heads, rows)


def of_forged(figures: Figures) -> str:
    if figures.forged is None:
        return ""
    rows = [
        [
            TITLES[name],
            count(per_second(rounds)),
            compared_with(figures.forged, "ours", name),
        ]
        for name, rounds in figures.forged.rounds.items()
    ]
    return table(["forged cookies, one after the other", "refused/s (spread)", "ours / this"], rows)


def of_steps(figures: Figures) -> str:
    rows = [[STEPS[each.name], f"{each.median:,.0f} ({each.low:,.0f}–{each.high:,.0f})"] for each in figures.steps]
    return table(["a browser's request with 13 headers", "ns (95 % confidence)"], rows)


def of_machine(figures: Figures) -> str:
    rows = [[name, what] for name, what in {**figures.machine, "lengths": figures.lengths}.items()]
    commands = "```sh\napt-get install wrk postgresql-15   # once\nmake bench\n```"
    return f"{table(['', ''], rows)}\n\n{commands}"


def compared_with(competition: Competition, ours: str, name: str) -> str:
    """Ours beside a rival; nothing for ours beside ours."""
    if name not in RIVALS or ours not in competition.rounds:
        return ""
    return compared(faster(competition.rounds[ours], competition.rounds[name]))


def plotted(name: str) -> str:
    return f"![{name}](benchmarks/{name}.svg)"


def per_second(rounds: Rounds) -> Spread:
    return Spread.of_rounds(rounds, PER_SECOND)


def faster(ours: Rounds, theirs: Rounds) -> Spread:
    return Spread.of_ratios(ours, theirs, PER_SECOND)


def times(rounds: Rounds) -> Sequence[str]:
    """The medians of the rounds' p50, p99 and CPU."""
    return [
        milliseconds(Spread.of_rounds(rounds, P50).median),
        milliseconds(Spread.of_rounds(rounds, P99).median),
        microseconds(Spread.of_rounds(rounds, CPU).median),
    ]


def spread_of(values: Sequence[float] | None, factor: float) -> str:
    return ratio(Spread.of([value * factor for value in values])) if values else "–"
