"""Requests and sockets to the APIs, each checked against the model."""

import asyncio
import json
import random
from collections import Counter, defaultdict
from contextlib import suppress

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from dev.soak.faults import Faults
from dev.soak.model import Credential, Response, Verdict, judge, may_have_ended, must_have_ended
from dev.soak.modes import Mode
from dev.soak.servers import Servers

ROUTES = ("/current", "/current", "/fresh", "/optional")
MOST_EXAMPLES = 20
SESSION_ENDED, NOT_CHECKED = 4001, 4002
SOCKET_SECONDS = 60.0
SLOW_BYTES = 64


class Checks:
    """Sends requests and opens sockets. What is counted goes into the report."""

    def __init__(self, servers: Servers, faults: Faults, chance: random.Random) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.statuses: Counter[int] = Counter()
        self.sockets: Counter[str] = Counter()
        # Responses and sockets that must not be: the first of each.
        self.examples: list[str] = []
        self.milliseconds: defaultdict[str, list[float]] = defaultdict(list)
        self.disconnects = 0
        self.secrets = {servers.secret}
        self._servers = servers
        self._faults = faults
        self._chance = chance
        self._now = asyncio.get_running_loop().time
        limits = httpx.Limits(max_connections=200)
        self._client = httpx.AsyncClient(timeout=30, trust_env=False, limits=limits)

    def remember_secret(self, value: str) -> None:
        """A token that must not appear in a log."""
        self.secrets.add(value)

    async def request(self, mode: Mode, credential: Credential) -> None:
        """Sends one request, and checks the response."""
        route = self._chance.choice(ROUTES)
        begin = self._now()
        try:
            got = await self._client.get(self._servers.urls[mode.name] + route, headers=credential.headers)
        except httpx.HTTPError:
            self.disconnects += 1  # the API restarts
            return
        self._check(mode, route, credential, (got.status_code, got.content), begin)

    async def slow_request(self, mode: Mode, credential: Credential) -> None:
        """The same by a client that sends a few bytes at a time."""
        route, url = self._chance.choice(ROUTES), httpx.URL(self._servers.urls[mode.name])
        headers = {"Host": url.netloc.decode(), "Connection": "close", **credential.headers}
        head = f"GET {route} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        begin = self._now()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", url.port)
            for at in range(0, len(head), SLOW_BYTES):
                writer.write(head[at : at + SLOW_BYTES].encode())
                await asyncio.sleep(0.02)
            writer.write(b"\r\n")
            response = await asyncio.wait_for(reader.read(), timeout=30)
            writer.close()
            first, _, rest = response.partition(b"\r\n")
            status = int(first.split()[1])
        except (OSError, TimeoutError, IndexError, ValueError):
            self.disconnects += 1
            return
        self._check(mode, route, credential, (status, rest.partition(b"\r\n\r\n")[2]), begin)

    def _check(self, mode: Mode, route: str, credential: Credential, got: tuple[int, bytes], begin: float) -> None:
        end = self._now()
        status, content = got
        promise = (mode.fresh if route == "/fresh" else mode.promises)[credential.kind]
        body = json.loads(content) if status == 200 else None
        self.statuses[status] += 1
        if status == 200:
            self.milliseconds[mode.name].append((end - begin) * 1000)
            # An optional user who is None is what 401 is for the others.
            status = 200 if body else 401
        response = Response(status, body and body["id"], body and body["role"], begin, end)
        verdict = judge(credential, promise, response, self._faults.windows)
        self.verdicts[verdict] += 1
        if verdict is not Verdict.RIGHT:
            self._note(
                f"{verdict.value}: {mode.name} {route} {credential.kind.value} -> {response}; {credential.invalid}"
            )

    async def socket(self, mode: Mode, credential: Credential) -> None:
        """Opens a guarded socket, and checks whose it is and when it ends."""
        url = self._servers.urls[mode.name].replace("http", "ws", 1) + "/guarded"
        begin = self._now()
        with suppress(OSError, InvalidHandshake, TimeoutError):
            async with connect(url, additional_headers=credential.headers, proxy=None) as socket:
                self.sockets["opened"] += 1
                await self._watch(socket, mode, credential, begin)

    async def _watch(self, socket: ClientConnection, mode: Mode, credential: Credential, begin: float) -> None:
        promise = mode.socket(credential.kind)
        while self._now() < begin + SOCKET_SECONDS:
            try:
                async with asyncio.timeout(5):
                    message = json.loads(await socket.recv())
            except TimeoutError:
                continue
            except ConnectionClosed as closed:
                self._closed(closed, mode, credential, begin)
                return
            if credential.person is None or message["id"] != credential.person.id:
                self.sockets["of another user"] += 1
                self._note(f"a socket of another user: {mode.name} {credential.kind.value}")
            # A check that an outage prevented comes after it.
            now = self._now()
            latest = max((fault.end for fault in self._faults.windows if fault.begin < now), default=0.0)
            if now > latest + promise.seconds and must_have_ended(credential, promise, now, begin):
                self.sockets["survived"] += 1
                self._note(f"a socket survived: {mode.name} {credential.kind.value}; {credential.invalid} at {now}")
                return

    def _closed(self, closed: ConnectionClosed, mode: Mode, credential: Credential, begin: float) -> None:
        code = closed.rcvd.code if closed.rcvd else 1006
        self.sockets[f"closed with {code}"] += 1
        is_wrong = code == SESSION_ENDED and not may_have_ended(
            credential, mode.promises[credential.kind], begin, self._now()
        )
        # Outages are shorter than the grace period here.
        if is_wrong or code == NOT_CHECKED:
            self.sockets["closed wrongly"] += 1
            self._note(f"a socket was closed with {code}: {mode.name} {credential.kind.value}")

    def _note(self, example: str) -> None:
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(example)

    async def close(self) -> None:
        await self._client.aclose()
