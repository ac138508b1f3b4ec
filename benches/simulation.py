"""Plans past one machine: the tables of docs/growth.md, by arithmetic and by simulation.

python -m benches.simulation            prints them, in less than half a minute
python -m benches.simulation --write    puts them into docs/growth.md
"""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benches import fleet
from benches.course import STORM_SECONDS, STORMING, simulate
from benches.fleet import NEON, POOLED, RESERVED, Plan
from benches.markdown import table

PAGE = Path("docs", "growth.md")
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

PLAN = Plan()
LONG = 3600
SCENARIOS: Mapping[str, Plan] = {
    f"{where}, {age:,} s": replace(PLAN, reach=reach, max_age_seconds=age)
    for where, reach in (("any process", PLAN.processes), ("one process each", 1))
    for age in (60, LONG)
}

ONE_USER_IN = 40
SECONDS, PURGE, STORM = 1500, 900, 1300
CHECKED_SECONDS = 360


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benches.simulation", description="The tables of docs/growth.md.")
    parser.add_argument("--write", action="store_true", help="into the page")
    written, made = parser.parse_args().write, tables()
    if written:
        PAGE.write_text(filled(PAGE.read_text(), made))
    for name, text in made.items():
        print(f"{name}\n\n{text}\n")
    return 0


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables in their places."""
    return TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", page)


def tables() -> Mapping[str, str]:
    """By the name that stands in the page."""
    return {
        "assumed": assumed(),
        "load": load(),
        "always": always(),
        "connections": connections(),
        "neon": neon(),
        "notifications": notifications(),
        "course": course(),
        "checked": checked(),
    }


def assumed() -> str:
    rows = [
        ["processes, on hosts", f"{PLAN.processes} on {PLAN.hosts}", "given"],
        ["users active at one time, a session each", number(PLAN.users), "assumed"],
        ["requests of each", f"one in {1 / PLAN.requests_per_user:g} s: {number(PLAN.requests)}/s in all", "assumed"],
        ["changes of each session", f"{PLAN.changes_per_user * 86_400:g} a day: a refresh, a sign-out", "assumed"],
        ["to PostgreSQL and back", f"{PLAN.round_trip_seconds * 1e3:g} ms", "assumed"],
        ["a look-up of one token", f"{PLAN.single_seconds * 1e6:g} µs", "measured, on two cores"],
        [f"each of {fleet.BATCH} in a statement", f"{PLAN.batched_seconds * 1e6:g} µs", "measured, on two cores"],
        ["`pool_size`, `heartbeat_seconds`", f"{PLAN.pool_size}, {PLAN.heartbeat_seconds:g}", "default"],
        ["`max_cached_sessions`", f"{number(PLAN.max_cached_sessions)}, {fleet.BYTES_KEPT:,} bytes each", "default"],
        ["a notification", f"at most {fleet.HASHES} hashes, {fleet.HASHES * fleet.HASH_BYTES:,} bytes", "built in"],
    ]
    return table(["what", "figure", "is"], rows)


def load() -> str:
    always = ["`always`", "–", number(PLAN.requests), *statements(PLAN, PLAN.requests), "0", "–"]
    rows = [always]
    for name, plan in SCENARIOS.items():
        kept = f"{number(plan.kept)} ({plan.kept * fleet.BYTES_KEPT / 2**20:,.0f} MiB)"
        cost = statements(plan, plan.lookups)
        rows.append(
            [f"`live`: {name}", f"{plan.hit_ratio:.1%}", number(plan.lookups), *cost, number(plan.heartbeats), kept]
        )
    heads = ["freshness", "from the cache", "look-ups/s", "in a statement", "statements/s", "backends busy"]
    return table([*heads, "heartbeats/s", "kept in each process"], rows)


def always() -> str:
    rows = [
        [number(users), number(processes), number(plan.requests / processes), *statements(plan, plan.requests)]
        for users in (PLAN.users, 10 * PLAN.users)
        for processes in (PLAN.processes, PLAN.processes // 4)
        for plan in [replace(PLAN, users=users, processes=processes, reach=processes)]
    ]
    heads = ["users", "processes", "requests/s in each", "in a statement", "statements/s", "backends busy"]
    return table(heads, rows)


def statements(plan: Plan, lookups: float) -> Sequence[str]:
    return [f"{plan.batch(lookups):.1f}", number(plan.statements(lookups)), f"{plan.busy(lookups):.2f}"]


def connections() -> str:
    always, live = PLAN.processes * PLAN.pool_size, PLAN.processes * (PLAN.pool_size + 1)
    more = 1 + 1 / PLAN.hosts
    rows = [
        ["`always`, seconds, `cookie_cache`", *map(number, (always, 0, always, always * more, always * 2))],
        ["`live`", *map(number, (always, PLAN.processes, live, live * more, live * 2))],
    ]
    heads = ["freshness", "for look-ups", "listening", "together", "while one host is replaced"]
    return table([*heads, "while all are, old beside new"], rows)


def neon() -> str:
    each = PLAN.pool_size + 1
    rows = [
        [
            *(f"{units:g}" if units != max(NEON) else f"{units:g} and more", number(most)),
            number((most - RESERVED) // each),
            number((most - RESERVED) // (2 * each)),
            number(min(most - RESERVED - most * 0.9, POOLED)),
        ]
        for units, most in NEON.items()
    ]
    heads = ["compute units", "`max_connections`", "`live` processes, all direct", "the same, replaced all at once"]
    return table([*heads, "listeners beside a full pool"], rows)


def notifications() -> str:
    rows = [
        [
            *(number(processes), f"{heartbeat:g}", f"{plan.changes:.1f}", number(plan.heartbeats)),
            *(number(plan.delivered), number(plan.wakeups), f"{plan.changes / (plan.changes + plan.heartbeats):.0%}"),
        ]
        for processes in (10, 100, 400, 1000)
        for heartbeat in (PLAN.heartbeat_seconds, 30)
        for plan in [replace(PLAN, processes=processes, heartbeat_seconds=heartbeat)]
    ]
    heads = ["processes", "`heartbeat_seconds`", "changes/s", "heartbeats/s", "notifications delivered/s"]
    return table([*heads, "wake-ups/s", "of the commits that notify, changes"], rows)


def course() -> str:
    heads = ["look-ups/s", "after the start", "before the purge", "after a purge", "a minute later", "before the storm"]
    heads += ["at its peak", "from the cache", "notifications delivered/s"]
    text = f"Seconds 0, {PURGE} and {STORM} of {SECONDS:,}; in {STORM_SECONDS} s, {STORMING:.0%} of the users sign in."
    return f"{text}\n\n{table(heads, map(course_row, SCENARIOS, SCENARIOS.values()))}"


def course_row(name: str, plan: Plan) -> Sequence[str]:
    found = simulate(plan, SECONDS, one_in=ONE_USER_IN, purge=PURGE, storm=STORM)
    lookups = [
        found.peak(0, 10),
        found.per_second(found.lookups, PURGE - 100, PURGE),
        found.peak(PURGE, PURGE + 10),
        found.per_second(found.lookups, PURGE + 60, PURGE + 120),
        found.per_second(found.lookups, STORM - 100, STORM),
        found.peak(STORM, STORM + 60),
    ]
    delivered = found.per_second(found.changes, 0, SECONDS) * plan.processes + plan.heartbeats
    return [name, *map(number, lookups), f"{found.hit_ratio(PURGE - 100, PURGE):.1%}", number(delivered)]


def checked() -> str:
    return table(["a user meets", "who asks", "by arithmetic", "simulated"], checked_rows())


def checked_rows() -> Iterable[Sequence[str]]:
    for name, reach in (("any process", PLAN.processes), ("one process", 1)):
        plan = replace(PLAN, reach=reach)
        for zipf, drawn in ((0, "all alike"), (1, "by Zipf's law, exponent 1")):
            found = simulate(plan, CHECKED_SECONDS, one_in=ONE_USER_IN, zipf=zipf)
            by_arithmetic = "–" if zipf else f"{plan.hit_ratio:.1%}"
            yield [name, drawn, by_arithmetic, f"{found.hit_ratio(CHECKED_SECONDS // 3, CHECKED_SECONDS):.1%}"]


def number(value: float) -> str:
    return f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main())
