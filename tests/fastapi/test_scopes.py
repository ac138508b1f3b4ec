"""What servers may put into a scope, and what they may not change."""

import shutil
import socket
from pathlib import Path
from typing import Any

import certifi
import pytest
from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import Auth, OriginRefused, StoreUnavailable
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


async def test_a_scope_copied_for_another_method_does_not_share_the_answer(
    make_auth: MakeAuth, database: Database
) -> None:
    for freshness in ("always", "3600"):
        auth = make_auth(database_url=database.dsn, freshness=freshness)
        scope = scope_of(database, "http", method="GET")
        # The first is asked of the store, the second may be ready, the third at hand.
        for _ in range(3):
            reading = dict(scope)
            assert await auth.current_user(HTTPConnection(reading)) is not None
            with pytest.raises(OriginRefused):
                await auth.current_user(HTTPConnection({**reading, "method": "POST"}))


async def test_what_is_wrong_at_first_use_is_a_503_from_a_cache_too(make_auth: MakeAuth, tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    shutil.copy(certifi.where(), root)
    dsn = f"{nowhere()}?sslmode=verify-full&sslrootcert={root}"
    for freshness in ("always", "3600", "live"):
        auth = make_auth(database_url=dsn, freshness=freshness)
        root.rename(tmp_path / "away.crt")
        cookie = f"{COOKIE_NAME}={signed(new_token())}".encode()
        request = HTTPConnection({"type": "http", "method": "GET", "headers": [(b"cookie", cookie)]})
        with pytest.raises(HTTPException) as refused:
            await auth.current_user(request)
        assert refused.value.status_code == 503
        (tmp_path / "away.crt").rename(root)


def test_a_subclass_whose_methods_would_not_be_asked_is_refused() -> None:
    with pytest.raises(TypeError, match="write a dependency"):
        type("Stricter", (Auth,), {})


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
