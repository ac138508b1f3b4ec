"""make demo: runs PostgreSQL, the migrations, Better Auth, the FastAPI application and the page, and then visits them.

If DATABASE_URL is set, the demo uses that database, in a new schema that it drops at the end.
On a terminal, everything uses the example's ports and keeps running until Ctrl-C. Otherwise it uses free ports, and the
exit status is that of the visit (story.py).
"""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from dev import node, stack
from dev.postgres import EmbeddedPostgres, execute
from dev.processes import ChildProcess, ProcessFailed, free_port, is_free

# The ports in the example's documentation.
PORTS = {"auth-service": 9404, "backend": 9403, "frontend": 5175}


class DemoError(Exception):
    """A problem that the user can fix. The message says how."""


class Database(NamedTuple):
    dsn: str
    schema: str  # of the tables
    scoped_dsn: str  # with that schema as its search path


def main() -> int:
    on_terminal = sys.stdout.isatty()
    # So that `kill` and closing the terminal stop everything too, like Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        with ExitStack() as down:
            return run(down, on_terminal=on_terminal)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (DemoError, ProcessFailed, stack.MigrationFailed) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1


def run(down: ExitStack, *, on_terminal: bool) -> int:
    ports = {name: documented_port(port, name) if on_terminal else free_port() for name, port in PORTS.items()}
    auth_url, api_url, page_url = (f"http://localhost:{port}" for port in ports.values())

    database = down.enter_context(database_of_environment())
    for line in stack.migrate(database.scoped_dsn, "tables", "rate_limit").splitlines():
        say(f"migrate: {line}")
    shared = {
        "BETTER_AUTH_SECRET": secrets.token_hex(32),
        "AUTH_BASE_URL": auth_url,
        "FRONTEND_URL": page_url,
    }

    say("building the auth-service and the frontend; the first run downloads their dependencies")
    node.install(stack.AUTH_SERVICE)
    for_auth = {**shared, "DATABASE_URL": database.scoped_dsn}
    auth_service = stack.auth_service(ports["auth-service"], for_auth, log=sys.stderr)
    down.enter_context(auth_service)
    for_backend = {**shared, "DATABASE_URL": database.dsn, "AUTH_MIDDLEWARE_SCHEMA": database.schema}
    backend = down.enter_context(stack.backend(ports["backend"], for_backend, log=sys.stderr))
    built = Path(down.enter_context(tempfile.TemporaryDirectory(prefix="demo-frontend-")))
    stack.build_frontend(built, auth_url=auth_url, api_url=api_url)
    frontend = down.enter_context(stack.frontend(ports["frontend"], built, log=sys.stderr))

    children = (auth_service, backend, frontend)
    for child, url in zip(children, (f"{auth_url}/health", f"{api_url}/health", f"{page_url}/"), strict=True):
        child.wait_for_url(url)
        say(f"{child.name} is healthy: {url}")

    story = subprocess.run([sys.executable, stack.STORY, auth_url, api_url, page_url], check=False)
    if story.returncode or not on_terminal:
        return story.returncode
    say(f"Better Auth: {auth_url}   Python API: {api_url}/docs   Press Ctrl-C to stop.")
    say(f"open {page_url}")
    with suppress(KeyboardInterrupt):
        stay_up(children)
    return 0


def stay_up(children: Sequence[ChildProcess]) -> NoReturn:
    while True:
        for child in children:
            if child.has_exited():
                raise DemoError(f"{child.name} exited; its last output:\n{child.last_output()}")
        time.sleep(0.2)


@contextmanager
def database_of_environment() -> Generator[Database, None, None]:
    dsn = os.environ.get("DATABASE_URL")
    if not dsn:
        with EmbeddedPostgres() as postgres:
            dsn = postgres.create_database("demo")
            say(f"PostgreSQL 18 is listening on 127.0.0.1:{postgres.port}")
            yield Database(dsn, "public", dsn)
        return
    # Checked here, because drivers quote an invalid URL, with its password, in their error messages.
    if not dsn.startswith(("postgres://", "postgresql://")):
        raise DemoError("Set DATABASE_URL to a postgresql:// URL, or unset it")
    schema = f"auth_middleware_demo_{secrets.token_hex(4)}"
    try:
        execute(dsn, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    except psycopg.Error as problem:
        raise DemoError(f"DATABASE_URL: {problem}") from None
    say(f"using the database of DATABASE_URL, in the schema {schema}, which is dropped at the end")
    try:
        yield Database(dsn, schema, with_search_path(dsn, schema))
    finally:
        execute(dsn, sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))


def with_search_path(dsn: str, schema: str) -> str:
    parts = urlsplit(dsn)
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -c search_path={schema}".strip()
    # %20, not +: libpq does not decode a plus as a space.
    return urlunsplit(parts._replace(query=urlencode(query, quote_via=quote)))


def documented_port(port: int, what: str) -> int:
    if not is_free(port):
        raise DemoError(f"port {port} for the {what} is in use: stop the program that listens on it")
    return port


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
