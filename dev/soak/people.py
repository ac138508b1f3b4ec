"""People who sign up, sign in and out, are banned and deleted; what they do is recorded in the model."""

import asyncio
import base64
import json
import random
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from urllib.parse import unquote

import httpx
import psycopg
from psycopg import sql

from dev.better_auth.strategies import DATA, TOKEN
from dev.soak.checks import Checks
from dev.soak.faults import Faults
from dev.soak.model import Credential, Invalid, Kind, Person, Window
from dev.soak.modes import COOKIE_CACHE_SECONDS, MODES
from dev.soak.servers import Servers

ROLES = ("user", "editor", "owner")
REQUESTS_PER_SESSION = (20, 60)
REQUESTS_AFTER_THE_END = 12
# `exp` is in whole seconds, and 15 s of tolerance are allowed.
JWT_TOLERANCE_SECONDS = 15.0


class Lost(Exception):
    """A request to the Better Auth server or to the database failed, so what it changed is unknown."""


class Actor:
    """One person after another, each with one session after another."""

    def __init__(self, servers: Servers, faults: Faults, checks: Checks, chance: random.Random) -> None:
        self._servers = servers
        self._faults = faults
        self._checks = checks
        self._chance = chance
        self._now = asyncio.get_running_loop().time

    async def run(self, until: float) -> None:
        """Acts until this time of the event loop's clock."""
        while self._now() < until:
            # An unknown state would excuse every response, so this person is given up.
            with suppress(Lost):
                async with self._client() as client:
                    person = await self._sign_up(client)
                    for _ in range(self._chance.randint(1, 4)):
                        await self._have_a_session(client, person, until)
                        if self._now() > until or person.invalid:
                            break

    async def _have_a_session(self, client: httpx.AsyncClient, person: Person, until: float) -> None:
        credentials = await self._sign_in(client, person)
        way, end = "", self._chance.randint(*REQUESTS_PER_SESSION)
        socket = asyncio.create_task(self._checks.socket(self._chance.choice(MODES), self._chance.choice(credentials)))
        try:
            for at in range(end + REQUESTS_AFTER_THE_END):
                if self._now() > until:
                    return
                if at == end:
                    way = await self._end(client, person, credentials)
                elif at == end + REQUESTS_AFTER_THE_END // 2 and way == "ban" and self._chance.random() < 0.5:
                    await self._lift_a_ban(person)
                elif at < end and self._chance.random() < 0.05:
                    await self._change(client, person, credentials)
                send = self._checks.slow_request if self._chance.random() < 0.02 else self._checks.request
                await send(self._chance.choice(MODES), self._presented(credentials))
                await asyncio.sleep(self._chance.expovariate(4))
        finally:
            if self._now() > until:
                socket.cancel()
            with suppress(asyncio.CancelledError):
                await socket

    def _presented(self, credentials: list[Credential]) -> Credential:
        credential = self._chance.choice(credentials)
        return forged(credential, self._chance) if self._chance.random() < 0.1 else credential

    async def _sign_up(self, client: httpx.AsyncClient) -> Person:
        person = Person("", f"{secrets.token_hex(8)}@example.com", secrets.token_urlsafe(16))
        begin = self._now()
        body = {"name": "Ada", "email": person.email, "password": person.password}
        async with self._faults.writing():
            person.id = (await self._post(client, "/sign-up/email", body)).json()["user"]["id"]
        person.roles.append(("user", Window(begin, self._now())))
        return person

    async def _sign_in(self, client: httpx.AsyncClient, person: Person) -> list[Credential]:
        client.cookies.clear()
        body = {"email": person.email, "password": person.password}
        async with self._faults.writing():
            await self._post(client, "/sign-in/email", body)
        cookie = Credential(Kind.COOKIE, {"Cookie": cookie_header(client)}, person)
        value = client.cookies[TOKEN]
        self._checks.remember_secret(unquote(value))
        bearer = Credential(Kind.BEARER, {"Authorization": f"Bearer {value}"}, person)
        # One session presented in two ways ends in both.
        bearer.invalid = cookie.invalid
        return [cookie, bearer, await self._jwt(client, person)]

    async def _jwt(self, client: httpx.AsyncClient, person: Person) -> Credential:
        # The session's row says which role the token claims; nobody else changes it.
        token = (await self._get(client, "/token")).json()["token"]
        self._checks.remember_secret(token)
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        ends = self._now() + claims["exp"] - time.time()
        credential = Credential(Kind.JWT, {"Authorization": f"Bearer {token}"}, person, claimed_role=claims.get("role"))
        credential.invalid.append(Invalid(Window(ends - 1, ends + JWT_TOLERANCE_SECONDS)))
        return credential

    async def _change(self, client: httpx.AsyncClient, person: Person, credentials: list[Credential]) -> None:
        cookie = credentials[0]
        if self._chance.random() < 0.5:
            # Another snapshot for the cookie cache.
            await self._get(client, "/get-session")
            cookie.headers["Cookie"] = cookie_header(client)
            return
        role = self._chance.choice(ROLES)
        async with self._changing() as window:
            person.roles.append((role, window[0]))
            await self._execute('UPDATE "user" SET role = %s WHERE id = %s', role, person.id)
        person.roles[-1] = (role, window[0])

    async def _end(self, client: httpx.AsyncClient, person: Person, credentials: list[Credential]) -> str:
        """Ends the session in one of the ways that exist, and returns which."""
        session, token = credentials[0], unquote(client.cookies[TOKEN]).partition(".")[0]
        way = self._chance.choice(("sign out", "sign out", "delete session", "expire", "ban", "ban", "delete user"))
        begin = self._now()
        invalid = Invalid(Window(begin, float("inf")))
        (person if way in ("ban", "delete user") else session).invalid.append(invalid)
        async with self._faults.writing():
            match way:
                case "sign out":
                    await self._post(client, "/sign-out", {})
                    # Better Auth returns success even if it could not delete the session.
                    if await self._exists(token):
                        raise Lost
                case "delete session":
                    await self._execute("DELETE FROM session WHERE token = %s", token)
                case "expire":
                    change = """UPDATE session SET "expiresAt" = now() - interval '1 second' WHERE token = %s"""
                    await self._execute(change, token)
                case "ban":
                    await self._execute('UPDATE "user" SET banned = true WHERE id = %s', person.id)
                case _:
                    await self._execute('DELETE FROM "user" WHERE id = %s', person.id)
        invalid.since = Window(begin, self._now())
        return way

    async def _lift_a_ban(self, person: Person) -> None:
        async with self._changing() as window:
            person.invalid[-1].until = window[0]
            await self._execute('UPDATE "user" SET banned = false WHERE id = %s', person.id)
        person.invalid[-1].until = window[0]

    @asynccontextmanager
    async def _changing(self) -> AsyncGenerator[list[Window]]:
        """Times a change of the user's row. If it is lost, the person is given up."""
        window = [Window(self._now(), float("inf"))]
        async with self._faults.writing():
            yield window
        window[0] = Window(window[0].begin, self._now())

    async def _exists(self, token: str) -> bool:
        return bool(await self._execute("SELECT FROM session WHERE token = %s", token))

    async def _execute(self, statement: str, *values: str) -> int:
        """Executes a statement, and returns its row count."""
        try:
            async with await psycopg.AsyncConnection.connect(
                self._servers.dsn, autocommit=True, connect_timeout=5
            ) as connection:
                async with asyncio.timeout(10):
                    done = await connection.execute(sql.SQL(statement), values)  # pyright: ignore[reportArgumentType]
                    return done.rowcount
        except (psycopg.Error, TimeoutError) as error:
            raise Lost from error

    async def _post(self, client: httpx.AsyncClient, path: str, body: dict[str, str]) -> httpx.Response:
        try:
            return (await client.post(f"/api/auth{path}", json=body)).raise_for_status()
        except httpx.HTTPError as error:
            raise Lost from error

    async def _get(self, client: httpx.AsyncClient, path: str) -> httpx.Response:
        try:
            return (await client.get(f"/api/auth{path}")).raise_for_status()
        except httpx.HTTPError as error:
            raise Lost from error

    def _client(self) -> httpx.AsyncClient:
        url = self._servers.auth_service.url
        return httpx.AsyncClient(base_url=url, headers={"Origin": url}, timeout=10, trust_env=False)


