"""Under trio there is one clear error."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from auth_middleware import AuthMiddleware, ConfigurationError
from dev.cookies import SECRET
from dev.environment import without_our_settings
from dev.processes import ChildProcess, ProcessFailed, free_port
from tests.support.applications import guarded
from tests.support.databases import Database, SignedIn
from tests.support.instances import BASE_URL, MakeAuth

ROOT = Path(__file__).parents[2]
# pytest-asyncio would run the tests marked for anyio itself.
TESTS_OF_AN_APPLICATION = """
import pytest
from starlette.requests import HTTPConnection
from auth_middleware import get_auth, get_current_user, lifespan, validate_session

@pytest.mark.anyio
async def test_a_lookup():
    await validate_session({value!r})

@pytest.mark.anyio
async def test_a_lifespan():
    async with lifespan(None):
        pass

@pytest.mark.anyio
async def test_a_dependency():
    headers = [(b"cookie", {cookie!r}.encode())]
    await get_current_user(HTTPConnection({{"type": "http", "method": "GET", "headers": headers}}))
"""


@pytest.fixture
def who(database: Database) -> SignedIn:
    return database.sign_in()


@pytest.mark.parametrize("freshness", ["always", "live"])
def test_each_function(make_auth: MakeAuth, who: SignedIn, freshness: str) -> None:
    auth = make_auth(freshness=freshness)
    headers = [(b"cookie", who.headers["Cookie"].encode())]
    request = HTTPConnection({"type": "http", "method": "GET", "headers": headers})
    functions = (auth.current_user, auth.optional_user, auth.fresh_user, auth.current_session, auth.token_claims)
    for function in functions:
        with pytest.raises(ConfigurationError, match="asyncio only"):
            trio.run(function, request)
    with pytest.raises(ConfigurationError, match="asyncio only"):
        trio.run(auth.validate_session, who.cookie_value)
    with pytest.raises(ConfigurationError, match="asyncio only"):
        trio.run(auth.open)
    trio.run(auth.close)


def test_an_application_answers_500_and_logs_one_line(
    make_auth: MakeAuth, who: SignedIn, caplog: pytest.LogCaptureFixture
) -> None:
    app = guarded(make_auth(trusted_origins=()))
    app.router.lifespan_context = FastAPI().router.lifespan_context
    for application in (app, AuthMiddleware(app)):
        with TestClient(application, backend="trio") as client:
            for _ in range(3):
                response = client.get("/required", headers=who.headers)
                assert (response.status_code, response.json()) == (500, {"detail": "Authentication is not configured"})
            assert client.get("/required").status_code == 401
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["asyncio only" in warning for warning in warnings] == [True]


def test_a_test_that_anyio_runs(database: Database, who: SignedIn, tmp_path: Path) -> None:
    text = TESTS_OF_AN_APPLICATION.format(value=who.cookie_value, cookie=who.headers["Cookie"])
    (tmp_path / "test_application.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:cacheprovider", "-c", "/dev/null"]
    # As wide as the one line for each failure.
    settings = environment(database) | {"COLUMNS": "400"}
    run = subprocess.run(
        [*command, "-rA", tmp_path], env=settings, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    summary = run.stdout.splitlines()
    for name in ("a_lookup", "a_lifespan", "a_dependency"):
        assert f"PASSED test_application.py::test_{name}[asyncio]" in summary, run.stdout
        [failed] = (line for line in summary if line.startswith(f"FAILED test_application.py::test_{name}[trio]"))
        assert "asyncio only" in failed


def environment(database: Database) -> dict[str, str]:
    settings = {"DATABASE_URL": database.dsn, "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": BASE_URL}
    return without_our_settings() | settings


def test_hypercorn_on_trio_does_not_start(database: Database) -> None:
    port = free_port()
    command = [sys.executable, "-m", "hypercorn", "--worker-class=trio", f"--bind=127.0.0.1:{port}"]
    command.append("tests.support.programs.served:app")
    with (
        pytest.raises(ProcessFailed) as failed,
        ChildProcess("hypercorn", command, env=environment(database), cwd=ROOT) as process,
    ):
        process.wait_for_url(f"http://127.0.0.1:{port}/loop")
    assert "asyncio only" in str(failed.value)
