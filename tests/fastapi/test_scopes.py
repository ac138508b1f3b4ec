"""What servers may put into a scope, and what they may not change."""

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
    auth = make_auth(database_url=unreachable_dsn())
    assert await auth.validate_session("\ud800.x") is None


async def test_a_server_that_says_nothing_does_not_hold_the_start(make_auth: MakeAuth) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        dsn = f"postgresql://u:p@127.0.0.1:{mute.getsockname()[1]}/d?sslmode=disable"
        auth = make_auth(database_url=dsn, lookup_timeout_seconds=0.2)
        await auth.open()
        assert auth.counters["store_unavailable"] == 1
        with pytest.raises(StoreUnavailable):
            await auth.validate_session(signed(new_token()))


def good_and_bad_changes(database: Database) -> dict[str, tuple[bytes, bytes]]:
    """Headers that change who sent a request: another person, nobody, and a page that is not ours."""
    return {
        "another person": scope_of(database, "http")["headers"][0],
        "nobody": (b"cookie", b"theme=dark"),
        "no header": (b"x-nothing", b""),
        "forged": (b"cookie", f"{COOKIE_NAME}={signed(new_token())}".encode()[:-4] + b"AAAA"),
    }


@pytest.mark.parametrize("freshness", ["always", "3600"])
@pytest.mark.parametrize("change", ["another person", "nobody", "no header", "forged"])
async def test_headers_rewritten_in_place_lead_to_another_answer(
    make_auth: MakeAuth, database: Database, freshness: str, change: str
) -> None:
    auth = make_auth(database_url=database.dsn, freshness=freshness)
    for _ in range(3):
        scope = scope_of(database, "http", method="GET")
        before = await auth.optional_user(HTTPConnection(scope))
        assert before
        # As middleware does that impersonates, or that strips a cookie.
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


async def test_a_header_that_says_nothing_of_the_sender_may_change(make_auth: MakeAuth, database: Database) -> None:
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
async def test_what_lies_in_a_scope_shows_no_credential_and_no_user(
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
            for shown in (who.token, who.cookie_value, who.email, "device-secret", COOKIE_NAME):
                assert shown not in text


async def test_a_failed_look_up_leaves_nothing_in_memory(make_auth: MakeAuth) -> None:
    """An exception holds the frames that it passed, and those hold the request's state, which holds the exception."""

    class Marked(dict[str, Any]):
        """A scope that a weak reference may watch."""

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
