"""The performance targets, and whether a run meets them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from benches.figures import CPU, P50, PER_SECOND, Competition, Figures, Growth, Measure, Spread, Statements
from benches.report.names import OURS


class Target(NamedTuple):
    """One target. `measured` is None if the run did not measure it."""

    description: str
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
    """All targets. Each ratio is the median of the ratios of all rounds."""
    local, http = figures.lookups, figures.requests
    without_listener, sessions = [name for name in OURS if name != "live"], lookups_per_session(figures.statements)
    return [
        at_least(6, "(a) 64 concurrent, lookups/s: ours / hand-written", ratio(local, 64, "ours", "hand_written")),
        at_least(15, "(a) 64 concurrent, lookups/s: ours / bridge", ratio(local, 64, "ours", "bridge")),
        at_most(
            0.45, "(a) 1 concurrent, median latency: ours / hand-written", ratio(local, 1, "ours", "hand_written", P50)
        ),
        at_least(0.95, "(b) 32 connections: live / empty dependency", ratio(http, 32, "live", "empty_dependency")),
        at_least(
            0.95,
            "(b) 32 connections: cookie_cache / empty dependency",
            ratio(http, 32, "cookie_cache", "empty_dependency"),
        ),
        at_least(
            0.95,
            "(b) 32 connections: cookie_cache / empty dependency, with session_data",
            ratio(http, 32, "cookie_cache", "empty_dependency_session_data"),
        ),
        at_least(1.5, "(b) 32 connections: always / hand-written", ratio(http, 32, "always", "hand_written")),
        at_least(3.5, "(b) 32 connections: always / bridge", ratio(http, 32, "always", "bridge")),
        at_most(2, "(d) connections of a process, at any load", most_connections(figures.statements, without_listener)),
        at_most(3, "(d) the same with live, including the listener", most_connections(figures.statements, ["live"])),
        at_most(1, "(d) live: lookups per session within max_age_seconds", sessions),
        *targets_of_growth(figures.growth),
    ]


def targets_of_growth(growth: Growth | None) -> Sequence[Target]:
    """The cost of a request with a million sessions, relative to the cost with a thousand."""

    def at_most_a_quarter_more(
        description: str, competitions: Iterable[Competition], load: int, measure: Measure
    ) -> Target:
        measured = ratio(competitions, load, "1,000,000", "1,000", measure)
        return at_most(1.25, f"(f) 1,000,000 sessions / 1,000: {description}", measured)

    lookups = growth.lookups if growth else ()
    cached, cached_sample = ([growth.cached], [growth.cached_sample]) if growth else ((), ())
    return [
        at_most_a_quarter_more("1 concurrent lookup, median latency", lookups, 1, P50),
        at_most_a_quarter_more("64 concurrent lookups, median latency", lookups, 64, P50),
        at_most_a_quarter_more("64 concurrent lookups, CPU", lookups, 64, CPU),
        at_most_a_quarter_more("cache hits among all sessions, median latency", cached, 1, P50),
        at_most_a_quarter_more("cache hits among 1,000 sessions, median latency", cached_sample, 1, P50),
    ]


def at_least(bound: float, description: str, measured: Spread | None) -> Target:
    return Target(description, bound, True, measured)


def at_most(bound: float, description: str, measured: Spread | None) -> Target:
    return Target(description, bound, False, measured)


def ratio(
    competitions: Iterable[Competition], load: int, ours: str, theirs: str, measure: Measure = PER_SECOND
) -> Spread | None:
    """Ours divided by theirs; None unless both were measured."""
    for each in competitions:
        if each.load == load and {ours, theirs} <= each.rounds.keys():
            return Spread.of_ratios(each.rounds[ours], each.rounds[theirs], measure)
    return None


def most_connections(statements: Iterable[Statements], contenders: Sequence[str]) -> Spread | None:
    most = [each.connections for each in statements if each.contender in contenders]
    return Spread(max(most), min(most), max(most)) if most else None


def lookups_per_session(statements: Iterable[Statements]) -> Spread | None:
    """Under the load with the most lookups per session."""
    live = [each for each in statements if each.contender == "live"]
    found = [each.lookups / each.sessions for each in live if each.lookups is not None]
    return Spread(max(found), min(found), max(found)) if found else None
