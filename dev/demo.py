"""make demo: runs PostgreSQL, the migrations, Better Auth, the FastAPI application and the page, and then visits them.

If DATABASE_URL is set, the demo uses that database, in a new schema that it drops at the end.
On a terminal, everything uses the example's ports and keeps running until Ctrl-C. Otherwise it uses free ports, and the
exit status is that of the visit (story.py). `make demo` runs dev.demo_build first, which builds what is missing.
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
from dev.progress import Progress

# The ports in the example's documentation.
PORTS = {"auth-service": 9404, "backend": 9403, "frontend": 5175}


class DemoError(Exception):
    """A problem that the user can fix. The message says how."""


class Database(NamedTuple):
    description: str
    dsn: str
    schema: str  # of the tables
    scoped_dsn: str  # with that schema as its search path


def main() -> int:
    progress = Progress()
    # So that `kill` and closing the terminal stop everything too, like Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    try:
        with ExitStack() as down:
            status = run(down, progress)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except (DemoError, ProcessFailed, stack.MigrationFailed) as problem:
        print(progress.colour(f"demo: {problem}", "red"), file=sys.stderr)
        return 1
    if progress.on_terminal:
        progress.say("Stopped. Nothing is left running; `make demo` starts it again.")
    return status


def run(down: ExitStack, progress: Progress) -> int:
    on_terminal = progress.on_terminal
    ports = {name: documented_port(port, name) if on_terminal else free_port() for name, port in PORTS.items()}
    auth_url, api_url, page_url = (f"http://localhost:{port}" for port in ports.values())
    link = progress.colour(page_url, "bold", "cyan")
    progress.say(f"The page will be at {link}")

    with progress.step("PostgreSQL and migrations") as step:
        database = down.enter_context(database_of_environment())
        step.title = f"{database.description}, migrated"
        stack.migrate(database.scoped_dsn, "tables", "rate_limit")
    shared = {
        "BETTER_AUTH_SECRET": secrets.token_hex(32),
        "AUTH_BASE_URL": auth_url,
        "FRONTEND_URL": page_url,
    }
    log = progress.as_log()
    for_auth = {**shared, "DATABASE_URL": database.scoped_dsn}
    for_backend = {**shared, "DATABASE_URL": database.dsn, "AUTH_MIDDLEWARE_SCHEMA": database.schema}
    with progress.step("auth-service, backend and frontend are built") as step:
        node.install(stack.AUTH_SERVICE)
        auth_service = down.enter_context(stack.auth_service(ports["auth-service"], for_auth, log=log))
        backend = down.enter_context(stack.backend(ports["backend"], for_backend, log=log))
        built = Path(down.enter_context(tempfile.TemporaryDirectory(prefix="demo-frontend-")))
        stack.build_frontend(built, auth_url=auth_url, api_url=api_url)
        frontend = down.enter_context(stack.frontend(ports["frontend"], built, log=log))

    children = (auth_service, backend, frontend)
    for child, url in zip(children, (f"{auth_url}/health", f"{api_url}/health", f"{page_url}/"), strict=True):
        with progress.step(f"{child.name} is healthy: {url}"):
            child.wait_for_url(url)

    story = subprocess.run([sys.executable, stack.STORY, auth_url, api_url, page_url], check=False)
    if story.returncode or not on_terminal:
        return story.returncode
    progress.say()
    progress.say(f"{auth_url} is Better Auth, {api_url}/docs the Python API. Ctrl-C stops everything.")
    progress.say(f"Open {link}")
    with suppress(KeyboardInterrupt):
        stay_up(children)
    print(flush=True)  # the terminal has written ^C
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
            yield Database(f"PostgreSQL 18 on 127.0.0.1:{postgres.port}", dsn, "public", dsn)
        return
    # Checked here, because drivers quote an invalid URL, with its password, in their error messages.
    if not dsn.startswith(("postgres://", "postgresql://")):
        raise DemoError("Set DATABASE_URL to a postgresql:// URL, or unset it")
    schema = f"auth_middleware_demo_{secrets.token_hex(4)}"
    try:
        execute(dsn, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
    except psycopg.Error as problem:
        raise DemoError(f"DATABASE_URL: {problem}") from None
    description = f"DATABASE_URL, schema {schema} (dropped at the end)"
    try:
        yield Database(description, dsn, schema, with_search_path(dsn, schema))
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


if __name__ == "__main__":
    sys.exit(main())
