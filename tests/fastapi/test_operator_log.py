"""The log for operators: reasons at INFO, problems to fix at WARNING, and counters."""

import logging
from collections.abc import Mapping
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from starlette.testclient import TestClient

from auth_middleware import Auth, AuthUser
from dev.cookies import COOKIE_NAME, SECRET, SECURE_COOKIE_NAME, cookie, new_token
from dev.postgres import EmbeddedPostgres
from tests.support.applications import guarded
from tests.support.databases import Database, SignedIn, outage
from tests.support.instances import MakeAuth, unreachable_dsn
from tests.support.polling import wait_until

Lines = list[tuple[int, str]]


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "auth_middleware")


def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The lines that our logger logged for requests since the last call."""
    logged = [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "auth_middleware"]
    caplog.clear()
    of_start = ("opening", "lookups", "trusted_origins (BETTER_AUTH_TRUSTED_ORIGINS, FRONTEND_URL) contains")
    return [(level, line) for level, line in logged if not line.startswith(of_start)]


def share_a_token(database: Database, who: SignedIn) -> None:
    """Two rows with one token are not one valid session."""
    database.execute(f"""
        ALTER TABLE session DROP CONSTRAINT session_token_key;
        INSERT INTO session (id, user_id, token, expires_at)
            SELECT 'another', user_id, token, expires_at FROM session WHERE id = '{who.session_id}'
    """)


def counted(auth: Auth) -> dict[str, int]:
    return {name: count for name, count in auth.counters.items() if count}


async def test_two_deployments_can_compare_the_fingerprints_of_their_secrets(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture
) -> None:
    fingerprints: set[str] = set()
    for secret in (SECRET, SECRET, new_token()):
        auth = make_auth(secret=secret)
        await auth.open()
        assert any(auth.secret_fingerprint in record.getMessage() for record in caplog.records)
        caplog.clear()
        assert secret not in caplog.text
        fingerprints.add(auth.secret_fingerprint)
    assert len(fingerprints) == 2


def test_counters_start_at_zero_for_every_outcome(auth: Auth) -> None:
    assert isinstance(auth.counters, Mapping)
    assert set(auth.counters.values()) == {0}
    outcomes = ["no_cookie", "wrong_cookie_name", "origin", "bad_signature", "unknown_session", "unknown_user"]
    assert {*outcomes, "unreadable", "expired", "identified", "store_unavailable"} <= set(auth.counters)


@pytest.mark.parametrize(
    "reason", ["no_cookie", "bad_signature", "unknown_session", "unknown_user", "unreadable", "expired"]
)
def test_a_refusal_is_logged_and_counted_by_its_reason(
    auth: Auth, database: Database, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    who = database.sign_in()
    headers = who.headers
    match reason:
        case "no_cookie":
            headers = {"Cookie": "theme=dark"}
        case "bad_signature":
            headers = cookie(who.token, secret=new_token() * 2)
        case "unknown_session":
            headers = cookie(new_token())
        case "unknown_user":
            database.execute("ALTER TABLE session DROP CONSTRAINT session_user_id_fkey")
            database.execute('DELETE FROM "user"')
        case "unreadable":
            share_a_token(database, who)
        case _:
            headers = database.sign_in(expires_at="2020-01-01T00:00:00Z").headers
    with TestClient(guarded(auth)) as client:
        lines(caplog)
        assert client.get("/optional", headers=headers).json() is None
        assert client.get("/required", headers=headers).status_code == 401
    logged = lines(caplog)
    assert [line for line in logged if line[0] == logging.INFO] == [(logging.INFO, f"refused: {reason}")] * 2
    has_cause = reason in ("bad_signature", "unknown_session")
    assert len([line for line in logged if line[0] == logging.WARNING]) == has_cause
    assert counted(auth) == {reason: 2}


def test_a_user_is_counted_and_not_logged(auth: Auth, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    who = database.sign_in()
    with TestClient(guarded(auth)) as client:
        for path in ("/required", "/optional", "/session"):
            assert client.get(path, headers=who.headers).status_code == 200
    assert lines(caplog) == []
    assert counted(auth) == {"identified": 3}


def test_a_refused_origin_is_logged_with_the_setting_that_trusts_it(
    auth: Auth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    headers = database.sign_in().headers | {"Origin": "https://other.example"}
    with TestClient(guarded(auth)) as client:
        assert client.post("/required", headers=headers).status_code == 403
    [(_, reason), (level, warning)] = lines(caplog)
    assert (reason, level) == ("refused: origin", logging.WARNING)
    assert "https://other.example" in warning
    assert "BETTER_AUTH_TRUSTED_ORIGINS" in warning


def test_a_hostile_origin_cannot_inject_a_log_line(
    auth: Auth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    origin = "https://evil.example\x1b[31m" + "x" * 10_000
    headers = database.sign_in().headers | {"Origin": origin}
    with TestClient(guarded(auth)) as client:
        assert client.post("/required", headers=headers).status_code == 403
    for _, text in lines(caplog):
        assert text.isprintable()
        assert len(text) < 500


def test_a_flood_of_origins_is_a_few_warnings_and_a_count(
    auth: Auth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    headers = database.sign_in().headers
    with TestClient(guarded(auth)) as client:
        for number in range(250):
            response = client.post("/required", headers=headers | {"Origin": f"https://{number}.evil.example"})
            assert response.status_code == 403
    warnings = [text for level, text in lines(caplog) if level == logging.WARNING]
    assert len(warnings) < 10
    for number in range(3):
        assert any(f"//{number}.evil.example" in text for text in warnings)
    assert "100" in warnings[-1]
    assert "evil" not in warnings[-1]
    assert counted(auth) == {"origin": 250}


def test_one_origin_is_logged_once(auth: Auth, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    headers = database.sign_in().headers | {"Origin": "https://other.example"}
    with TestClient(guarded(auth)) as client:
        for method in ("POST", "PUT", "DELETE") * 40:
            assert client.request(method, "/required", headers=headers).status_code == 403
    assert [level for level, _ in lines(caplog) if level == logging.WARNING] == [logging.WARNING]


def test_made_up_host_names_are_one_warning_and_a_count(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    auth = make_auth(base_url="http://localhost:3000")
    with TestClient(guarded(auth)) as client:
        for number in range(1, 250):
            client.get("/optional", headers={"Host": f"127.0.0.{number}:8000"})
    [hint, count] = [text for level, text in lines(caplog) if level == logging.WARNING]
    assert "127.0.0.1 instead of localhost" in hint
    assert "100" in count


class Numbered(AuthUser):
    number: int


def test_rows_that_do_not_fit_a_model_do_not_flood_the_log(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    database.execute("""ALTER TABLE "user" ADD number TEXT""")
    fits, misfit = database.sign_in(), database.sign_in()
    database.execute(f"""UPDATE "user" SET number = '7' WHERE id = '{fits.user_id}'""")
    auth = make_auth(user_model=Numbered)
    app = FastAPI(lifespan=auth.lifespan)

    @app.get("/")
    async def root(user: Annotated[Numbered, Depends(auth.current_user)]) -> int:
        return user.number

    with TestClient(app) as client:
        lines(caplog)
        for _ in range(30):
            assert client.get("/", headers=misfit.headers).status_code == 503
            assert client.get("/", headers=fits.headers).json() == 7
    [warning] = [text for level, text in lines(caplog) if level == logging.WARNING]
    assert "number" in warning
    assert counted(auth) == {"identified": 30, "store_unavailable": 30}


def test_a_flapping_store_does_not_flood_the_log(
    make_auth: MakeAuth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    who, auth = database.sign_in(), make_auth(lookup_timeout_seconds=0.1)
    with TestClient(guarded(auth)) as client:
        client.get("/required", headers=who.headers)
        lines(caplog)
        for _ in range(20):
            with database.locked():
                assert client.get("/required", headers=who.headers).status_code == 503
            wait_until(lambda: client.get("/required", headers=who.headers).status_code == 200)
    warnings = [text for level, text in lines(caplog) if level == logging.WARNING]
    assert 2 <= len(warnings) < 10


def test_a_wrong_cookie_name_is_logged_once(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    auth = make_auth(base_url="https://auth.test")
    with TestClient(guarded(auth)) as client:
        for _ in range(3):
            assert client.get("/required", headers=cookie(new_token())).status_code == 401
    logged = lines(caplog)
    [warning] = [text for level, text in logged if level == logging.WARNING]
    assert COOKIE_NAME in warning
    assert SECURE_COOKIE_NAME not in warning
    assert "BETTER_AUTH_URL" in warning
    assert counted(auth) == {"wrong_cookie_name": 3}


def test_a_secret_that_verifies_no_cookie_is_logged_once(auth: Auth, caplog: pytest.LogCaptureFixture) -> None:
    forged = cookie(new_token(), secret=new_token() * 2)
    with TestClient(guarded(auth)) as client:
        for _ in range(50):
            client.get("/optional", headers=forged)
    [warning] = [text for level, text in lines(caplog) if level == logging.WARNING]
    assert "BETTER_AUTH_SECRET" in warning
    assert counted(auth) == {"bad_signature": 50}


def test_forged_cookies_among_valid_ones_are_not_reported_as_a_wrong_secret(
    auth: Auth, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    forged = cookie(new_token(), secret=new_token() * 2)
    with TestClient(guarded(auth)) as client:
        assert client.get("/required", headers=database.sign_in().headers).status_code == 200
        for _ in range(50):
            client.get("/optional", headers=forged)
    assert {level for level, _ in lines(caplog)} == {logging.INFO}


def test_an_outage_of_the_store_is_logged_at_its_start_and_end(
    auth: Auth, database: Database, postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    who = database.sign_in()
    with TestClient(guarded(auth)) as client:
        assert client.get("/required", headers=who.headers).status_code == 200
        for _ in range(2):
            with outage(postgres):
                for _ in range(3):
                    assert client.get("/optional", headers=who.headers).status_code == 503
            logged = lines(caplog)
            assert [level for level, _ in logged] == [logging.WARNING, logging.INFO, logging.INFO]
            assert "503" in logged[0][1]
            wait_until(lambda: client.get("/required", headers=who.headers).status_code == 200)
            assert [line for line in lines(caplog) if line[0] != logging.INFO] == [
                (logging.WARNING, "the session store responds again")
            ]
    assert counted(auth)["identified"] == 3
    assert counted(auth)["store_unavailable"] >= 6


def test_a_request_decided_without_the_store_does_not_log_its_recovery(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture
) -> None:
    auth = make_auth(database_url=unreachable_dsn())
    client = TestClient(guarded(auth))
    client.get("/required", headers=cookie(new_token()))
    lines(caplog)
    client.get("/required")
    assert lines(caplog) == [(logging.INFO, "refused: no_cookie")]
    assert counted(auth) == {"no_cookie": 1, "store_unavailable": 1}


def test_a_pattern_that_never_matches_is_logged_at_start(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    make_auth(trusted_origins=("https://page.test/",))
    [(level, warning)] = lines(caplog)
    assert level == logging.WARNING
    assert "https://page.test/" in warning
