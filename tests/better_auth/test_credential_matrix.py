"""Every pair of credentials, of two people, through every function: never the other person, never a downgrade."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any, Literal, NamedTuple

import pytest
from fastapi import FastAPI, HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Message, Scope
from starlette.websockets import WebSocket

from auth_middleware import (
    Auth,
    AuthMiddleware,
    get_auth,
    get_current_session,
    get_current_user,
    get_fresh_user,
    get_optional_user,
    get_session_from_cookie,
    get_token_claims,
    validate_websocket,
)
from dev.postgres import execute
from tests.support.issuers import TOKEN, Issuer, Person

Place = Literal["cookie", "authorization", "protocol", "ignored"]
Kind = Literal["cookie", "bearer", "jwt"]
LISTS = ("cookie", "cookie,bearer", "cookie,jwt", "cookie,bearer,jwt", "bearer", "jwt", "bearer,jwt")
PROTOCOL = "base64url.bearer.authorization.better-auth."


class Credential(NamedTuple):
    """One credential of a request, and whom it identifies where its kind is accepted."""

    name: str
    place: Place
    kind: Kind | None
    value: str
    user_id: str | None


class Expected(NamedTuple):
    """Who sent a request."""

    user_id: str | None
    kind: Kind | None
    """What decides; None if nothing was presented."""
    cookie: str | None
    """What `get_session_from_cookie` returns."""

    @property
    def refused(self) -> str:
        return "Invalid or expired session" if self.kind else "Not authenticated"


def credentials_of(person: Person, revoked: Person, *, is_socket: bool) -> list[Credential]:
    """Good and bad credentials of one person."""

    def of_kind(kind: Kind, good: str, revoked: str, places: list[Place]) -> list[Credential]:
        values = {"good": (good, person.id), "forged": (forged(good), None), "revoked": (revoked, None)}
        if kind == "jwt":
            del values["revoked"]  # a sign-out does not end a JWT
        return [
            Credential(f"{what} {kind} of {person.email[:6]} as {place}", place, kind, value, user_id)
            for (what, (value, user_id)), place in product(values.items(), places)
        ]

    places: list[Place] = ["authorization", "protocol"] if is_socket else ["authorization"]
    return [
        *of_kind("cookie", person.cookie, revoked.cookie, ["cookie"]),
        *of_kind("bearer", person.bearer, revoked.bearer, places),
        *of_kind("jwt", person.jwt, person.jwt, places),
    ]


def forged(token: str) -> str:
    """The same with another signature of the same length."""
    at = token.rindex(".") + 5
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


OTHERS = [
    Credential("nothing", "ignored", None, "", None),
    Credential("basic", "ignored", None, "Basic YTpi", None),
    Credential("empty bearer", "authorization", "bearer", "", None),
]


def expected(pair: tuple[Credential, Credential], listed: list[str]) -> Expected:
    """Who sent a request with these two, in this order."""
    cookies = [each for each in pair if each.place == "cookie"]
    tokens = [each for each in pair if each.place in ("authorization", "protocol")]
    cookie = cookies[0].value if cookies and "cookie" in listed else None
    if tokens and listed != ["cookie"]:
        [first, *more] = tokens
        # A basic credential is a second Authorization header too.
        basics = [each for each in pair if each.name == "basic" and first.place == "authorization"]
        is_accepted = not more and not basics and first.kind in listed
        return Expected(first.user_id if is_accepted else None, first.kind, None)
    return Expected(cookies[0].user_id if cookie else None, "cookie" if cookie else None, cookie)


def scope_of(pair: tuple[Credential, Credential], app: FastAPI, protocol: str) -> Scope:
    cookies = [f"{TOKEN}={each.value}" for each in pair if each.place == "cookie"]
    headers = [(b"cookie", "; ".join(cookies).encode())] if cookies else []
    offered: list[str] = []
    for each in pair:
        if each.place == "authorization":
            headers.append((b"authorization", f"Bearer {each.value}".encode()))
        elif each.name == "basic":
            headers.append((b"authorization", each.value.encode()))
        elif each.place == "protocol":
            encoded = base64.urlsafe_b64encode(each.value.encode()).decode().rstrip("=")
            offered.append(f"{PROTOCOL}{encoded}")
    if offered:
        headers.append((b"sec-websocket-protocol", ", ".join(offered).encode()))
    scope: Scope = {"type": protocol, "path": "/", "headers": headers, "app": app, "subprotocols": offered}
    return scope | ({"method": "GET"} if protocol == "http" else {})


def application(auth: Auth) -> FastAPI:
    app = FastAPI()
    app.dependency_overrides[get_auth] = lambda: auth
    return app


async def receive() -> Message:
    return {"type": "websocket.connect"}


async def nothing(_: Message) -> None: ...


def connection(scope: Scope) -> Any:
    is_socket = scope["type"] == "websocket"
    return WebSocket(dict(scope), receive, nothing) if is_socket else HTTPConnection(dict(scope))


async def result(function: Callable[[Any], Awaitable[Any]], scope: Scope) -> Any:
    """What it returns for this request, or the status and detail that it raises."""
    try:
        return await function(connection(scope))
    except HTTPException as error:
        return error.status_code, error.detail


async def through_middleware(auth: Auth, scope: Scope, *, required: bool) -> Any:
    """The id of `request.user`, or the status of the refusal."""
    seen: list[Any] = []

    async def app(scope: Scope, *_: Any) -> None:
        user = scope["user"]
        # The dependencies share what the middleware found.
        again = await get_optional_user(connection(scope))
        assert (again.id if again else "") == user.identity
        assert scope["auth"].scopes == (["authenticated"] if again else [])
        seen.append(user.identity or None)

    async def send(message: Message) -> None:
        seen.extend([message["status"]] if "status" in message else [])

    extensions: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}
    await AuthMiddleware(app, auth, required=required)(dict(scope) | extensions, receive, send)
    [only] = seen
    return only


async def check(pair: tuple[Credential, Credential], auth: Auth, scope: Scope, listed: list[str]) -> None:
    who = expected(pair, listed)
    case = (listed, scope["type"], pair[0].name, pair[1].name)
    refused = (401, who.refused)
    for function in (get_current_user, get_fresh_user):
        user = await result(function, scope)
        assert getattr(user, "id", user) == (who.user_id or refused), (function, case)
    user = await result(get_optional_user, scope)
    assert getattr(user, "id", user) == who.user_id, case
    session = await result(get_current_session, scope)
    of_session = who.user_id if who.kind != "jwt" else None
    assert getattr(session, "user_id", session) == (of_session or refused), case
    claims = await result(get_token_claims, scope)
    assert (claims and claims["sub"]) == (who.user_id if who.kind == "jwt" else None), case
    cookie = await result(get_session_from_cookie, scope)
    assert cookie == who.cookie, case
    if scope["type"] == "websocket":
        identity = await result(validate_websocket, scope)
        assert (identity and identity.user.id) == who.user_id, case
    assert await through_middleware(auth, scope, required=False) == who.user_id, case
    assert await through_middleware(auth, scope, required=True) == (who.user_id or 401), case


@pytest.mark.parametrize("listed", LISTS)
async def test_one_credential_decides_for_every_pair(newest: Issuer, listed: str) -> None:
    people = await asyncio.to_thread(lambda: [newest.sign_up(name) for name in ("Ada", "Bob", "Ada", "Bob")])
    ada, bob, *revoked = people
    for person in revoked:
        execute(newest.dsn, f"""DELETE FROM session WHERE "userId" = '{person.id}'""")
    auth = newest.auth(credentials=listed, trusted_origins=())
    app = application(auth)
    async with auth.lifespan(app):
        for protocol in ("http", "websocket"):
            is_socket = protocol == "websocket"
            of_two = [
                credential
                for person, gone in zip((ada, bob), revoked, strict=True)
                for credential in credentials_of(person, gone, is_socket=is_socket)
            ]
            pairs = product([*of_two, *OTHERS], [*of_two, *OTHERS])
            checks = (check(pair, auth, scope_of(pair, app, protocol), listed.split(",")) for pair in pairs)
            await asyncio.gather(*checks)


async def test_the_hand_written_chain_follows_for_every_pair(newest: Issuer) -> None:
    """`validate_session(await get_session_from_cookie(request))`, as modules write it by hand."""
    ada, bob = await asyncio.to_thread(lambda: [newest.sign_up(name) for name in ("Ada", "Bob")])
    for listed in LISTS:
        auth = newest.auth(credentials=listed)
        app = application(auth)
        async with auth.lifespan(app):
            credentials = [each for person in (ada, bob) for each in credentials_of(person, person, is_socket=False)]
            for pair in product([*credentials, *OTHERS], [*credentials, *OTHERS]):
                scope = scope_of(pair, app, "http")
                identity = await auth.validate_session(await get_session_from_cookie(connection(scope)))
                user = await get_optional_user(connection(scope))
                assert identity is None or identity.user == user
