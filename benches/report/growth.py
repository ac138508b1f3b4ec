"""The growth section of the report, which compares every size with the smallest."""

from collections.abc import Iterable, Mapping, Sequence

from benches.figures import CPU, P50, Competition, Figures, Growth, Spread
from benches.report.markdown import mebibytes, microseconds, ratio, section, table

TEXT = """Each size has a database of its own. At most {sampled:,} of its sessions, chosen at random, are looked up in
turn, so their rows are in PostgreSQL's memory. For the cache, one process has an instance for each size, all with
room for the largest, and calls `current_user` directly with a new Starlette connection each time. The caches were
filled by lookups, {filled:,.0f} per second, {concurrent} concurrent. Python objects are cached for one in ten of
`max_cached_sessions`. Beyond that, a hit among *all* sessions creates the two models again: nine in ten hits at the
largest size. A hit among {sample:,} sessions finds them cached. Memory is measured before any Python objects are
created."""


def growth_section(figures: Figures) -> str:
    growth = figures.growth
    if growth is None:
        return ""
    text = TEXT.format(sampled=growth.sampled, filled=growth.filled_per_second, concurrent=64, sample=growth.sample)
    heads = ["", "sessions", "p50 µs", "vs. smallest (spread)", "CPU µs", "vs. smallest (spread)"]
    costs = table(heads, (row for title, each in competitions(growth).items() for row in rows(title, each)))
    return section("(f) Growth", text, "![growth](benchmarks/growth.svg)", costs, memory_table(growth))


def competitions(growth: Growth) -> Mapping[str, Competition]:
    lookups = {f"lookup, {each.load} concurrent": each for each in growth.lookups}
    return {
        **lookups,
        "cache hit among all sessions": growth.cached,
        f"cache hit among {growth.sample:,} sessions": growth.cached_sample,
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


def memory_table(growth: Growth) -> str:
    lines = [
        [
            size,
            f"{cache.bytes / sessions:,.0f}",
            f"{cache.resident_bytes / sessions:,.0f}",
            mebibytes(cache.resident_bytes),
        ]
        for size, cache in growth.cache_sizes.items()
        if (sessions := int(size.replace(",", "")))
    ]
    return table(["cached sessions", "bytes each in Rust", "resident bytes each", "resident MiB in total"], lines)
