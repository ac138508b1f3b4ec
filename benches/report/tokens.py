"""The section about JWTs, which can be measured and replaced by itself."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benches.figures import CPU, P50, P99, PER_SECOND, Competition, Spread, TokenFigures
from benches.report.markdown import advantage, count, microseconds, milliseconds, ratio, replace_section, section, table
from benches.report.names import NAMES
from benches.report.targets import Target, at_least, at_most
from benches.report.targets import ratio as ratio_of
from benches.scenarios.requests import USERS
from benches.scenarios.tokens import TITLES

TITLE = "(g) JSON Web Tokens"
OURS, THEIRS = ("jwt_claims", "jwt_always"), ("jwks", "bridge_jwt")

INTRODUCTION = """Measured on {date} at commit {commit}; {lengths}. Before the run, other programs kept the {cpus} CPUs
of the machine at a load average of {load:.1f}. The busier they are, the wider the spread of the throughput; the CPU
time of a request depends less on them.

The route, the server and the load generator are those of (b), but each request presents an EdDSA token of Better
Auth's jwt plugin, the next of {users:,}. The alternatives have the issuer's keys cached, verify each token anew, and
read no database. auth_middleware remembers tokens that it has verified. "always" without "JWT" is the lookup by session
token of (b), for comparison with the lookup by user id."""

FIRST = """When a token is first seen, its header is read, its key found, its signature verified, and its claims read
and checked. The row of the signature alone verifies the same one, with the key decoded beforehand."""


def replace(page: Path, figures: TokenFigures) -> None:
    """Writes the section into an existing report. The other sections keep the figures of their own run."""
    page.write_text(replace_section(page.read_text(), TITLE, tokens_section(figures)))


def tokens_section(figures: TokenFigures) -> str:
    return section(
        TITLE,
        INTRODUCTION.format(
            date=figures.date,
            commit=figures.commit,
            lengths=figures.lengths,
            users=USERS,
            load=figures.load_average,
            cpus=figures.cpus,
        ),
        targets_table(figures),
        slower(figures.requests),
        requests_table(figures.requests),
        FIRST,
        steps_table(figures.steps),
    )


def targets(figures: TokenFigures) -> Sequence[Target]:
    http = figures.requests
    return [
        at_least(
            0.95,
            "32 connections: claims, token seen before / empty dependency",
            ratio_of(http, 32, "jwt_claims", "empty_dependency_jwt"),
        ),
        at_most(
            1 / 0.95,
            "32 connections, CPU of a request: claims, token seen before / empty dependency",
            ratio_of(http, 32, "jwt_claims", "empty_dependency_jwt", CPU),
        ),
        at_least(
            0.95,
            "32 connections: always with a JWT / always with a cookie",
            ratio_of(http, 32, "jwt_always", "always"),
        ),
        at_most(
            1 / 0.95,
            "32 connections, CPU of a request: always with a JWT / always with a cookie",
            ratio_of(http, 32, "jwt_always", "always", CPU),
        ),
        at_most(2, "first look at a token / the signature alone", ratio_of_steps(figures.steps)),
    ]


def ratio_of_steps(steps: Mapping[str, Sequence[float]]) -> Spread:
    """Round by round, as in the other sections."""
    rounds = zip(steps["jwt_first_seen"], steps["jwt_bare_signature"], strict=True)
    return Spread.of([first / bare for first, bare in rounds])


def targets_table(figures: TokenFigures) -> str:
    rows = [
        [each.description, f"{'≥' if each.is_at_least else '≤'} {each.bound:.3g}", ratio(each.measured), each.verdict]
        for each in targets(figures)
    ]
    return table(["measurement", "target", "measured (spread)", "met or missed"], rows)


def slower(competitions: Iterable[Competition]) -> str:
    """Lists the alternatives with a higher throughput than ours."""
    lines = [
        f"- {each.load} connections: {NAMES[own]} reaches {ratio(spread)} of the throughput of “{NAMES[other]}”"
        for each in competitions
        for own in OURS
        for other in THEIRS
        if (spread := Spread.of_ratios(each.rounds[own], each.rounds[other], PER_SECOND)).median < 1
    ]
    return "\n".join(["Where we are slower:", "", *lines]) if lines else "We were slower in none of these measurements."


def requests_table(competitions: Iterable[Competition]) -> str:
    heads = ["connections", "", "requests/s (spread)", "this / empty dependency", "claims / this", "always / this"]
    rows = (row for each in competitions for row in requests_rows(each))
    return table([*heads, "p50 ms", "p99 ms", "CPU µs"], rows)


def requests_rows(competition: Competition) -> Iterable[Sequence[str]]:
    all_rounds = competition.rounds
    for name, rounds in all_rounds.items():
        yield [
            str(competition.load),
            NAMES[name],
            count(Spread.of_rounds(rounds, PER_SECOND)),
            ratio(Spread.of_ratios(rounds, all_rounds["empty_dependency_jwt"], PER_SECOND)),
            *(
                advantage(Spread.of_ratios(all_rounds[own], rounds, PER_SECOND)) if name in THEIRS else ""
                for own in OURS
            ),
            milliseconds(Spread.of_rounds(rounds, P50).median),
            milliseconds(Spread.of_rounds(rounds, P99).median),
            microseconds(Spread.of_rounds(rounds, CPU).median),
        ]


def steps_table(steps: Mapping[str, Sequence[float]]) -> str:
    rows = [[TITLES[name], count(Spread.of(nanoseconds))] for name, nanoseconds in steps.items()]
    return table(["an Ed25519 token with Better Auth's claims", "ns (spread)"], rows)
