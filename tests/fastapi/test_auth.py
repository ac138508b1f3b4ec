"""The public names of `Auth`, their documentation, and errors for wrong arguments."""

import inspect
import pydoc
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import HTTPConnection

import auth_middleware
from auth_middleware import Auth, get_session_from_cookie, validate_session
from tests.support.databases import Database
from tests.support.instances import MakeAuth, unreachable_dsn

PUBLIC = [
    "cache_size",
    "close",
    "cookie_name",
    "counters",
    "current_session",
    "current_user",
    "disconnect",
    "fresh_user",
    "guard_request",
    "guard_websocket",
    "guarded_connections",
    "lifespan",
    "open",
    "optional_user",
    "secret_fingerprint",
    "session_cookie",
    "token_claims",
    "validate_session",
    "validate_websocket",
]


def request_of(headers: dict[str, str]) -> HTTPConnection:
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "method": "GET", "headers": pairs})


def test_an_instance_has_exactly_these_public_names(auth: Auth) -> None:
    assert [name for name in dir(auth) if not name.startswith("_")] == PUBLIC
    assert Auth.__mro__[1].__module__ == "typing"


@pytest.mark.parametrize("name", PUBLIC)
def test_help_describes_each_name(auth: Auth, name: str) -> None:
    assert inspect.getdoc(getattr(Auth, name))
    assert name in pydoc.plain(pydoc.render_doc(Auth))
    if callable(getattr(Auth, name)):
        assert getattr(auth, name).__doc__ == getattr(Auth, name).__doc__


def test_each_public_name_has_a_docstring() -> None:
    for name in auth_middleware.__all__:
        public = getattr(auth_middleware, name)
        assert isinstance(public, str) or inspect.getdoc(public), name


async def test_a_coroutine_instead_of_a_cookie_value_is_reported_as_a_missing_await(
    make_auth: MakeAuth, monkeypatch: pytest.MonkeyPatch, database: Database
) -> None:
    auth = make_auth()
    monkeypatch.setattr("auth_middleware.dependencies.get_auth", lambda: auth)
    request = request_of(database.sign_in().headers)
    for validate in (validate_session, auth.validate_session):
        not_awaited: Any = get_session_from_cookie(request)
        with pytest.raises(TypeError, match=r"await get_session_from_cookie\(request\)"):
            await validate(not_awaited)
        # Otherwise Python would warn that the coroutine was never awaited.
        assert inspect.getcoroutinestate(not_awaited) == inspect.CORO_CLOSED
        assert await validate(await get_session_from_cookie(request)) is not None


WRONG: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"token.signature",
    "int": lambda: 7,
    "dict": dict,
    "HTTPConnection": lambda: request_of({}),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_another_type_instead_of_a_cookie_value_is_reported(make_auth: MakeAuth, kind: str) -> None:
    with pytest.raises(TypeError, match=f"a str or None, not {kind}"):
        await make_auth(database_url=unreachable_dsn()).validate_session(WRONG[kind]())
