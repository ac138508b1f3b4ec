"""ASGI scopes of servers and of middleware that changes them."""

import base64
import gc
import shutil
import socket
import weakref
from pathlib import Path
from typing import Any

import certifi
import pytest
from fastapi import HTTPException
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from auth_middleware import Auth, AuthUser, OriginRefused, StoreUnavailable
from dev.cookies import COOKIE_NAME, new_token, signed
from dev.postgres_proxies import counting_proxy
from tests.support.databases import Database
from tests.support.instances import MakeAuth, unreachable_dsn


def scope_of(database: Database, kind: str, **more: Any) -> dict[str, Any]:
    cookie = f"{COOKIE_NAME}={database.sign_in().cookie_value}".encode()
    return {"type": kind, "headers": [(b"cookie", cookie), (b"origin", b"https://evil.io")], **more}


async def nothing(*_: object) -> Any:
    return {"type": "websocket.connect"}


async def test_a_websocket_scope_is_a_handshake_whatever_its_method(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn)
    websocket = WebSocket(scope_of(database, "websocket", method="GET"), nothing, nothing)
    with pytest.raises(OriginRefused):
        await auth.validate_websocket(websocket)


async def test_header_pairs_may_be_lists(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn)
    scope = scope_of(database, "http", method="GET")
    scope["headers"] = [list(pair) for pair in scope["headers"]]
    assert await auth.optional_user(HTTPConnection(scope)) is not None


async def test_a_scope_copied_with_other_headers_does_not_share_the_identity(
    make_auth: MakeAuth, database: Database
) -> None:
    auth = make_auth(database_url=database.dsn)
    scope = scope_of(database, "http", method="GET")
    first = await auth.current_user(HTTPConnection(scope))
    other = dict(scope, headers=scope_of(database, "http")["headers"])
    assert (await auth.current_user(HTTPConnection(other))).id != first.id
    assert (await auth.current_user(HTTPConnection(scope))).id == first.id


async def test_a_scope_copied_with_another_method_does_not_share_the_identity(
    make_auth: MakeAuth, database: Database
) -> None:
    for freshness in ("always", "3600"):
        auth = make_auth(database_url=database.dsn, freshness=freshness)
        scope = scope_of(database, "http", method="GET")
        # The first queries the store. The second may find a cached object, and the third a finished request state.
        for _ in range(3):
            reading = dict(scope)
            assert await auth.current_user(HTTPConnection(reading)) is not None
            with pytest.raises(OriginRefused):
                await auth.current_user(HTTPConnection({**reading, "method": "POST"}))


async def test_an_error_at_first_use_is_503_with_a_cache_too(make_auth: MakeAuth, tmp_path: Path) -> None:
    root = tmp_path / "root.crt"
    shutil.copy(certifi.where(), root)
    dsn = f"{unreachable_dsn()}?sslmode=verify-full&sslrootcert={root}"
    for freshness in ("always", "3600", "live"):
        auth = make_auth(database_url=dsn, freshness=freshness)
        root.rename(tmp_path / "away.crt")
        cookie = f"{COOKIE_NAME}={signed(new_token())}".encode()
        request = HTTPConnection({"type": "http", "method": "GET", "headers": [(b"cookie", cookie)]})
        with pytest.raises(HTTPException) as refused:
            await auth.current_user(request)
        assert refused.value.status_code == 503
        (tmp_path / "away.crt").rename(root)


def test_a_subclass_is_refused_because_its_methods_would_not_be_called() -> None:
    with pytest.raises(TypeError, match="write a dependency"):
        type("Stricter", (Auth,), {})


async def test_a_sign_out_is_noticed_in_a_websockets_loop(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn)
    scope = scope_of(database, "websocket")
    scope["headers"] = scope["headers"][:1]
    websocket = HTTPConnection(scope)
    assert (await auth.fresh_user(websocket)).id
    database.fetch("DELETE FROM session RETURNING id")
    with pytest.raises(Exception, match="401"):
        await auth.fresh_user(websocket)


async def test_a_value_that_is_not_utf8_is_refused(make_auth: MakeAuth) -> None:
    auth = make_auth(database_url=unreachable_dsn())
    assert await auth.validate_session("\ud800.x") is None


