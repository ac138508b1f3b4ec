"""The doctor behind PgBouncer, and over TLS."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from dev import stack
from dev.cookies import SECRET
from dev.pgbouncer import PgBouncer
from dev.postgres import EmbeddedPostgres
from tests.support.databases import Database
from tests.support.doctor import BASE_URL, Doctor, doctor

__all__ = ["doctor"]

pytestmark = pytest.mark.needs("pgbouncer")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no .env file is."""
    monkeypatch.chdir(tmp_path)


def variables(pooler: PgBouncer, database: Database) -> Mapping[str, str]:
    return {"DATABASE_URL": pooler.dsn(database.name), "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": BASE_URL}


def test_a_pooler_is_recognised_with_what_follows_for_statements_and_for_live(
    doctor: Doctor, postgres: EmbeddedPostgres, database: Database
) -> None:
    database.sign_in()
    stack.migrate(database.dsn, "live")
    with PgBouncer(postgres) as pooler:
        given = variables(pooler, database)
        diagnosis = doctor(given)
        assert diagnosis.status == 0, diagnosis.faults
        [finding] = diagnosis.find("note", "do not use named statements")
        assert "there seems to be a pooler" in finding["message"]
        assert "AUTH_MIDDLEWARE_PREPARED_STATEMENTS=on" in finding["fix"]

        live = {**given, "AUTH_MIDDLEWARE_FRESHNESS": "live", "AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS": "1"}
        [finding] = doctor(live).find("fault", "a heartbeat was sent and not received")
        assert "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL" in finding["fix"]
        direct = doctor({**live, "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL": database.dsn})
        assert direct.status == 0, direct.faults
        assert direct.find("ok", "a notification was sent and received")
