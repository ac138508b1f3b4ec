"""The contract of every store, which is written in Rust, on a PostgreSQL: `tests/rust/store`."""

import os
import subprocess
from pathlib import Path

from tests.support.databases import Database


def test_the_store_in_postgresql_keeps_the_contract(database: Database) -> None:
    ran = subprocess.run(
        ["cargo", "test", "--locked", "--test", "store"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "STORE_DATABASE_URL": database.dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "test result: ok. 25 passed" in ran.stdout
