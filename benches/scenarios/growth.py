"""The cost of a request as the number of sessions grows, in the table and in the cache.

Each size has a database of its own in one cluster. The sizes take turns, as contenders do elsewhere.
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from benches.figures import Competition, Growth
from benches.scenarios import lookups
from benches.scenarios.setup.rounds import Lengths
from dev.cookies import SECRET, signed
from dev.environment import without_our_settings
from dev.postgres import EmbeddedPostgres
from dev.sessions import create_tables, numbered_token, sign_in_numbered

CONCURRENT = (1, 64)
# Sessions of each table that are looked up, chosen at random.
SAMPLED = 5_000


def measure(postgres: EmbeddedPostgres, lengths: Lengths) -> Growth:
    """Measures lookups, then starts a process that caches sessions of the largest table."""
    tables = {label(size): create_sessions(postgres, size) for size in lengths.growth}
    competitions = asyncio.run(compete(tables, lengths))
    growth = Growth.model_validate_json(measure_cache(tables[label(max(lengths.growth))], lengths))
    return growth.model_copy(update={"sampled": SAMPLED, "lookups": competitions})


def label(size: int) -> str:
    return f"{size:,}"


def create_sessions(postgres: EmbeddedPostgres, size: int) -> str:
    """Creates a database with this many sessions, and returns its DSN."""
    dsn = postgres.create_database(f"growth_{size}")
    create_tables(dsn)
    sign_in_numbered(dsn, size)
    return dsn


async def compete(tables: Mapping[str, str], lengths: Lengths) -> Sequence[Competition]:
    async with AsyncExitStack() as stack:
        contenders = {name: await lookups.open_ours(dsn, stack) for name, dsn in tables.items()}
        users = {label(size): sample(size) for size in lengths.growth}
        for name, contender in contenders.items():
            await lookups.check(contender, users[name])
        return [
            Competition(
                load=concurrent,
                rounds=await lookups.rounds(
                    contenders,
                    {name: list(cookie_values) for name, cookie_values in users.items()},
                    concurrent,
                    lengths.rounds,
                    lengths.lookup_seconds,
                ),
            )
            for concurrent in CONCURRENT
        ]


def sample(size: int) -> Mapping[str, str]:
    """User names by signed cookie value, in random order."""
    numbers = random.Random(1).sample(range(size), min(size, SAMPLED))
    return {signed(numbered_token(number)): f"user {number}" for number in numbers}


def measure_cache(dsn: str, lengths: Lengths) -> str:
    """Runs `growth_process`, because memory is measured as the growth of a process."""
    settings = {
        **without_our_settings(),
        "DATABASE_URL": dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "http://auth.test",
        "AUTH_MIDDLEWARE_FRESHNESS": "3600",
        "AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS": str(max(lengths.growth)),
    }
    numbers = map(str, [lengths.rounds, lengths.lookup_seconds, *lengths.growth])
    command = [sys.executable, "-m", "benches.scenarios.growth_process", *numbers]
    return subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout
