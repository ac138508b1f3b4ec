"""What we set out to reach, and whether a run shows it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benches.figures import CPU, P50, PER_SECOND, Competition, Counted, Figures, Growth, Measure, Spread
from benches.titles import OURS


class Target(NamedTuple):
    """`measured` is None where the run did not measure it."""

    says: str
    bound: float
    is_at_least: bool
    measured: Spread | None

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        is_met = self.measured.median >= self.bound if self.is_at_least else self.measured.median <= self.bound
        return "met" if is_met else "**missed**"


def targets(figures: Figures) -> Sequence[Target]:
    """In the order in which they were set. Each ratio is the median of the rounds' ratios."""

    near, http = figures.lookups, figures.requests
    others, sessions = [name for name in OURS if name != "live"], lookups_per_session(figures.counted)
    return [
        at_least(6, "(a) 64 concurrent, look-ups/s: ours / by hand", ratio(near, 64, "ours", "by_hand")),
        at_least(15, "(a) 64 concurrent, look-ups/s: ours / bridge", ratio(near, 64, "ours", "bridge")),
        at_most(0.45, "(a) 1 concurrent, median time: ours / by hand", ratio(near, 1, "ours", "by_hand", P50)),
        at_least(0.95, "(b) 32 connections: live / does nothing", ratio(http, 32, "live", "nothing")),
        at_least(0.95, "(b) 32 connections: cookie_cache / does nothing", ratio(http, 32, "cookie_cache", "nothing")),
        at_least(
            0.95,
            "(b) 32 connections: cookie_cache / the same, shown session_data",
            ratio(http, 32, "cookie_cache", "nothing_long"),
        ),
        at_least(1.5, "(b) 32 connections: always / by hand", ratio(http, 32, "always", "by_hand")),
        at_least(3.5, "(b) 32 connections: always / bridge", ratio(http, 32, "always", "bridge")),
        at_most(2, "(d) connections of a process, at any load", most_connections(figures.counted, others)),
        at_most(3, "(d) the same with live, where one listens", most_connections(figures.counted, ["live"])),
        at_most(1, "(d) live: look-ups for each session within the hard age", sessions),
        *targets_of_growth(figures.growth),
    ]


def targets_of_growth(growth: Growth | None) -> Sequence[Target]:
    """What a request costs among a million sessions, by what it costs among a thousand."""

    def at_most_a_quarter_more(says: str, competitions: Iterable[Competition], load: int, measure: Measure) -> Target:
        measured = ratio(competitions, load, "1,000,000", "1,000", measure)
        return at_most(1.25, f"(f) 1,000,000 sessions / 1,000: {says}", measured)

    lookups = growth.lookups if growth else ()
    cached, cached_some = ([growth.cached], [growth.cached_some]) if growth else ((), ())
    return [
        at_most_a_quarter_more("1 concurrent, median time", lookups, 1, P50),
        at_most_a_quarter_more("64 concurrent, median time", lookups, 64, P50),
        at_most_a_quarter_more("64 concurrent, CPU", lookups, 64, CPU),
        at_most_a_quarter_more("cached, drawn from all, median time", cached, 1, P50),
        at_most_a_quarter_more("cached, drawn from 1,000, median time", cached_some, 1, P50),
    ]


def at_least(bound: float, says: str, measured: Spread | None) -> Target:
    return Target(says, bound, True, measured)


def at_most(bound: float, says: str, measured: Spread | None) -> Target:
    return Target(says, bound, False, measured)


def ratio(
    competitions: Iterable[Competition], load: int, ours: str, rival: str, measure: Measure = PER_SECOND
) -> Spread | None:
    """Ours by theirs; None when not both were there."""
    for each in competitions:
        if each.load == load and {ours, rival} <= each.rounds.keys():
            return Spread.of_ratios(each.rounds[ours], each.rounds[rival], measure)
    return None


def most_connections(counted: Iterable[Counted], contenders: Sequence[str]) -> Spread | None:
    most = [each.connections for each in counted if each.contender in contenders]
    return Spread(max(most), min(most), max(most)) if most else None


def lookups_per_session(counted: Iterable[Counted]) -> Spread | None:
    """Under the load that needs the most."""
    live = [each for each in counted if each.contender == "live"]
    found = [each.lookups / each.sessions for each in live if each.lookups is not None]
    return Spread(max(found), min(found), max(found)) if found else None
