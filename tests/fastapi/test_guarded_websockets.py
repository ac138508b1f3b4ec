"""A WebSocket ends with its session, its user, or their ban; and without that, nothing is different."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket, WebSocketDisconnect
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from auth_middleware import Auth, AuthMiddleware, get_auth, guard_websocket
from dev.cookies import cookie, new_token
from tests.support.databases import Database, SignedIn
from tests.support.guarded_sockets import Client, application
from tests.support.instances import MakeAuth, unreachable_dsn
from tests.support.live import AGELESS, migrate_live
from tests.support.polling import wait_until
from tests.support.servers import serving

SESSION_ENDED = (4001, "session ended")
# A re-check that no test waits for.
NEVER: dict[str, Any] = {"recheck_seconds": 3600}
SOON: dict[str, Any] = {"recheck_seconds": 0.2}

Serve = Callable[[ASGIApp], str]


@pytest.fixture
def serve() -> Generator[Serve]:
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


def sign_out(database: Database, who: SignedIn) -> None:
    database.execute(f"DELETE FROM session WHERE id = '{who.session_id}'")


def ban(database: Database, who: SignedIn) -> None:
    database.execute(f"""UPDATE "user" SET banned = true WHERE id = '{who.user_id}'""")


def delete_user(database: Database, who: SignedIn) -> None:
    database.execute(f"""DELETE FROM "user" WHERE id = '{who.user_id}'""")


def expire(database: Database, who: SignedIn) -> None:
    database.execute(f"UPDATE session SET expires_at = now() - interval '1 second' WHERE id = '{who.session_id}'")


def impersonate(database: Database, who: SignedIn) -> None:
    other = database.sign_in()
    database.execute(f"UPDATE session SET user_id = '{other.user_id}' WHERE id = '{who.session_id}'")


ENDS = [sign_out, ban, delete_user, expire, impersonate]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("freshness", ["always", "live", "3600"])
def test_a_socket_ends_with_its_session(
    database: Database, make_auth: MakeAuth, serve: Serve, *, freshness: str, end: Callable[[Database, SignedIn], None]
) -> None:
    database.execute('ALTER TABLE "user" ADD banned boolean, ADD ban_expires timestamptz')
    ends: list[str] = []
    if freshness == "live":
        asyncio.run(migrate_live(database.dsn))
        auth = make_auth(freshness="live", **AGELESS, **NEVER)
    else:
        auth = make_auth(freshness=freshness, **SOON)
    url = serve(application(auth, ends))
    who, other = database.sign_in(), database.sign_in()
    [socket, stays] = [Client(f"{url}/echo", each.headers) for each in (who, other)]
    socket.echo("hello")
    assert (socket.user_id, stays.user_id) == (who.user_id, other.user_id)
    end(database, who)
    assert socket.closed() == SESSION_ENDED
    wait_until(lambda: ends == ["CancelledError", "left"])
    stays.echo("still there")
    assert auth.guarded_connections == 1
    stays.leave()
    wait_until(lambda: auth.guarded_connections == 0)


def test_a_session_ends_when_it_expires_unless_it_was_refreshed(
    database: Database, make_auth: MakeAuth, serve: Serve
) -> None:
    url = serve(application(make_auth(**NEVER)))
    soon = datetime.now(UTC) + timedelta(seconds=4)
    expires, refreshed = database.sign_in(expires_at=soon), database.sign_in(expires_at=soon)
    [ends, stays] = [Client(f"{url}/echo", who.headers) for who in (expires, refreshed)]
    [(moved_to,)] = database.fetch(
        "UPDATE session SET expires_at = now() + interval '8 seconds' WHERE id = %s RETURNING expires_at",
        refreshed.session_id,
    )
    assert ends.closed() == SESSION_ENDED
    wait_until(lambda: datetime.now(UTC) > soon + timedelta(seconds=0.2))
    stays.echo("after the first expiry")
    assert stays.closed() == SESSION_ENDED
    assert datetime.now(UTC) > moved_to


def test_refusals_are_responses_before_accept(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    url = serve(application(make_auth()))
    who = database.sign_in()
    foreign = {**who.headers, "Origin": "http://evil.test"}
    for headers, status in (({}, 401), (cookie(new_token()), 401), (foreign, 403)):
        assert refusal(f"{url}/echo", headers) == status
    down = serve(application(make_auth(database_url=unreachable_dsn())))
    assert refusal(f"{down}/echo", who.headers) == 503
    assert Client(f"{url}/echo", {**who.headers, "Origin": "http://page.test"}).user_id == who.user_id


def refusal(url: str, headers: dict[str, str]) -> int:
    with pytest.raises(InvalidStatus) as refused:
        connect("ws" + url.removeprefix("http"), additional_headers=headers, proxy=None, legacy=True)
    return refused.value.response.status_code


def test_it_accepts_with_a_subprotocol_and_headers(auth: Auth, database: Database, serve: Serve) -> None:
    app = FastAPI()

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        async with auth.guard_websocket(websocket, subprotocol="chat", headers=[(b"x-answer", b"42")]) as identity:
            await websocket.send_json(identity.session.user_id if identity.session else None)

    who = database.sign_in()
    url = "ws" + serve(app).removeprefix("http")
    with connect(url, additional_headers=who.headers, subprotocols=["chat"], proxy=None) as socket:  # type: ignore[list-item]
        assert (socket.subprotocol, json.loads(socket.recv())) == ("chat", who.user_id)
        assert socket.response is not None
        assert socket.response.headers["x-answer"] == "42"


def test_a_socket_that_was_accepted_before_is_not_accepted_again(
    database: Database, make_auth: MakeAuth, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    auth = make_auth(**SOON)
    app = FastAPI()

    @app.websocket("/")
    async def route(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        async with auth.guard_websocket(websocket) as identity:
            await websocket.send_json(identity.user.id)
            await websocket.receive_text()

    url = serve(app)
    who, gone, foreign = database.sign_in(), database.sign_in(), database.sign_in()
    headers = [who.headers, gone.headers, {**foreign.headers, "Origin": "http://evil.test"}]
    sockets = [connect("ws" + url[4:], additional_headers=each, proxy=None, legacy=True) for each in headers]
    sign_out(database, gone)
    for socket in sockets:
        socket.send("now")
    assert json.loads(sockets[0].recv()) == who.user_id
    sign_out(database, who)
    assert [closed(socket) for socket in sockets] == [
        SESSION_ENDED,
        (1008, "Invalid or expired session"),
        (1008, "Origin not allowed"),
    ]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def closed(socket: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as ended:
        socket.recv(timeout=30)
    assert ended.value.rcvd is not None
    return ended.value.rcvd.code, ended.value.rcvd.reason


def test_exceptions_of_the_body_and_clients_that_leave_are_as_without_the_guard(
    database: Database, auth: Auth, serve: Serve
) -> None:
    seen: list[object] = []
    app = FastAPI()

    @app.websocket("/{how}")
    async def route(websocket: WebSocket, how: str) -> None:
        try:
            async with auth.guard_websocket(websocket):
                if how == "raise":
                    raise LookupError(how)
                if how == "runtime-error":
                    raise RuntimeError("of the body's own")
                if how == "close":
                    await websocket.close(4999, "my own")
                    return
                await websocket.receive_text()
        except (LookupError, RuntimeError, WebSocketDisconnect) as error:
            seen.append(repr(error))
        finally:
            seen.append(how)

    url = "ws" + serve(app).removeprefix("http")
    who = database.sign_in()
    for how in ("raise", "runtime-error", "close", "leave"):
        socket = connect(f"{url}/{how}", additional_headers=who.headers, proxy=None, legacy=True)
        if how == "leave":
            socket.close()
        wait_until(lambda how=how: how in seen)
        if how == "close":
            assert closed(socket) == (4999, "my own")
    assert seen[:5] == [
        "LookupError('raise')",
        "raise",
        "RuntimeError('of the body's own')".replace("'of the body's own'", '"of the body\'s own"'),
        "runtime-error",
        "close",
    ]
    assert "WebSocketDisconnect" in str(seen[5])
    assert auth.guarded_connections == 0


def test_an_application_disconnects_a_user_or_a_session(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    auth = make_auth(**NEVER)
    url = serve(application(auth))
    who, other = database.sign_in(), database.sign_in()
    [first, second, third] = [Client(f"{url}/echo", each.headers) for each in (who, who, other)]
    wait_until(lambda: auth.guarded_connections == 3)
    assert auth.disconnect(user_id=who.user_id) == 2
    assert auth.disconnect(user_id=who.user_id) == 0
    assert first.closed() == second.closed() == SESSION_ENDED
    third.echo("still there")
    assert auth.disconnect(session_id="none") == 0
    assert auth.disconnect(session_id=other.session_id) == 1
    assert third.closed() == SESSION_ENDED
    for arguments in ({}, {"user_id": "a", "session_id": "b"}):
        with pytest.raises(TypeError, match="either user_id or session_id"):
            auth.disconnect(**arguments)


def test_sockets_of_several_event_loops(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    auth = make_auth(**SOON)
    who, other = database.sign_in(), database.sign_in()
    urls = [serve(application(auth)) for _ in range(3)]
    ends = [Client(f"{url}/echo", who.headers) for url in urls]
    stay = [Client(f"{url}/echo", other.headers) for url in urls]
    assert auth.guarded_connections == 6
    sign_out(database, who)
    assert [socket.closed() for socket in ends] == [SESSION_ENDED] * 3
    for socket in stay:
        socket.echo("still there")
    assert auth.disconnect(user_id=other.user_id) == 3
    assert [socket.closed() for socket in stay] == [SESSION_ENDED] * 3


def test_a_guard_behind_the_middleware_shares_its_lookup(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    auth = make_auth(**NEVER)
    app = application(auth)
    app.add_middleware(AuthMiddleware, auth=auth)
    who = database.sign_in()
    Client(f"{serve(app)}/echo", who.headers).echo("hello")
    assert auth.counters["identified"] == 1


def test_as_a_dependency_and_in_starlette(database: Database, make_auth: MakeAuth, serve: Serve) -> None:
    auth = make_auth(**SOON)

    async def route(websocket: WebSocket) -> None:
        async with guard_websocket(websocket) as identity:
            await websocket.send_json(identity.user.id)
            async for text in websocket.iter_text():
                await websocket.send_text(text)

    starlette = Starlette(routes=[WebSocketRoute("/", route)], lifespan=auth.lifespan)
    outer = FastAPI()
    outer.dependency_overrides[get_auth] = lambda: auth
    outer.mount("/starlette", starlette)

    async def guarded(websocket: WebSocket) -> AsyncGenerator[Any]:
        async with guard_websocket(websocket) as identity:
            yield identity

    @outer.websocket("/dependency")
    async def dependent(websocket: WebSocket, identity: Any = Depends(guarded)) -> None:  # noqa: B008
        await websocket.send_json(identity.user.id)
        await websocket.receive_text()

    url = serve(outer)
    for path in ("/starlette/", "/dependency"):
        who = database.sign_in()
        socket = Client(url + path, who.headers)
        assert socket.user_id == who.user_id
        sign_out(database, who)
        assert socket.closed() == SESSION_ENDED
    assert refusal(f"{url}/dependency", {}) == 401
    assert refusal(f"{url}/starlette/", {}) == 401
