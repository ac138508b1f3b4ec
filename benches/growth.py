"""What a request costs when there are ever more sessions: in the table, and in the cache.

Each size has a database of its own in one cluster, and they take turns as contenders do.
"""

import asyncio
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from benches import lookups
from benches.figures import Competition, Growth
from benches.turns import Lengths
from dev.postgres import EmbeddedPostgres
from dev.sessions import create_tables, numbered_token, sign_in_numbered
from tests.support.cookies import SECRET, signed
from tests.support.environment import without_our_settings

CONCURRENT = (1, 64)
# Of each table, at random: so many cookies are signed and shown.
SAMPLED = 5_000


def grow(postgres: EmbeddedPostgres, lengths: Lengths) -> Growth:
    """Look-ups first, then a process that keeps what it looked up in the largest table."""
    tables = {label(size): filled(postgres, size) for size in lengths.growth}
    competitions = asyncio.run(compete(tables, lengths))
    growth = Growth.model_validate_json(kept(tables[label(max(lengths.growth))], lengths))
    return growth.model_copy(update={"sampled": SAMPLED, "lookups": competitions})


def label(size: int) -> str:
    return f"{size:,}"


def filled(postgres: EmbeddedPostgres, size: int) -> str:
    """The DSN of a database with so many sessions."""
    dsn = postgres.create_database(f"growth_{size}")
    create_tables(dsn)
    sign_in_numbered(dsn, size)
    return dsn


async def compete(tables: Mapping[str, str], lengths: Lengths) -> Sequence[Competition]:
    async with AsyncExitStack() as stack:
        contenders = {name: await lookups.ours(dsn, stack) for name, dsn in tables.items()}
        shown = {label(size): sample(size) for size in lengths.growth}
        for name, contender in contenders.items():
            await lookups.check(contender, shown[name])
        return [
            Competition(
                load=concurrent,
                rounds=await lookups.rounds(
                    contenders,
                    {name: list(people) for name, people in shown.items()},
                    concurrent,
                    lengths.rounds,
                    lengths.lookup_seconds,
                ),
            )
            for concurrent in CONCURRENT
        ]


def sample(size: int) -> Mapping[str, str]:
    """Names by signed cookie value, in no order."""
    numbers = random.Random(1).sample(range(size), min(size, SAMPLED))
    return {signed(numbered_token(number)): f"user {number}" for number in numbers}


def kept(dsn: str, lengths: Lengths) -> str:
    """In a process of its own: nothing else has grown there."""
    settings = {
        **without_our_settings(),
        "DATABASE_URL": dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": "http://auth.test",
        "AUTH_MIDDLEWARE_FRESHNESS": "3600",
        "AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS": str(max(lengths.growth)),
    }
    numbers = map(str, [lengths.rounds, lengths.lookup_seconds, *lengths.growth])
    command = [sys.executable, "-m", "benches.contenders.keeping", *numbers]
    return subprocess.run(command, env=settings, check=True, stdout=subprocess.PIPE, text=True).stdout