def cookie_header(client: httpx.AsyncClient) -> str:
    """The session cookie and the cookie cache, however old that is."""
    return "; ".join(f"{name}={value}" for name in (TOKEN, DATA) if (value := client.cookies.get(name)))


def forged(credential: Credential, chance: random.Random) -> Credential:
    """A credential that Better Auth never issued, similar to this one."""
    made_up = secrets.token_urlsafe(24)
    match credential.kind:
        case Kind.COOKIE:
            value = chance.choice((made_up, f"{made_up}.{made_up}", changed(credential.headers["Cookie"])))
            return Credential(Kind.COOKIE, {"Cookie": value if "=" in value else f"{TOKEN}={value}"}, None)
        case Kind.BEARER:
            value = chance.choice((f"{made_up}.{made_up}", changed(credential.headers["Authorization"][7:])))
        case Kind.JWT:
            head, payload, signature = credential.headers["Authorization"][7:].split(".")
            value = chance.choice((f"{head}.{payload}.{made_up}", f"{head}.{changed(payload)}.{signature}"))
    return Credential(credential.kind, {"Authorization": f"Bearer {value}"}, None)


def changed(value: str) -> str:
    """The same with a changed letter in the token, which ends at the first dot."""
    at = value.index("=") + 5 if "=" in value[:40] else 5
    return value[:at] + ("A" if value[at] != "A" else "B") + value[at + 1 :]


# Requests outlive a snapshot, so that an expired one is presented too.
assert REQUESTS_PER_SESSION[1] / 4 > COOKIE_CACHE_SECONDS
