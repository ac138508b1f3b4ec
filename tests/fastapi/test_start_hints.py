"""At start: misspelt variables, a file that is not read, and trusted origins without CORS."""

import functools
import logging
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.testclient import TestClient

from auth_middleware import Auth, AuthMiddleware, AuthSettings, ConfigurationError, get_auth
from auth_middleware.environment import unknown_variables
from dev.cookies import SECRET
from tests.support.applications import without_cors
from tests.support.instances import MakeAuth, unreachable_dsn

REQUIRED = {"DATABASE_URL": "postgresql://app@db/app", "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": "http://a.test"}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("AUTH_MIDDLEWARE_COOKIE_PREFX", "AUTH_MIDDLEWARE_COOKIE_PREFIX"),
        ("AUTH_MIDDLEWARE_FRESHNES", "AUTH_MIDDLEWARE_FRESHNESS"),
        ("AUTH_MIDDLEWARE_POOLSIZE", "AUTH_MIDDLEWARE_POOL_SIZE"),
        ("AUTH_MIDDLEWARE_CREDENTIAL", "AUTH_MIDDLEWARE_CREDENTIALS"),
        ("auth_middleware_lookup_timeout", "AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS"),
        ("AUTH_MIDDLEWARE_SECERT", "BETTER_AUTH_SECRET"),
        ("AUTH_MIDDLEWARE_DATABASE_URI", "DATABASE_URL"),
        ("AUTH_MIDDLEWARE_BASEURL", "BETTER_AUTH_URL"),
        ("AUTH_MIDDLEWARE_TRUSTED_ORIGIN", "BETTER_AUTH_TRUSTED_ORIGINS"),
        ("AUTH_MIDDLEWARE_WHATEVER_ELSE", "docs/settings.md"),
    ],
)
def test_a_variable_that_sets_nothing_is_one_warning_with_the_name_that_was_meant(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str, meant: str
) -> None:
    for name, value in REQUIRED.items():
        environment.setenv(name, value)
    environment.setenv(variable, "hunter2")
    get_auth()
    [line] = warnings(caplog)
    assert line.startswith(variable.upper())
    assert meant in line
    assert "hunter2" not in line


def test_variables_that_set_something_and_those_of_others_are_no_warning() -> None:
    ours = [*(f"AUTH_MIDDLEWARE_{name.rstrip('_').upper()}" for name in AuthSettings.model_fields)]
    links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR", "NAME"]
    others = [*(f"AUTH_MIDDLEWARE_{name}" for name in links), "DATABASE_URL", "MY_AUTH_MIDDLEWARE_X", "PATH"]
    assert unknown_variables(dict.fromkeys([*ours, *others], "x")) == []


def test_a_name_that_nobody_can_read_is_not_shown() -> None:
    [line] = unknown_variables({"AUTH_MIDDLEWARE_\x1b[31m\n" + "X" * 1000: "x"})
    assert line.isprintable()
    assert len(line) < 200


def error_without(environment: pytest.MonkeyPatch, missing: str) -> str:
    for name, value in REQUIRED.items():
        if name != missing:
            environment.setenv(name, value)
    with pytest.raises(ConfigurationError) as caught:
        Auth(AuthSettings())
    return str(caught.value)


@pytest.mark.parametrize("missing", REQUIRED)
@pytest.mark.parametrize("form", ["{}={}", "export {}='{}'", '# comment\r\n {} = "{}" # why\r\n', "\ufeff{}={}"])
def test_a_file_that_is_not_read_is_named_where_a_setting_is_missing(
    environment: pytest.MonkeyPatch, tmp_path: Path, missing: str, form: str
) -> None:
    environment.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(form.format(missing, "hunter2-hunter2").encode())
    message = error_without(environment, missing)
    assert f".env in the working directory contains {missing}" in message
    assert '_env_file=".env"' in message
    assert "hunter2" not in message


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_file_without_the_setting_is_not_named(environment: pytest.MonkeyPatch, tmp_path: Path, missing: str) -> None:
    environment.chdir(tmp_path)
    text = f"#{missing}=x\nMY_{missing}=x\n{missing}_X=x\n{missing}=\n{missing}= # nothing\nOTHER={missing}\n"
    (tmp_path / ".env").write_text(text)
    assert ".env" not in error_without(environment, missing)


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, link_to_nothing])
def test_what_is_no_file_is_not_read(
    environment: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[Path], object]
) -> None:
    environment.chdir(tmp_path)
    make(tmp_path / ".env")
    assert ".env" not in error_without(environment, "BETTER_AUTH_SECRET")


