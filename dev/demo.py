"""make demo: PostgreSQL, a real Better Auth server, a FastAPI application, and a visitor's story told by requests.

With DATABASE_URL set, that database is used, in a schema that is made here and dropped at the end.
On a terminal everything stays up afterwards until Ctrl-C; else the exit status is the story's.
"""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from dev import node
from dev.postgres import EmbeddedPostgres, execute
from dev.processes import ChildProcess, ProcessFailed, free_port, is_free

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "orchestrator_3_stream"
TABLES = ROOT / "python" / "auth_middleware" / "migrations" / "13_better_auth_tables.sql"

AUTH_PORT = 9404
API_PORT = 9403
FRONTEND_URL = "http://localhost:5175"
# What the caller's shell or a .env may say about these must not change the demo.
OUR_SETTINGS = ("BETTER_AUTH_", "AUTH_", "FRONTEND_URL", "COOKIE_DOMAIN", "NODE_ENV")


class DemoError(Exception):
    """Something the person at the terminal can mend; the message says what."""


class Database(NamedTuple):
    dsn: str
    schema: str  # where the tables are
    scoped_dsn: str  # sees only that schema


def main() -> int:
    on_terminal = sys.stdout.isatty()
    # Like Ctrl-C, so that a plain `kill` and a closed terminal take everything down as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        with ExitStack() as stack:
            return run(stack, on_terminal=on_terminal)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (DemoError, ProcessFailed) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1


def run(stack: ExitStack, *, on_terminal: bool) -> int:
    auth_port = planned_port(AUTH_PORT, "the auth-service") if on_terminal else free_port()
    api_port = planned_port(API_PORT, "the backend") if on_terminal else free_port()
    auth_url, api_url = f"http://localhost:{auth_port}", f"http://localhost:{api_port}"

    database = stack.enter_context(database_of_environment())
    execute(database.scoped_dsn, TABLES.read_text())
    shared = {
        "BETTER_AUTH_SECRET": secrets.token_hex(32),
        "AUTH_BASE_URL": auth_url,
        "FRONTEND_URL": FRONTEND_URL,
    }
    children = [
        stack.enter_context(auth_service(auth_port, {**shared, "DATABASE_URL": database.scoped_dsn})),
        stack.enter_context(
            backend(
                api_port,
                {**shared, "DATABASE_URL": database.dsn, "AUTH_MIDDLEWARE_SCHEMA": database.schema},
            )
        ),
    ]
    for child, url in zip(children, (auth_url, api_url), strict=True):
        child.wait_for_url(f"{url}/health")
        say(f"{child.name} answers at {url}")

    story = subprocess.run([sys.executable, EXAMPLE / "story.py", auth_url, api_url], check=False)
    if story.returncode or not on_terminal:
        return story.returncode
    say(f"still up: {auth_url} (Better Auth), {api_url}/docs (FastAPI). Ctrl-C ends it.")
    with suppress(KeyboardInterrupt):
        stay_up(children)
    return 0


def stay_up(children: Sequence[ChildProcess]) -> NoReturn:
    while True:
        for child in children:
            if child.has_exited():
                raise DemoError(f"{child.name} has ended; its last output:\n{child.last_output()}")
        time.sleep(0.2)


@contextmanager
def database_of_environment() -> Generator[Database, None, None]:
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        with EmbeddedPostgres() as postgres:
            dsn = postgres.create_database("demo")
            say(f"PostgreSQL 18 listens on 127.0.0.1:{postgres.port}")
            yield Database(dsn, "public", dsn)
        return
    # Checked here, because a driver's error about a URL that it cannot read quotes the password in it.
    if not dsn.startswith(("postgres://", "postgresql://")):
        raise DemoError("DATABASE_URL: the demo needs a plain postgresql:// URL")
    schema = f"auth_middleware_demo_{secrets.token_hex(4)}"
    try:
        execute(dsn, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    except psycopg.Error as problem:
        raise DemoError(f"DATABASE_URL: {problem}") from None
    say(f"uses the database of DATABASE_URL, in the schema {schema}, dropped at the end")
    try:
        yield Database(dsn, schema, with_search_path(dsn, schema))
    finally:
        execute(dsn, sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def with_search_path(dsn: str, schema: str) -> str:
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -c search_path={schema}".strip()
    # %20, not +: libpq does not read a plus as a space.
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def auth_service(port: int, settings: Mapping[str, str]) -> ChildProcess:
    package_dir = EXAMPLE / "auth-service"
    node.install(package_dir)
    built = package_dir / "dist" / "index.js"
    sources = [*package_dir.glob("src/*.ts"), package_dir / "tsconfig.json", package_dir / "package-lock.json"]
    if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        say("builds the auth-service")
        node.npm("run", "build", package_dir=package_dir)
    own = {"AUTH_PORT": str(port), "NODE_ENV": "development", "COOKIE_DOMAIN": ""}
    return ChildProcess(
        "auth-service",
        [node.node(), built],
        cwd=package_dir,
        env={**clean(node.environment()), **settings, **own},
        log=sys.stderr,
    )


def backend(port: int, settings: Mapping[str, str]) -> ChildProcess:
    where = ["--host", "127.0.0.1", "--port", str(port)]
    return ChildProcess(
        "backend",
        [sys.executable, "-m", "uvicorn", "main:app", *where, "--log-level", "warning"],
        cwd=EXAMPLE / "backend",
        env={**clean(os.environ), **settings},
        log=sys.stderr,
    )


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(OUR_SETTINGS)}


def planned_port(port: int, what: str) -> int:
    if not is_free(port):
        raise DemoError(f"port {port}, wanted for {what}, is taken: end the program that listens there")
    return port


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
