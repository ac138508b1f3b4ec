"""Credentials in the forms in which people have them, and the settings that make each one work."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest

from dev.cookies import signed
from tests.postgres.conftest import Role
from tests.postgres.test_doctor import OTHER_SECRET, WITH_JWT, Tokens, World, assert_hides, good
from tests.support.databases import Database
from tests.support.doctor import COOKIE, Doctor, doctor

__all__ = ["doctor"]


@pytest.fixture
def world(database: Database, make_role: Callable[..., Role], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # Where no .env file is.
    monkeypatch.chdir(tmp_path)
    return World(database, database.sign_in(), make_role, tmp_path)


@pytest.mark.parametrize("option", ["--cookie", "--header"])
@pytest.mark.parametrize(
    "form",
    [
        "-b '{}'",
        "--cookie '{}' \\",
        "-H 'Cookie: {}'",
        "--header $'cookie: {}'",
        "curl 'https://api.example.com/me' \\\n  -H 'accept: */*' \\\n  -b 'theme=dark; {}' \\\n  --compressed",
        'curl "https://api.example.com/me" -H "Cookie: {}"',
    ],
)
def test_a_curl_command_of_the_browser_is_read(doctor: Doctor, world: World, option: str, form: str) -> None:
    diagnosis = doctor(good(world), f"{option}={form.format(f'{COOKIE}={world.cookie}')}")
    assert diagnosis.status == 0, diagnosis.faults
    assert diagnosis.find("ok", f"it is the user {world.ada.user_id}")
    assert_hides(diagnosis, world)


def test_a_set_cookie_header_is_read_as_the_cookie_that_it_sets(doctor: Doctor, world: World) -> None:
    line = f"Set-Cookie: {COOKIE}={world.cookie}; Max-Age=604800; Path=/; HttpOnly; Secure; SameSite=Lax"
    diagnosis = doctor(good(world), "--header", line)
    assert diagnosis.status == 0, diagnosis.faults
    assert diagnosis.find("note", "Set-Cookie is in responses")
    assert_hides(diagnosis, world)


def test_the_settings_for_a_host_cookie_make_it_work(doctor: Doctor, world: World) -> None:
    for name in ("__Host-better-auth.session_token", "__Host-my_session_token"):
        pasted = f"{name}={world.cookie}"
        [finding, *_] = doctor(good(world), "--cookie", pasted).find("fault", "another prefix")
        fixes = [word for word in finding["fix"].replace(":", " ").split() if word.startswith("AUTH_MIDDLEWARE_")]
        settings = dict(fix.split("=", 1) for fix in fixes)
        assert settings["AUTH_MIDDLEWARE_COOKIE_NAME"] == name
        fixed = doctor({**good(world), **settings}, "--cookie", pasted)
        assert fixed.status == 0, fixed.faults


def test_a_session_token_is_judged_as_one_where_bearer_is_accepted(doctor: Doctor, world: World) -> None:
    variables = {**good(world), "AUTH_MIDDLEWARE_CREDENTIALS": "cookie,bearer"}
    both = {**variables, "AUTH_MIDDLEWARE_CREDENTIALS": "bearer,jwt"}
    Tokens(world).make(({}, {}))
    for given in (variables, both):
        for token in (world.cookie, unquote(world.cookie), f"{world.cookie}\n"):
            diagnosis = doctor(given, "--token", token)
            assert diagnosis.status == 0, diagnosis.faults
            assert diagnosis.find("ok", f"it is the user {world.ada.user_id}")
            assert_hides(diagnosis, world)
        other = doctor(given, "--token", signed(world.ada.token, OTHER_SECRET))
        assert other.find("fault", "it is signed with another secret")
        assert not other.find("fault", "JWT")
    assert doctor(variables, "--token", world.ada.token).find("fault", "it is the bare token")


def test_a_jwt_without_its_signature_is_no_session_token(doctor: Doctor, world: World) -> None:
    for given in (WITH_JWT, {"AUTH_MIDDLEWARE_CREDENTIALS": "bearer,jwt"}):
        diagnosis = doctor({**good(world), **given}, "--token", "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0")
        assert diagnosis.find("fault", "two of a JWT's three parts")
        assert not diagnosis.find("fault", "session token")


def test_an_expired_session_may_be_one_of_clocks_and_time_zones(doctor: Doctor, world: World) -> None:
    world.database.execute("UPDATE session SET expires_at = now() - interval '2 h'")
    [finding] = doctor(good(world), "--cookie", world.cookie).find("fault", "it has expired")
    assert "compare the clocks" in finding["fix"]
    assert "AUTH_MIDDLEWARE_DATABASE_TIME_ZONE" in finding["fix"]


def test_origins_in_json_are_shown_without_their_passwords(doctor: Doctor, world: World) -> None:
    origins = '["https://app.example.com", "https://user:Kx7Qz9Lm-secret@two.example.com"]'
    diagnosis = doctor({**good(world), "BETTER_AUTH_TRUSTED_ORIGINS": origins})
    values = {item["name"]: item["value"] for item in diagnosis.report["settings"]}
    assert values["trusted_origins"] == "https://app.example.com, https://two.example.com"
    assert "Kx7Qz9Lm" not in diagnosis.printed + diagnosis.text
    assert diagnosis.find("ok", "pages of https://app.example.com may send the cookie")


@pytest.mark.parametrize(
    "form",
    [
        '{{"cookies": [{{"name": "better-auth.session_token", "value": "{value}", "domain": "localhost"}}]}}',
        '[{{"name": "better-auth.session_token", "value": "{value}"}}]',
        "{value}{value}{value}=x; a=b",
        "a=b; {value}",
    ],
)
@pytest.mark.parametrize("option", ["--cookie", "--header"])
def test_no_part_of_a_token_is_shown(doctor: Doctor, world: World, option: str, form: str) -> None:
    diagnosis = doctor(good(world), option, "Cookie: " + form.format(value=unquote(world.cookie)))
    assert diagnosis.status == 1
    token, _, signature = unquote(world.cookie).partition(".")
    for secret in (token, signature):
        assert not any(secret[at : at + 8] in diagnosis.printed + diagnosis.text for at in range(len(secret) - 8))


@pytest.mark.parametrize("form", ["{token} # from the database", "token={token} x", "Bearer:{token}.{token} x"])
def test_no_token_is_shown_as_a_scheme(doctor: Doctor, world: World, form: str) -> None:
    token = world.ada.token
    diagnosis = doctor(good(world), "--header", "Authorization: " + form.format(token=token))
    assert diagnosis.find("fault", "only Bearer is read")
    assert not any(token[at : at + 8] in diagnosis.printed + diagnosis.text for at in range(len(token) - 8))


@pytest.mark.parametrize(
    "name", ["better-auth.state", "__Secure-better-auth.two_factor", "better-auth-passkey", "better-auth.oauth_popup"]
)
def test_another_signed_cookie_is_not_taken_for_the_session(doctor: Doctor, world: World, name: str) -> None:
    diagnosis = doctor(good(world), "--cookie", f"{name}={world.cookie}; theme=dark")
    assert diagnosis.find("fault", "no cookie has the name")
    assert "AUTH_MIDDLEWARE_COOKIE_NAME" not in diagnosis.printed


def test_a_name_of_unusual_characters_is_recognised(doctor: Doctor, world: World) -> None:
    settings = {**good(world), "AUTH_MIDDLEWARE_COOKIE_NAME": "app~sid", "AUTH_MIDDLEWARE_SECURE_COOKIES": "false"}
    diagnosis = doctor(settings, "--cookie", f"app~sid={world.cookie}; theme=dark")
    assert diagnosis.status == 0, diagnosis.faults


@pytest.mark.parametrize("name", ["sid", "app_session", "__Secure-better-auth.session-token", "myapp.session_token"])
def test_the_settings_for_another_name_make_it_work(doctor: Doctor, world: World, name: str) -> None:
    pasted = f"{name}={world.cookie}; theme=dark"
    diagnosis = doctor(good(world), "--cookie", pasted)
    [finding, *_] = diagnosis.find("fault", name)
    fixes = [word.rstrip(",") for word in finding["fix"].split() if word.startswith("AUTH_MIDDLEWARE_") and "=" in word]
    fixed = doctor({**good(world), **dict(fix.split("=", 1) for fix in fixes)}, "--cookie", pasted)
    assert fixed.status == 0, (finding["fix"], fixed.faults)


def test_an_empty_header_is_a_fault(doctor: Doctor, world: World) -> None:
    for text in ("", "   "):
        assert doctor(good(world), "--header", text).status == 1
    assert doctor(good(world), "--url", "").status == 1
    assert doctor(good(world), "--url", "http://[::1").status == 1


def test_attributes_and_local_origins_are_shown(doctor: Doctor, world: World) -> None:
    line = f"Set-Cookie: better-auth.session_token={world.cookie}; Path=/; HttpOnly; Secure; SameSite=Lax"
    origins = "http://localhost:3000,http://localhost:5173"
    diagnosis = doctor({**good(world), "BETTER_AUTH_TRUSTED_ORIGINS": origins}, "--cookie", line)
    assert "AUTH_MIDDLEWARE_SECURE_COOKIES=false" in diagnosis.printed
    assert "http://localhost:5173" in diagnosis.printed
    assert_hides(diagnosis, world)


@pytest.mark.parametrize("form", ["Bearer {}", "better-auth.session_token: {}", "#HttpOnly_localhost\tFALSE\t/\t{}"])
def test_what_is_around_a_value_is_not_taken_for_another_secret(doctor: Doctor, world: World, form: str) -> None:
    diagnosis = doctor(good(world), "--cookie", form.format(unquote(world.cookie)))
    assert diagnosis.status == 1
    assert not diagnosis.find("fault", "another secret")
    assert_hides(diagnosis, world)


def test_a_row_that_does_not_fit_the_models_is_not_called_accepted(doctor: Doctor, world: World) -> None:
    world.database.execute('ALTER TABLE "user" ALTER email DROP NOT NULL; UPDATE "user" SET email = NULL')
    diagnosis = doctor(good(world), "--cookie", world.cookie)
    assert diagnosis.find("warning", "write `email: str | None`")
    assert not diagnosis.find("ok", "accepts it")
