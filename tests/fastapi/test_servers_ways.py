"""What servers may put into a scope, and what they may not change."""

import socket
from typing import Any

import pytest
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import OriginRefused, StoreUnavailable
from tests.support.cookies import COOKIE_NAME, new_token, signed
from tests.support.databases import Database
from tests.support.instances import MakeAuth, nowhere


def scope_of(database: Database, kind: str, **more: Any) -> dict[str, Any]:
    cookie = f"{COOKIE_NAME}={database.sign_in().cookie_value}".encode()
    return {"type": kind, "headers": [(b"cookie", cookie), (b"origin", b"https://evil.io")], **more}


async def nothing(*_: object) -> Any:
    return {"type": "websocket.connect"}


async def test_a_handshake_is_one_whatever_method_its_scope_names(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn)
    websocket = WebSocket(scope_of(database, "websocket", method="GET"), nothing, nothing)
    with pytest.raises(OriginRefused):
        await auth.validate_websocket(websocket)


async def test_header_pairs_may_be_lists(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn)
    scope = scope_of(database, "http", method="GET")
    scope["headers"] = [list(pair) for pair in scope["headers"]]
    assert await auth.optional_user(HTTPConnection(scope)) is not None


async def test_a_scope_copied_for_other_headers_does_not_share_the_answer(
    make_auth: MakeAuth, database: Database
) -> None:
    auth = make_auth(database_url=database.dsn)
    scope = scope_of(database, "http", method="GET")
    first = await auth.current_user(HTTPConnection(scope))
    other = dict(scope, headers=scope_of(database, "http")["headers"])
    assert (await auth.current_user(HTTPConnection(other))).id != first.id
    assert (await auth.current_user(HTTPConnection(scope))).id == first.id


async def test_a_sign_out_is_seen_in_a_websockets_loop(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn)
    scope = scope_of(database, "websocket")
    scope["headers"] = scope["headers"][:1]
    websocket = HTTPConnection(scope)
    assert (await auth.fresh_user(websocket)).id
    database.fetch("DELETE FROM session RETURNING id")
    with pytest.raises(Exception, match="401"):
        await auth.fresh_user(websocket)


async def test_a_value_that_is_no_utf8_is_nobodys(make_auth: MakeAuth) -> None:
    auth = make_auth(database_url=nowhere())
    assert await auth.validate_session("\ud800.x") is None


async def test_a_server_that_says_nothing_does_not_hold_the_start(make_auth: MakeAuth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        dsn = f"postgresql://u:p@127.0.0.1:{mute.getsockname()[1]}/d?sslmode=disable"
        auth = make_auth(database_url=dsn, lookup_timeout_seconds=0.2)
        await auth.open()
        assert auth.counters["store_unavailable"] == 1
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(signed(new_token()))
