"""A standby of an EmbeddedPostgres, with streaming replication."""

import subprocess
from pathlib import Path
from typing import Any

from dev.postgres import EmbeddedPostgres, fetch


class Standby(EmbeddedPostgres):
    """A standby on its own port, with the primary's users, passwords and data."""

    def __init__(self, primary: EmbeddedPostgres, directory: Path | None = None, **options: Any) -> None:
        super().__init__(directory, **options)
        self._primary = primary
        self.password = primary.password

    def catch_up(self) -> None:
        """Waits until it has replayed everything that the primary has written so far."""
        [(written,)] = fetch(self._primary.dsn(), "SELECT pg_current_wal_insert_lsn()")
        assert self._process, "not started"
        self._process.wait_until(
            lambda: fetch(self.dsn(), "SELECT pg_last_wal_replay_lsn() >= %s", written) == [(True,)]
        )

    def promote(self) -> None:
        """Promotes it to a primary."""
        fetch(self.dsn(), "SELECT pg_promote()")

    def _initialise(self) -> None:
        subprocess.run(
            [
                self._programs / "pg_basebackup",
                "--dbname",
                self._primary.dsn(),
                "--pgdata",
                self._data_directory,
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
            ],
            user=self._user,
            extra_groups=[] if self._user else None,
            cwd=self.socket_directory,
            check=True,
        )
