"""A deployment as a browser reaches it, and the test account's session there. For check.py."""

import base64
import json
import os
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from functools import cached_property
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Wrong(Exception):
    """What is not as it should be, and how to set it right."""


class NotChecked(Exception):
    """What is missing for the check."""


class Response(NamedTuple):
    status: int
    headers: dict[str, str]  # names in lower case
    set_cookies: list[str]
    text: str

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.text)
        except ValueError:
            raise Wrong(f"expected JSON, but got {self.status} {self.text[:80]!r}") from None


class Deployment:
    """The addresses, how to reach them, and the test account's session."""

    def __init__(self, page: str, auth: str, api: str, settings: Mapping[str, str], ca: str | None) -> None:
        self.page, self.auth, self.api = (url.rstrip("/") for url in (page, auth, api))
        self.settings = settings
        self.tls = ssl.create_default_context(cafile=ca)
        parts = urlsplit(self.page)
        self.origin = f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def account(self) -> tuple[str, str]:
        email, password = os.environ.get("CHECK_EMAIL"), os.environ.get("CHECK_PASSWORD")
        if not email or not password:
            raise NotChecked("set CHECK_EMAIL and CHECK_PASSWORD to those of a test account")
        return email, password

    @cached_property
    def session(self) -> str:
        """The Set-Cookie header of the test account's session."""
        email, password = self.account
        response = self.post("/sign-in/email", {"email": email, "password": password})
        if response.status != 200:
            raise Wrong(f"the test account cannot sign in: {response.status} {response.text[:120]}")
        [cookie] = [text for text in response.set_cookies if text.partition("=")[0].endswith("session_token")] or [""]
        if not cookie:
            raise Wrong("a sign-in sets no session cookie")
        return cookie

    @property
    def cookie(self) -> str:
        return self.session.partition(";")[0]

    def get(self, url: str, **headers: str) -> Response:
        return self._send("GET", url, headers)

    def post(self, path: str, body: object, *, wait: bool = True, **headers: str) -> Response:
        """To the auth service, as the page would. After 429 it waits and tries again, unless told otherwise."""
        sent = {"Origin": self.origin, "Content-Type": "application/json", **headers}
        response = self._send("POST", f"{self.auth}/api/auth{path}", sent, json.dumps(body))
        if response.status != 429 or not wait:
            return response
        time.sleep(int(response.headers.get("retry-after", "60")) + 1)
        return self.post(path, body, wait=False, **headers)

    def me(self, cookie: str) -> Response:
        return self.get(f"{self.api}/api/me", Cookie=cookie)

    def handshake(self, **headers: str) -> int:
        """The status of opening the WebSocket."""
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        return self._send("GET", f"{self.api}/ws", {**upgrade, "Sec-WebSocket-Key": key, **headers}).status

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: str | None = None) -> Response:
        parts = urlsplit(url)
        # Every name below .localhost is this machine (RFC 6761), which not every resolver knows.
        host = "127.0.0.1" if (parts.hostname or "").endswith(".localhost") else parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = HTTPConnection(parts.netloc, timeout=20)
        if parts.scheme == "https":
            connection = HTTPSConnection(parts.netloc, timeout=20)
            plain = socket.create_connection((host, port), timeout=20)
            connection.sock = self.tls.wrap_socket(plain, server_hostname=parts.hostname)
        else:
            connection.sock = socket.create_connection((host, port), timeout=20)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body=body, headers=dict(headers))
            return _read(connection.getresponse())
        finally:
            connection.close()


def _read(response: HTTPResponse) -> Response:
    headers = {name.lower(): value for name, value in response.getheaders()}
    text = "" if response.status == 101 else response.read().decode(errors="replace")
    return Response(response.status, headers, response.headers.get_all("set-cookie", []), text)
