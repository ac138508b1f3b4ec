"""What the doctor says of an expired session, of a wrong `credentials`, of misspelt prefixes and of shared domains."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from auth_middleware.cli.doctor import credentials
from tests.postgres.conftest import Role
from tests.postgres.test_cookie_cache_key_table import JWKS
from tests.postgres.test_doctor import World, assert_hides, good
from tests.support.databases import Database
from tests.support.doctor import COOKIE, Doctor, doctor

__all__ = ["doctor"]


@pytest.fixture
def world(database: Database, make_role: Callable[..., Role], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Where no .env file is.
    monkeypatch.chdir(tmp_path)
    return World(database, database.sign_in(), make_role, tmp_path)


@pytest.mark.parametrize(
    ("ago", "shown"),
    [
        (timedelta(days=3, hours=5), r"3 days"),
        (timedelta(hours=5, minutes=10), r"5 h"),
        (timedelta(minutes=90), r"90 min"),
        (timedelta(seconds=20), r"\d\d s"),
    ],
)
def test_an_expired_session_shows_when_it_expired(doctor: Doctor, world: World, ago: timedelta, shown: str) -> None:
    expired_at = datetime.now(UTC).replace(microsecond=0) - ago
    world.database.execute(f"UPDATE session SET expires_at = '{expired_at.isoformat()}'")
    variables = {**good(world), "AUTH_MIDDLEWARE_CREDENTIALS": "cookie,bearer"}
    for arguments in (
        ["--cookie", world.cookie],
        ["--header", f"Cookie: {COOKIE}={world.cookie}"],
        ["--header", f"Authorization: Bearer {world.cookie}"],
    ):
        diagnosis = doctor(variables, *arguments)
        [finding] = diagnosis.find("fault", "it has expired")
        time = f"{expired_at:%Y-%m-%d %H:%M:%S} UTC"
        assert re.search(rf"its expires_at is {time}, {shown} ago", finding["message"]), finding
        assert "(expired)" in finding["message"]
        assert_hides(diagnosis, world)


@pytest.mark.parametrize("never", ["NULL", "'-infinity'", "'0044-03-15 BC'", "'0999-01-01'", "'1969-12-31 23:59 UTC'"])
def test_a_session_without_a_time_shows_none(doctor: Doctor, world: World, never: str) -> None:
    world.database.execute("ALTER TABLE session ALTER COLUMN expires_at DROP NOT NULL")
    world.database.execute(f"UPDATE session SET expires_at = {never}")
    [finding] = doctor(good(world), "--cookie", world.cookie).find("fault", "it has expired")
    assert "its expires_at is NULL or before 1970. The API" in finding["message"]
    assert " UTC" not in finding["message"]


def test_a_time_is_shown_with_four_digits_of_its_year() -> None:
    assert credentials._time(datetime(999, 1, 2, 3, 4, 5, 678, tzinfo=UTC)) == "0999-01-02 03:04:05 UTC"  # pyright: ignore[reportPrivateUsage]


WRONG_KINDS = ["cookies", "cookie;jwt", "session", "jwt bearer", "Bearer"]


@pytest.mark.parametrize("credentials", WRONG_KINDS)
def test_a_wrong_credentials_setting_is_a_fault_and_the_default_is_not_taken_for_a_choice(
    doctor: Doctor, world: World, credentials: str
) -> None:
    variables = {**good(world), "AUTH_MIDDLEWARE_CREDENTIALS": credentials}
    diagnosis = doctor(variables)
    assert diagnosis.status == 1
    [finding] = diagnosis.find("fault", "AUTH_MIDDLEWARE_CREDENTIALS")
    assert 'Use "cookie", "bearer" and "jwt"' in finding["fix"]
    [unknown] = diagnosis.find("note", "which credentials are accepted is unknown")
    assert "AUTH_MIDDLEWARE_CREDENTIALS is wrong" in unknown["message"]
    assert "does not list" not in diagnosis.printed


@pytest.mark.parametrize("credentials", WRONG_KINDS)
@pytest.mark.parametrize("kind", ["cookie", "session token", "JWT"])
def test_nothing_pasted_is_refused_by_the_default(doctor: Doctor, world: World, credentials: str, kind: str) -> None:
    variables = {**good(world), "AUTH_MIDDLEWARE_CREDENTIALS": credentials}
    arguments = {
        "cookie": ["--cookie", world.cookie],
        "session token": ["--header", f"Authorization: Bearer {world.cookie}"],
        "JWT": ["--token", "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJzdWIiOiIxIn0.c2ln"],
    }[kind]
    diagnosis = doctor(variables, *arguments)
    shown = json.dumps(diagnosis.findings)
    assert diagnosis.find("fault", "whether it is accepted is unknown: a setting is wrong")
    for claim in ("only accepted credential", "the accepted credentials are", "are not accepted as", "not listed"):
        assert claim not in shown
    assert_hides(diagnosis, world)


def test_a_misspelt_prefix_is_a_warning(doctor: Doctor, world: World) -> None:
    variables = {**good(world), "AUTH_MIDLEWARE_FRESHNESS": "live", "BETTERAUTH_TRUSTED_ORIGINS": "https://a.example"}
    diagnosis = doctor(variables)
    for name in ("AUTH_MIDLEWARE_FRESHNESS", "BETTERAUTH_TRUSTED_ORIGINS"):
        [finding] = diagnosis.find("warning", f"{name} is not a setting")
        right = "AUTH_MIDDLEWARE_FRESHNESS" if "FRESHNESS" in name else "BETTER_AUTH_TRUSTED_ORIGINS"
        assert finding["fix"] == f"Did you mean {right}?"
    assert diagnosis.status == 0


def test_a_variable_that_would_set_what_is_set_is_no_warning(doctor: Doctor, world: World) -> None:
    secret = good(world)["BETTER_AUTH_SECRET"]
    variables = {**good(world), "BETTER_AUTH_SECRET": None, "AUTH_SECRET": secret, "BETTERAUTH_SECRET": "x"}
    assert "BETTERAUTH_SECRET" not in doctor(variables).printed


@pytest.mark.parametrize("variable", ["BETTERAUTH_SECRET", "BETTER_AUT_SECRET"])
def test_a_misspelt_prefix_of_a_required_variable_is_said_in_its_fix(
    doctor: Doctor, world: World, variable: str
) -> None:
    [secret] = [value for name, value in good(world).items() if name == "BETTER_AUTH_SECRET"]
    diagnosis = doctor({**good(world), "BETTER_AUTH_SECRET": None, variable: secret})
    [finding] = diagnosis.find("fault", "no secret")
    assert f"{variable} is set: did you mean BETTER_AUTH_SECRET?" in finding["fix"]
    assert json.dumps(diagnosis.findings).count(variable) == 1


HOSTS = ["vercel.app", "github.io", "onrender.com", "fly.dev", "up.railway.app", "pages.dev", "herokuapp.com"]


@pytest.mark.parametrize("domain", [*HOSTS, "azurewebsites.net", "netlify.app"])
def test_a_name_of_a_hosting_service_cannot_share_its_cookie(doctor: Doctor, world: World, domain: str) -> None:
    diagnosis = doctor({**good(world), "BETTER_AUTH_URL": f"https://my-auth.{domain}"})
    [finding] = diagnosis.find("note", f"{domain} is a public suffix, so no cookie can cover my-auth.{domain} and")
    assert "domain of your own" in finding["fix"]
    assert "crossSubDomainCookies" not in diagnosis.printed


@pytest.mark.parametrize("host", ["auth.example.com", "auth.shop.co.uk", "shop.com.au", "auth.my-app.vercel.app"])
def test_names_under_a_domain_of_ones_own_can_share_it(doctor: Doctor, world: World, host: str) -> None:
    diagnosis = doctor({**good(world), "BETTER_AUTH_URL": f"https://{host}"})
    [finding] = diagnosis.find("note", f"sends it only to {host}")
    assert "crossSubDomainCookies" in finding["fix"]


def test_a_key_table_of_the_cookie_cache_is_read(doctor: Doctor, world: World) -> None:
    cache = {"AUTH_MIDDLEWARE_FRESHNESS": "cookie_cache", "AUTH_MIDDLEWARE_CACHE_STRATEGY": "jwks"}
    diagnosis = doctor({**good(world), **cache})
    [finding] = diagnosis.find("warning", "the cookie cache cannot be read")
    assert "no table jwks" in finding["message"]
    assert "AUTH_MIDDLEWARE_JWKS_TABLE" in finding["fix"]
    world.database.execute(JWKS)
    assert doctor({**good(world), **cache}).find("ok", "of the cookie cache were read from the jwks table")
    role = world.role('GRANT SELECT ON "user"', "GRANT SELECT ON session")
    [finding] = doctor({**good(world), **cache, "DATABASE_URL": role}).find("warning", "the cookie cache cannot be")
    assert "GRANT SELECT" in finding["fix"]
