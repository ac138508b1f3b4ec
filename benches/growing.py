"""The report's part on growth: everything beside the smallest size."""

from collections.abc import Iterable, Mapping, Sequence

from benches.figures import CPU, P50, Competition, Figures, Growth, Spread
from benches.markdown import mebibytes, microseconds, ratio, section, table

TEXT = """Each size has a database of its own; at most {sampled:,} of its sessions, at random, are shown in turn, so
these rows are in PostgreSQL's memory. For the cache, one process keeps so many sessions in an instance for each size,
all with room for the largest, and `current_user` is asked directly, with a connection of Starlette's made for each. It
was filled by look-ups, {filled:,.0f} a second, {concurrent} at a time. Python objects are kept ready for one in ten of
`max_cached_sessions`: beyond that many, an answer drawn from *all* makes the two models anew, at nine in ten of the
largest size; drawn from {some:,} of them it finds them ready. Memory is
that of the sessions, before any object was made ready."""


def of_growth(figures: Figures) -> str:
    growth = figures.growth
    if growth is None:
        return ""
    text = TEXT.format(sampled=growth.sampled, filled=growth.filled_per_second, concurrent=64, some=growth.some)
    heads = ["", "sessions", "p50 µs", "to the smallest (spread)", "CPU µs", "to the smallest (spread)"]
    costs = table(heads, (row for title, each in competitions(growth).items() for row in rows(title, each)))
    return section("(f) Growth", text, "![growth](benchmarks/growth.svg)", costs, of_memory(growth))


def competitions(growth: Growth) -> Mapping[str, Competition]:
    lookups = {f"look-up, {each.load} at a time": each for each in growth.lookups}
    return {
        **lookups,
        "from the cache, drawn from all": growth.cached,
        f"from the cache, drawn from {growth.some:,}": growth.cached_some,
    }


def rows(title: str, competition: Competition) -> Iterable[Sequence[str]]:
    smallest = next(iter(competition.rounds.values()))
    for size, rounds in competition.rounds.items():
        cells = [
            cell
            for measure in (P50, CPU)
            for cell in (
                microseconds(Spread.of_rounds(rounds, measure).median),
                ratio(Spread.of_ratios(rounds, smallest, measure)),
            )
        ]
        yield [title, size, *cells]


def of_memory(growth: Growth) -> str:
    lines = [
        [
            size,
            f"{kept.bytes / sessions:,.0f}",
            f"{kept.resident_bytes / sessions:,.0f}",
            mebibytes(kept.resident_bytes),
        ]
        for size, kept in growth.kept.items()
        if (sessions := int(size.replace(",", "")))
    ]
    return table(["sessions kept", "bytes each in Rust", "resident bytes each", "resident MiB together"], lines)
