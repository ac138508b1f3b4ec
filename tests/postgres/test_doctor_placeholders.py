"""Nothing is judged by the placeholder that the diagnosis has in place of a wrong setting."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.cookies import SECRET, signed
from tests.postgres.conftest import Role
from tests.postgres.test_doctor import WITH_JWT, Tokens, World, assert_hides, good
from tests.support.databases import Database
from tests.support.doctor import BASE_URL, COOKIE, Diagnosis, Doctor, doctor

__all__ = ["doctor"]

SHORT = "hunter2-hunter2"
PLACEHOLDER_URL = "http://localhost:3000"


@pytest.fixture
def world(database: Database, make_role: Callable[..., Role], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Where no .env file is.
    monkeypatch.chdir(tmp_path)
    return World(database, database.sign_in(), make_role, tmp_path)


def options(value: str) -> list[list[str]]:
    return [
        ["--cookie", value],
        ["--cookie", f"{COOKIE}={value}"],
        ["--header", f"Cookie: {COOKIE}={value}"],
        ["--header", f"Authorization: Bearer {value}"],
    ]


def about_credential(diagnosis: Diagnosis) -> str:
    return json.dumps([each for each in diagnosis.findings if each["area"] in ("cookie", "header", "token")])


@pytest.mark.parametrize("secret", [None, "", SHORT, "ab", f"${{{SECRET}"[:20]])
def test_a_cookie_is_not_judged_by_a_missing_or_wrong_secret(doctor: Doctor, world: World, secret: str | None) -> None:
    variables = {**good(world), "BETTER_AUTH_SECRET": secret, "AUTH_MIDDLEWARE_CREDENTIALS": "cookie,bearer"}
    for arguments in options(world.cookie):
        diagnosis = doctor(variables, *arguments)
        shown = about_credential(diagnosis)
        assert "another secret" not in shown
        assert "fingerprint" not in shown
        assert diagnosis.find("fault", "who signed it is unknown: BETTER_AUTH_SECRET is missing or wrong")
        assert diagnosis.status == 1
        assert_hides(diagnosis, world)


@pytest.mark.parametrize("wrong", ['"{}"', "'{}'", "{}\n", '"{}', " {}"])
def test_a_cookie_shows_that_the_secret_is_right_without_what_is_around_it(
    doctor: Doctor, world: World, wrong: str
) -> None:
    variables = {**good(world), "BETTER_AUTH_SECRET": wrong.format(SECRET)}
    diagnosis = doctor(variables, "--cookie", world.cookie)
    found = diagnosis.find("fault", "it is signed with the value of BETTER_AUTH_SECRET without its ")
    assert found, diagnosis.faults
    assert "quotes" in found[0]["message"] or wrong.strip() != wrong
    assert "Set BETTER_AUTH_SECRET without them" in found[0]["fix"]
    assert_hides(diagnosis, world)


def test_a_cookie_shows_that_the_auth_server_has_the_same_wrong_secret(doctor: Doctor, world: World) -> None:
    variables = {**good(world), "BETTER_AUTH_SECRET": SHORT}
    diagnosis = doctor(variables, "--cookie", signed(world.ada.token, SHORT))
    assert diagnosis.find("fault", "signed with the value of BETTER_AUTH_SECRET as it is")
    quoted = {**good(world), "BETTER_AUTH_SECRET": None, "BETTER_AUTH_SECRETS": f'"2:{SECRET},1:{SECRET[::-1]}"'}
    versions = doctor(quoted, "--cookie", world.cookie)
    assert versions.find("fault", "signed with the value of BETTER_AUTH_SECRETS without its quotes"), versions.faults
    for each in (diagnosis, versions):
        assert_hides(each, world, SHORT, SECRET[::-1])


@pytest.mark.parametrize("url", [None, "auth.example.com", f"'{BASE_URL}'", "ftp://auth.example.com"])
def test_nothing_is_judged_by_a_missing_or_wrong_base_url(doctor: Doctor, world: World, url: str | None) -> None:
    variables = {**good(world), **WITH_JWT, "BETTER_AUTH_URL": url}
    [token] = Tokens(world).make(({}, {}))
    for arguments in (["--cookie", f"{COOKIE}={world.cookie}"], ["--cookie", f"my.session_token={world.cookie}"]):
        diagnosis = doctor(variables, *arguments)
        assert diagnosis.find("fault", "cookie's name is unknown: BETTER_AUTH_URL is missing or wrong")
        assert diagnosis.find("ok", "it is signed with the current secret")
        assert "the settings expect" not in about_credential(diagnosis)
    of_token = doctor(variables, "--token", token)
    assert of_token.find("fault", "its iss and aud cannot be compared: BETTER_AUTH_URL is missing or wrong")
    assert PLACEHOLDER_URL not in of_token.printed.replace("as in http://localhost:3000", "")
    named = doctor({**variables, "AUTH_MIDDLEWARE_SECURE_COOKIES": "1"}, "--cookie", f"{COOKIE}={world.cookie}")
    assert named.find("ok", f"the header has {COOKIE}")


def test_claims_are_compared_with_what_is_set_beside_a_wrong_base_url(doctor: Doctor, world: World) -> None:
    claims = {"AUTH_MIDDLEWARE_JWT_ISSUER": BASE_URL, "AUTH_MIDDLEWARE_JWT_AUDIENCE": "https://other.example"}
    [token] = Tokens(world).make(({}, {}))
    diagnosis = doctor({**good(world), **WITH_JWT, **claims, "BETTER_AUTH_URL": "nonsense"}, "--token", token)
    assert diagnosis.find("fault", "but jwt_audience is https://other.example")
    assert not diagnosis.find("fault", "cannot be compared")
