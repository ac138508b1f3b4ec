"""The tables of docs/growth.md."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from benches.model import fleet
from benches.model.fleet import NEON, NEON_POOLER_CLIENTS, NEON_RESERVED, Plan
from benches.model.simulation import SIGN_IN_BURST, SIGN_IN_BURST_SECONDS, simulate
from benches.report.markdown import table

PAGE = Path("docs", "growth.md")
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

PLAN = Plan()
LONG = 3600
SCENARIOS: Mapping[str, Plan] = {
    f"{routing}, {age:,} s": replace(PLAN, reach=reach, max_age_seconds=age)
    for routing, reach in (("any process", PLAN.processes), ("one process per user", 1))
    for age in (60, LONG)
}

ONE_USER_IN = 40
SECONDS, PURGE, BURST = 1500, 900, 1300
VALIDATION_SECONDS = 360


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with the tables filled in between their markers."""
    return TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]}\n{found[3]}", page)


def tables() -> Mapping[str, str]:
    """The tables by the name in their markers."""
    return {
        "assumptions": assumptions(),
        "load": load(),
        "always": always(),
        "connections": connections(),
        "neon": neon(),
        "notifications": notifications(),
        "events": events(),
        "validation": validation(),
    }


def assumptions() -> str:
    rows = [
        ["processes, on hosts", f"{PLAN.processes} on {PLAN.hosts}", "assumed"],
        ["concurrently active users, one session each", number(PLAN.users), "assumed"],
        [
            "requests of each user",
            f"one per {1 / PLAN.requests_per_user:g} s: {number(PLAN.requests)}/s in total",
            "assumed",
        ],
        ["changes of each session", f"{PLAN.changes_per_user * 86_400:g} per day: a refresh, a sign-out", "assumed"],
        ["round trip to PostgreSQL", f"{PLAN.round_trip_seconds * 1e3:g} ms", "assumed"],
        ["lookup of one token", f"{PLAN.single_seconds * 1e6:g} µs", "measured on two cores"],
        [
            f"each of {fleet.BATCH} tokens in one statement",
            f"{PLAN.batched_seconds * 1e6:g} µs",
            "measured on two cores",
        ],
        ["`pool_size`, `heartbeat_seconds`", f"{PLAN.pool_size}, {PLAN.heartbeat_seconds:g}", "default"],
        [
            "`max_cached_sessions`",
            f"{number(PLAN.max_cached_sessions)}, {fleet.BYTES_PER_SESSION:,} bytes each",
            "default",
        ],
        ["notification", f"at most {fleet.HASHES} hashes, {fleet.HASHES * fleet.HASH_BYTES:,} bytes", "built in"],
    ]
    return table(["parameter", "value", "source"], rows)


def load() -> str:
    always = ["`always`", "–", number(PLAN.requests), *statements(PLAN, PLAN.requests), "0", "–"]
    rows = [always]
    for name, plan in SCENARIOS.items():
        cached = f"{number(plan.cached)} ({plan.cached * fleet.BYTES_PER_SESSION / 2**20:,.0f} MiB)"
        cost = statements(plan, plan.lookups)
        rows.append(
            [f"`live`: {name}", f"{plan.hit_ratio:.1%}", number(plan.lookups), *cost, number(plan.heartbeats), cached]
        )
    heads = ["freshness", "cache hits", "lookups/s", "tokens per statement", "statements/s", "busy backends"]
    return table([*heads, "heartbeats/s", "cached in each process"], rows)


def always() -> str:
    rows = [
        [number(users), number(processes), number(plan.requests / processes), *statements(plan, plan.requests)]
        for users in (PLAN.users, 10 * PLAN.users)
        for processes in (PLAN.processes, PLAN.processes // 4)
        for plan in [replace(PLAN, users=users, processes=processes, reach=processes)]
    ]
    heads = ["users", "processes", "requests/s in each", "tokens per statement", "statements/s", "busy backends"]
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
    heads = ["freshness", "for lookups", "for listening", "in total", "while one host is replaced"]
    return table([*heads, "while all hosts are replaced at once"], rows)


def neon() -> str:
    each = PLAN.pool_size + 1
    rows = [
        [
            *(f"{units:g}" if units != max(NEON) else f"{units:g} and more", number(most)),
            number((most - NEON_RESERVED) // each),
            number((most - NEON_RESERVED) // (2 * each)),
            number(min(most - NEON_RESERVED - most * 0.9, NEON_POOLER_CLIENTS)),
        ]
        for units, most in NEON.items()
    ]
    heads = ["compute units", "`max_connections`", "`live` processes, all direct", "the same, all replaced at once"]
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
    return table([*heads, "wake-ups/s", "changes among notifying commits"], rows)


def events() -> str:
    heads = [
        "lookups/s",
        "after the start",
        "before the purge",
        "after the purge",
        "a minute later",
        "before the burst",
    ]
    heads += ["peak of the burst", "cache hits", "notifications delivered/s"]
    text = (
        f"Start at 0 s, purge at {PURGE} s, burst of sign-ins at {BURST} s, end at {SECONDS:,} s. In the burst,"
        f" {SIGN_IN_BURST:.0%} of the users sign in within {SIGN_IN_BURST_SECONDS} s."
    )
    return f"{text}\n\n{table(heads, map(events_row, SCENARIOS, SCENARIOS.values()))}"


def events_row(name: str, plan: Plan) -> Sequence[str]:
    found = simulate(plan, SECONDS, one_in=ONE_USER_IN, purge=PURGE, burst=BURST)
    lookups = [
        found.peak(0, 10),
        found.per_second(found.lookups, PURGE - 100, PURGE),
        found.peak(PURGE, PURGE + 10),
        found.per_second(found.lookups, PURGE + 60, PURGE + 120),
        found.per_second(found.lookups, BURST - 100, BURST),
        found.peak(BURST, BURST + 60),
    ]
    delivered = found.per_second(found.changes, 0, SECONDS) * plan.processes + plan.heartbeats
    return [name, *map(number, lookups), f"{found.hit_ratio(PURGE - 100, PURGE):.1%}", number(delivered)]


def validation() -> str:
    return table(["each user reaches", "requests per user", "hit ratio by formula", "simulated"], validation_rows())


def validation_rows() -> Iterable[Sequence[str]]:
    for name, reach in (("any process", PLAN.processes), ("one process", 1)):
        plan = replace(PLAN, reach=reach)
        for zipf, distribution in ((0, "equal"), (1, "Zipf's law, exponent 1")):
            found = simulate(plan, VALIDATION_SECONDS, one_in=ONE_USER_IN, zipf=zipf)
            by_formula = "–" if zipf else f"{plan.hit_ratio:.1%}"
            yield [
                name,
                distribution,
                by_formula,
                f"{found.hit_ratio(VALIDATION_SECONDS // 3, VALIDATION_SECONDS):.1%}",
            ]


def number(value: float) -> str:
    return f"{value:,.0f}"
