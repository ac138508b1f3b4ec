"""How many statements and connections each contender causes at PostgreSQL.

Each contender has a role of its own in a cluster that counts statements. Counting slows down contenders with more
statements more, so nothing is timed in this cluster.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benches.figures import Statements
from benches.scenarios.requests import CONNECTIONS, headers_by_contender, write_headers
from benches.scenarios.setup import credentials, wrk
from benches.scenarios.setup.environment import USES_DEBIANS_POSTGRES, Environment, environment
from benches.scenarios.setup.servers import Server
from dev.postgres import execute, fetch
from dev.postgres_proxies import counting_proxy

CONTENDERS = ("live", "cookie_cache", "seconds", "always", "hand_written", "bridge")
# Few, so that each session is used many times.
SESSIONS = 500
SECONDS = 2
SAMPLE_SECONDS = 0.02
# PostgreSQL from the wheel has no extensions. There, a proxy counts the statements.
SETTINGS = {"shared_preload_libraries": "pg_stat_statements"} if USES_DEBIANS_POSTGRES else {}

# All statements, and those that look up sessions. The check of the triggers is not a lookup.
STATEMENTS = r"""
SELECT coalesce(sum(calls), 0)::int,
       coalesce(sum(calls) FILTER (WHERE query ~ '\mtoken\M' AND query NOT LIKE '%%pg_trigger%%'), 0)::int
FROM pg_stat_statements JOIN pg_roles ON pg_roles.oid = userid WHERE rolname = %s
"""
CONNECTED = "SELECT count(*)::int FROM pg_stat_activity WHERE usename = %s"

Counter = Callable[[], tuple[int, int | None]]


def count() -> list[Statements]:
    """Measures each contender under each load, each time in a new process."""
    with environment(SESSIONS, SETTINGS) as env:
        if USES_DEBIANS_POSTGRES:
            execute(env.dsn, "CREATE EXTENSION pg_stat_statements")
        headers_of, found = headers_by_contender(env), list[Statements]()
        for contender in CONTENDERS:
            dsn, headers = create_role(env, contender), headers_of(contender)
            found += [count_one(env, contender, dsn, headers, connections) for connections in CONNECTIONS]
        return found


def count_one(env: Environment, contender: str, dsn: str, headers: credentials.Headers, connections: int) -> Statements:
    """Counts statements, and the highest number of simultaneous connections."""
    with ExitStack() as stack:
        proxied = None if USES_DEBIANS_POSTGRES else stack.enter_context(counting_proxy(dsn))
        statements: Counter = (lambda: (proxied.statements, None)) if proxied else counter(env.dsn, contender)
        server = stack.enter_context(Server(contender, env, headers, proxied.dsn if proxied else dsn))
        file = write_headers(server, Path(stack.enter_context(TemporaryDirectory())))
        before = statements()
        with most_connections(env.dsn, contender) as most:
            requests = wrk.load(server.url, file, connections, SECONDS).requests
        after = statements()
        return Statements(
            contender=contender,
            load=connections,
            requests=requests,
            sessions=min(requests, SESSIONS),
            statements=after[0] - before[0],
            lookups=None if after[1] is None or before[1] is None else after[1] - before[1],
            connections=most(),
        )


def counter(dsn: str, contender: str) -> Counter:
    return lambda: fetch(dsn, STATEMENTS, contender)[0][:2]


def create_role(env: Environment, contender: str) -> str:
    """Creates a role that may only read, and returns its DSN."""
    name = sql.Identifier(contender)
    password = sql.Literal(env.postgres.password)
    execute(env.dsn, sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
    execute(env.dsn, sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(name))
    parts = urlsplit(env.dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{contender}:{env.postgres.password}@{host}"))


@contextmanager
def most_connections(dsn: str, contender: str) -> Generator[Callable[[], int]]:
    """Samples the number of connections in a thread."""
    samples = [0]
    stop = threading.Event()

    def sample() -> None:
        with closing(psycopg.connect(dsn, autocommit=True)) as connection:
            while not stop.wait(SAMPLE_SECONDS):
                row = connection.execute(CONNECTED, [contender]).fetchone()
                samples.append(row[0] if row else 0)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield lambda: max(samples)
    finally:
        stop.set()
        thread.join()
