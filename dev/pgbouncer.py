"""Debian's PgBouncer in transaction mode, in front of an EmbeddedPostgres.

with PgBouncer(postgres, settings={"default_pool_size": "1"}) as pooler:
    psycopg.connect(pooler.dsn("shop"))
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO
from urllib.parse import quote

import psycopg

from dev import pgbouncer_trixie
from dev.postgres import SUPERUSER, UNPRIVILEGED_USER, EmbeddedPostgres
from dev.processes import ChildProcess, free_port

# The first version that tracks prepared statements across server connections.
TRACKS_STATEMENTS = (1, 21)


def program() -> Path | None:
    """The path of the program. Debian installs it into /usr/sbin, which only root has in PATH."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return Path(found) if found else None


def tracks_statements() -> bool:
    """Whether the installed version has `max_prepared_statements`. Debian 12's does not."""
    command = program()
    if command is None:
        return False
    text = subprocess.run([command, "--version"], check=True, capture_output=True, text=True, timeout=10).stdout
    version = re.search(r"PgBouncer (\d+)\.(\d+)", text)
    assert version, text
    return (int(version[1]), int(version[2])) >= TRACKS_STATEMENTS


class PgBouncer:
    """PgBouncer on its own port on 127.0.0.1, and a Unix socket. `settings` override ours in pgbouncer.ini.

    With `tracks_statements` it is Debian 13's PgBouncer.
    """

    def __init__(
        self,
        postgres: EmbeddedPostgres,
        *,
        settings: Mapping[str, str] | None = None,
        tracks_statements: bool = False,
        log: TextIO | None = None,
    ) -> None:
        self._tracks_statements = tracks_statements
        self.port = free_port()
        self._postgres = postgres
        self._settings = {"pool_mode": "transaction", "server_login_retry": "0.2", **(settings or {})}
        self._log = log
        self._user = UNPRIVILEGED_USER if os.geteuid() == 0 else None  # it refuses to run as root
        self._process: ChildProcess | None = None

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        try:
            self._configure()
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
        password = self._postgres.password
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def socket_dsn(self, database: str = "postgres") -> str:
        return f"{self.dsn(database)}?host={quote(str(self._directory), safe='')}&port={self.port}"

    def start(self) -> None:
        """Starts it, on the same port as before."""
        assert self._process is None, "already started"
        self._process = ChildProcess(
            "pgbouncer",
            [*self._command(), self._directory / "pgbouncer.ini"],
            user=self._user,
            stop_signal=signal.SIGTERM,  # immediately, even with connected clients
            log=self._log,
        )
        self._process.wait_until(self._accepts_connections)

    def stop(self) -> None:
        """Stops it, which closes every connection."""
        if self._process:
            self._process.stop(grace_seconds=1)
            self._process = None

    def _command(self) -> list[Path | str]:
        if not self._tracks_statements:
            command = program()
            assert command, "pgbouncer is not installed"
            return [command]
        pgbouncer_trixie.install()
        # The user that it runs as may not enter the folder that the checkout is in, such as /root.
        root = self._directory / "root"
        if not root.exists():
            shutil.copytree(pgbouncer_trixie.DIRECTORY / "root", root, symlinks=True)
        return pgbouncer_trixie.command(root)

    def _configure(self) -> None:
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": str(self.port),
            "unix_socket_dir": str(self._directory),
            "auth_type": "scram-sha-256",
            "auth_file": str(self._directory / "users.txt"),
            **self._settings,
        }
        server = f"* = host=127.0.0.1 port={self._postgres.port}"
        lines = ["[databases]", server, "[pgbouncer]", *(f"{name} = {value}" for name, value in settings.items())]
        self._place("pgbouncer.ini", "\n".join(lines) + "\n")
        self._place("users.txt", f'"{SUPERUSER}" "{self._postgres.password}"\n')
        if self._user:
            shutil.chown(self._directory, self._user)

    def _place(self, name: str, text: str) -> None:
        path = self._directory / name
        path.touch(mode=0o600)
        path.write_text(text)
        if self._user:
            shutil.chown(path, self._user)

    def _accepts_connections(self) -> bool:
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _close(self) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)