async def test_a_silent_server_does_not_block_the_start(make_auth: MakeAuth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        dsn = f"postgresql://u:p@127.0.0.1:{mute.getsockname()[1]}/d?sslmode=disable"
        auth = make_auth(database_url=dsn, lookup_timeout_seconds=0.2)
        await auth.open()
        assert auth.counters["store_unavailable"] == 1
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(signed(new_token()))


def good_and_bad_changes(database: Database) -> dict[str, tuple[bytes, bytes]]:
    """Headers that change the sender of a request: another user, no user, and a foreign page."""
    return {
        "another person": scope_of(database, "http")["headers"][0],
        "nobody": (b"cookie", b"theme=dark"),
        "no header": (b"x-nothing", b""),
        "forged": (b"cookie", f"{COOKIE_NAME}={signed(new_token())}".encode()[:-4] + b"AAAA"),
    }


@pytest.mark.parametrize("freshness", ["always", "3600"])
@pytest.mark.parametrize("change", ["another person", "nobody", "no header", "forged"])
async def test_headers_rewritten_in_place_are_read_again(
    make_auth: MakeAuth, database: Database, freshness: str, change: str
) -> None:
    auth = make_auth(database_url=database.dsn, freshness=freshness)
    for _ in range(3):
        scope = scope_of(database, "http", method="GET")
        before = await auth.optional_user(HTTPConnection(scope))
        assert before
        # Middleware that impersonates users or removes a cookie does this.
        scope["headers"][0] = good_and_bad_changes(database)[change]
        after = await auth.optional_user(HTTPConnection(scope))
        assert (after and after.id) != before.id
        assert (after is not None) == (change == "another person")


async def test_an_origin_added_in_place_is_checked(make_auth: MakeAuth, database: Database) -> None:
    auth = make_auth(database_url=database.dsn, freshness="3600")
    scope = scope_of(database, "http", method="POST")
    origin = scope["headers"].pop()
    assert await auth.current_user(HTTPConnection(scope))
    scope["headers"].append(origin)
    with pytest.raises(OriginRefused):
        await auth.current_user(HTTPConnection(scope))
    scope["headers"].append((b"origin", b"http://page.test"))
    with pytest.raises(OriginRefused):
        await auth.current_user(HTTPConnection(scope))
    del scope["headers"][1:]
    assert await auth.current_user(HTTPConnection(scope))


async def test_headers_that_do_not_identify_the_sender_may_change(make_auth: MakeAuth, database: Database) -> None:
    with counting_proxy(database.dsn) as proxy:
        auth = make_auth(database_url=proxy.dsn)
        scope = scope_of(database, "http", method="GET")
        first = await auth.current_user(HTTPConnection(scope))
        before = proxy.statements
        scope["headers"] = [(bytes(name), bytes(bytearray(value))) for name, value in scope["headers"]]
        scope["headers"].insert(0, (b"x-request-id", b"1"))
        assert await auth.current_user(HTTPConnection(scope)) == first
        scope["headers"].reverse()
        assert (await auth.current_user(HTTPConnection({**scope, "type": "http"}))).id == first.id
        assert proxy.statements - before <= 1, "the order of two names may matter, an unrelated header never does"
        await auth.close()


class Secretive(AuthUser):
    token_of_device: str = "unset"


@pytest.mark.parametrize("freshness", ["always", "3600"])
async def test_the_state_in_a_scope_reveals_no_credential_and_no_user(
    make_auth: MakeAuth, database: Database, freshness: str
) -> None:
    database.execute("""ALTER TABLE "user" ADD token_of_device text NOT NULL DEFAULT 'device-secret'""")
    auth = make_auth(freshness=freshness, user_model=Secretive)
    who = database.sign_in()
    for headers in ({"cookie": who.headers["Cookie"]}, {"cookie": f"{COOKIE_NAME}={signed('x', new_token())}"}):
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "GET", "headers": pairs}
        for _ in range(3):
            await auth.optional_user(HTTPConnection(scope))
        ours = {name: value for name, value in scope.items() if name not in ("type", "method", "headers")}
        assert ours
        for text in (repr(ours), str(ours), f"{list(ours.values())}"):
            for private in (who.token, who.cookie_value, who.email, "device-secret", COOKIE_NAME):
                assert private not in text


async def test_a_failed_lookup_leaves_nothing_in_memory(make_auth: MakeAuth) -> None:
    """There must be no reference cycle of the exception, the frames in its traceback and the request's state."""

    class Marked(dict[str, Any]):
        """A scope that supports weak references."""

    auth = make_auth(database_url=unreachable_dsn())
    scopes: list[weakref.ref[Marked]] = []
    for _ in range(5):
        cookie = f"{COOKIE_NAME}={signed(new_token())}".encode()
        scope = Marked(type="http", method="GET", headers=[(b"cookie", cookie)])
        with pytest.raises(StoreUnavailable):
            await auth.current_user(HTTPConnection(scope))
        scopes.append(weakref.ref(scope))
        del scope
    gc.collect()
    assert [each() for each in scopes] == [None] * 5


@pytest.mark.parametrize("credentials", ["cookie", "cookie,bearer"])
async def test_a_token_among_the_protocols_is_never_left_to_echo(
    make_auth: MakeAuth, database: Database, credentials: str
) -> None:
    """An application that accepts with the first offered protocol would write the token into logs."""
    auth = make_auth(database_url=database.dsn, credentials=credentials)
    token = "base64url.bearer.authorization.better-auth." + base64.urlsafe_b64encode(b"a.b.c").decode().rstrip("=")
    scope = {
        "type": "websocket",
        "headers": [(b"sec-websocket-protocol", f"{token}, chat".encode())],
        "subprotocols": [token, "chat"],
    }
    assert await auth.optional_user(HTTPConnection(scope)) is None
    assert scope["subprotocols"] == ["chat"]