@pytest.mark.parametrize(
    ("missing", "misspelt"),
    [
        ("DATABASE_URL", "DATABASE_URI"),
        ("DATABASE_URL", "DATABSE_URL"),
        ("BETTER_AUTH_SECRET", "BETTER_AUTH_SECERT"),
        ("BETTER_AUTH_URL", "BETTER_AUTH_BASE_URL"),
        ("BETTER_AUTH_URL", "AUTH_MIDDLEWARE_BASEURL"),
        ("BETTER_AUTH_SECRET", "AUTH_MIDDLEWARE_SECRETE"),
    ],
)
def test_a_misspelt_variable_is_named_where_a_setting_is_missing(
    environment: pytest.MonkeyPatch, tmp_path: Path, missing: str, misspelt: str
) -> None:
    environment.chdir(tmp_path)
    environment.setenv(misspelt, "hunter2")
    message = error_without(environment, missing)
    assert f"{misspelt} is" in message
    assert missing in message.partition(misspelt)[2]
    assert "hunter2" not in message


@pytest.mark.parametrize("value", [" {}", "{}\n", "{}\r\n", '"{}"', "'{}", "\ufeff{}", "{}\t", "\u201c{}\u201d"])
@pytest.mark.parametrize("variable", REQUIRED)
def test_quotes_and_white_space_around_a_secret_or_a_url_are_named(
    environment: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    environment.setenv(variable, value.format(REQUIRED[variable]))
    message = error_without(environment, variable)
    assert message.startswith(variable)
    assert "white space" in message or "quote" in message
    assert SECRET not in message


class TheirCors:
    """A middleware of somebody else, whose parameters are unknown."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, *args: Any) -> None:
        await self.app(*args)


def plain(app: FastAPI) -> None:
    app.add_middleware(GZipMiddleware)


def without_credentials(app: FastAPI) -> None:
    app.add_middleware(CORSMiddleware, allow_origins=["http://page.test"])


def by_partial(app: FastAPI) -> None:
    app.add_middleware(functools.partial(CORSMiddleware, allow_origins=["http://page.test"], allow_credentials=True))


def with_credentials(app: FastAPI) -> None:
    app.add_middleware(AuthMiddleware)
    app.add_middleware(CORSMiddleware, allow_origins=["http://page.test"], allow_credentials=True)


def by_position(app: FastAPI) -> None:
    app.add_middleware(CORSMiddleware, ["http://page.test"], ["GET"], [], True)


def of_somebody_else(app: FastAPI) -> None:
    app.add_middleware(TheirCors)


@pytest.mark.parametrize(
    ("prepare", "part"),
    [
        (plain, "no CORSMiddleware"),
        (without_credentials, "allow_credentials=True"),
        (with_credentials, None),
        (by_position, None),
        (by_partial, None),
        (of_somebody_else, None),
    ],
)
@pytest.mark.parametrize("has_lifespan", [True, False])
def test_trusted_origins_without_cors_are_one_warning(
    make_auth: MakeAuth,
    caplog: pytest.LogCaptureFixture,
    prepare: Callable[[FastAPI], None],
    part: str | None,
    has_lifespan: bool,
) -> None:
    auth = make_auth()
    app = without_cors(auth)
    prepare(app)
    if not has_lifespan:
        client = TestClient(app)
        for _ in range(3):
            client.get("/optional")
    else:
        with TestClient(app) as client:
            assert len(warnings(caplog)) == (part is not None)
            client.get("/optional")
    found = warnings(caplog)
    assert len(found) == (part is not None)
    for line in found:
        assert part is not None
        assert part in line
        assert "http://page.test" in line


def test_cors_of_the_application_that_it_is_mounted_in_counts(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture
) -> None:
    for credentials in (False, True):
        auth = make_auth()
        outer = FastAPI()
        outer.add_middleware(CORSMiddleware, allow_origins=["http://page.test"], allow_credentials=credentials)
        outer.mount("/inner", without_cors(auth))
        TestClient(outer).get("/inner/optional")
        assert len(warnings(caplog)) == (not credentials)
        caplog.clear()


@pytest.mark.parametrize("settings", [{"trusted_origins": ()}, {"credentials": "bearer"}])
def test_without_trusted_origins_or_cookies_no_cors_is_needed(
    make_auth: MakeAuth, caplog: pytest.LogCaptureFixture, settings: dict[str, Any]
) -> None:
    with TestClient(without_cors(make_auth(**settings))) as client:
        client.get("/optional")
    assert not any("CORSMiddleware" in line for line in warnings(caplog))


def test_the_lifespan_accepts_any_application(make_auth: MakeAuth, caplog: pytest.LogCaptureFixture) -> None:
    auth = make_auth(database_url=unreachable_dsn())

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncGenerator[None]:
        async with auth.lifespan(None), auth.lifespan(object()):
            yield

    with TestClient(Starlette(lifespan=lifespan)):
        pass
    assert not any("CORS" in line for line in warnings(caplog))
