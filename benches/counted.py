"""What PostgreSQL sees of each contender: statements, and connections at any moment.

Each has a role of its own, in a cluster of its own that counts statements: counting costs those who ask more often
more, so nothing is timed there.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benches import credentials, wrk
from benches.figures import Counted
from benches.requests import CONNECTIONS, shown_by, written
from benches.servers import Server
from benches.stage import IS_DEBIANS, Stage, stage
from dev.postgres import execute, fetch
from tests.support.wire import counting_proxy

CONTENDERS = ("live", "cookie_cache", "seconds", "always", "by_hand", "bridge")
# Few, so that each comes many times.
SESSIONS = 500
SECONDS = 2
SAMPLE_SECONDS = 0.02
# PostgreSQL from a wheel has no extensions: there a proxy counts what passes.
SETTINGS = {"shared_preload_libraries": "pg_stat_statements"} if IS_DEBIANS else {}

# All, and those that look sessions up: a check of the triggers is none of these.
STATEMENTS = r"""
SELECT coalesce(sum(calls), 0)::int,
       coalesce(sum(calls) FILTER (WHERE query ~ '\mtoken\M' AND query NOT LIKE '%%pg_trigger%%'), 0)::int
FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid WHERE rolname = %s
"""
CONNECTED = "SELECT count(*)::int FROM pg_stat_activity WHERE usename = %s"

Counter = Callable[[], tuple[int, int | None]]


def count() -> list[Counted]:
    """Under each load, by a process that has just started."""
    with stage(SESSIONS, SETTINGS) as counting:
        if IS_DEBIANS:
            execute(counting.dsn, "CREATE EXTENSION pg_stat_statements")
        shown = shown_by(counting)
        return [each for name in CONTENDERS for each in count_one(counting, name, shown(name))]


def count_one(counting: Stage, contender: str, headers: credentials.Headers) -> list[Counted]:
    """Its statements, and the most connections that it had at one moment."""
    found: list[Counted] = []
    with ExitStack() as stack:
        dsn = role(counting, contender)
        proxied = None if IS_DEBIANS else stack.enter_context(counting_proxy(dsn))
        statements: Counter = (lambda: (proxied.statements, None)) if proxied else counter(counting.dsn, contender)
        server = stack.enter_context(Server(contender, counting, headers, proxied.dsn if proxied else dsn))
        file = written(server, Path(stack.enter_context(TemporaryDirectory())))
        for connections in CONNECTIONS:
            before = statements()
            with most_connections(counting.dsn, contender) as most:
                requests = wrk.load(server.url, file, connections, SECONDS).requests
            after = statements()
            found.append(
                Counted(
                    contender=contender,
                    load=connections,
                    requests=requests,
                    sessions=min(requests, SESSIONS),
                    statements=after[0] - before[0],
                    lookups=None if after[1] is None or before[1] is None else after[1] - before[1],
                    connections=most(),
                )
            )
    return found


def counter(dsn: str, contender: str) -> Counter:
    return lambda: fetch(dsn, STATEMENTS, contender)[0][:2]


def role(counting: Stage, contender: str) -> str:
    """The DSN of a role that may read, and only that."""
    name = sql.Identifier(contender)
    password = sql.Literal(counting.postgres.password)
    execute(counting.dsn, sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
    execute(counting.dsn, sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
    parts = urlsplit(counting.dsn)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{contender}:{counting.postgres.password}@{where}"))


@contextmanager
def most_connections(dsn: str, contender: str) -> Generator[Callable[[], int]]:
    """Looks again and again."""
    seen = [0]
    is_over = threading.Event()

    def look() -> None:
        with closing(psycopg.connect(dsn, autocommit=True)) as connection:
            while not is_over.wait(SAMPLE_SECONDS):
                row = connection.execute(CONNECTED, [contender]).fetchone()
                seen.append(row[0] if row else 0)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield lambda: max(seen)
    finally:
        is_over.set()
        thread.join()
