"""Compares a running Better Auth server with the settings. Nobody is signed in or out."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from typing_extensions import override

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor import cookie_steps, server_origins
from auth_middleware.cli.doctor.findings import Finding, fault, note, ok, warning
from auth_middleware.cli.doctor.hidden import without_password

AREA = "auth server"
TIMEOUT_SECONDS = 10
MAX_BYTES = 256 * 1024
MANY_SECONDS = 5
LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is none."""
        try:
            found: Any = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


class Unreachable(Exception):
    """There is no response."""


class _NoRedirects(HTTPRedirectHandler):
    @override
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """A redirect is a response like any other."""


def findings(
    url: str,
    origins: Sequence[str],
    diagnosis: Diagnosis,
    effective: Mapping[str, Any],
    keys: Sequence[Mapping[str, Any]],
) -> Iterator[Finding]:
    """Checks health, cookie names, keys and CORS."""
    if not _is_http(url):
        yield fault(AREA, "--url is not an http or https URL", "Write --url https://auth.example.com")
        return
    server = Server(url)
    try:
        health = server.request("GET", "/ok")
    except Unreachable as error:
        yield fault(
            AREA, f"{server.shown} does not respond: {error}", "Is the auth server running, and is the URL correct?"
        )
        return
    if not _is_healthy(health):
        yield _unhealthy(health, server)
        return
    yield ok(AREA, f"{server.shown} is a Better Auth server, and it is healthy")
    try:
        yield from _base_url(url, effective)
        yield from _clock(health)
        yield from _cookies(server, effective)
        yield from _keys(server, effective, keys)
        for origin in origins:
            yield from server_origins.findings(server, origin, diagnosis)
    except Unreachable as error:
        yield fault(AREA, f"{server.shown} stopped responding: {error}", "Check the auth server's log")


class Server:
    """Better Auth below its base path: /api/auth, unless the URL has a path of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url.strip())
        path = parts.path.rstrip("/") or "/api/auth"
        host = parts.netloc.rpartition("@")[2]
        self._base = f"{parts.scheme}://{host}{path}"
        self.origin = f"{parts.scheme}://{host}"
        self.shown = without_password(self._base)
        # A proxy cannot reach a server on this machine.
        handlers = [ProxyHandler({})] if parts.hostname in LOCAL else []
        self._opener: OpenerDirector = build_opener(_NoRedirects, *handlers)

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None
    ) -> Response:
        """
        Raises:
            Unreachable: there is no response.
        """
        data = None if body is None else json.dumps(body).encode()
        given = {"User-Agent": "auth_middleware doctor", **(headers or {})}
        if data is not None:
            given["Content-Type"] = "application/json"
        request = Request(f"{self._base}{path}", data=data, headers=given, method=method)  # noqa: S310 - checked before
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return Response(response.status, response.headers, response.read(MAX_BYTES))
        except HTTPError as error:
            with error:
                return Response(error.code, error.headers, error.read(MAX_BYTES))
        except URLError as error:
            raise Unreachable(str(error.reason)) from None
        except (OSError, HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__) from None


def _is_healthy(response: Response) -> bool:
    return response.status == 200 and response.json().get("ok") is True


def _unhealthy(response: Response, server: Server) -> Finding:
    if 300 <= response.status < 400:
        location = without_password(response.headers.get("Location", ""))
        return fault(AREA, f"{server.shown}/ok redirects to {location}", "Give the URL that it leads to")
    if response.status >= 500:
        message = f"{server.shown}/ok responds with {response.status}: the auth server is not healthy"
        return fault(AREA, message, "Look into the auth server's log: can it reach its database?")
    if response.status in (401, 403, 429):
        return fault(
            AREA,
            f"{server.shown}/ok responds with {response.status}: a proxy, a rate limit or the hosting provider's "
            "deployment protection refuses the request",
            "Try again later, or run the doctor where such requests are allowed",
        )
    return fault(
        AREA,
        f"{server.shown}/ok responds with {response.status}, so it is not a Better Auth server",
        "Give the auth server's base URL, with its basePath if that is not /api/auth",
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
        _port = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _base_url(url: str, effective: Mapping[str, Any]) -> Iterator[Finding]:
    parts, base = urlsplit(url.strip()), effective["base_origin"]
    if not base:
        return
    port = "" if parts.port in (None, 80 if parts.scheme == "http" else 443) else f":{parts.port}"
    origin = f"{parts.scheme}://{parts.hostname}{port}"
    if origin == base:
        yield ok(AREA, f"its origin is that of BETTER_AUTH_URL, {base}")
    else:
        yield note(
            AREA,
            f"--url has the origin {origin}, but BETTER_AUTH_URL has {base}",
            "Set BETTER_AUTH_URL to the same value here and at the auth server, the one that browsers use",
        )


def _clock(response: Response) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(response.headers["Date"])
    except (TypeError, ValueError):
        return
    ahead = (theirs - datetime.now(UTC)).total_seconds()
    if abs(ahead) > MANY_SECONDS:
        side = "ahead of" if ahead > 0 else "behind"
        message = f"its clock is {abs(ahead):.0f} s {side} this machine's"
        yield warning(AREA, message, "Synchronise the clocks of both machines (NTP)")


def _cookies(server: Server, effective: Mapping[str, Any]) -> Iterator[Finding]:
    names = _cookie_names(server, effective)
    tokens = [name for name in names if name.endswith("session_token")]
    wanted = effective["cookie_name"]
    if "cookie" not in effective["credentials"]:
        if tokens:
            fix = "Add cookie to AUTH_MIDDLEWARE_CREDENTIALS, if browsers send it to the API"
            yield note(AREA, f"its session cookie is {tokens[0]}, but no cookie is accepted here", fix)
        return
    if wanted is None:
        to_fix = effective["to_fix"]["cookie_name"]
        shown = ", ".join(tokens) or "unknown"
        message = f"its session cookie is {shown}; the settings' is unknown: {to_fix} is missing or wrong"
        yield note(AREA, message, f"Fix {to_fix} first")
    elif wanted in names:
        yield ok(AREA, f"its session cookie is {wanted}, as the settings expect")
    elif tokens:
        yield fault(
            AREA, f"its session cookie is {tokens[0]}, but the settings expect {wanted}", _name_fix(tokens[0], wanted)
        )
    elif names:
        yield warning(
            AREA,
            f"it sets the cookies {', '.join(names)}, but none is {wanted}",
            "Set AUTH_MIDDLEWARE_COOKIE_NAME to the name of its session cookie",
        )
    else:
        yield note(
            AREA,
            "its cookie names are unknown: it sets no cookies in responses to signed-out clients",
            "Sign in with a browser, and compare the cookie's name in its developer tools",
        )


def _cookie_names(server: Server, effective: Mapping[str, Any]) -> list[str]:
    """The names of cookies in a refused sign-in, and in a sign-out of nobody, which deletes every cookie by name."""
    account = {"email": f"doctor-{secrets.token_hex(8)}@auth-middleware.invalid", "password": secrets.token_urlsafe(16)}
    origin = {"Origin": effective["base_origin"] or server.origin}
    responses = [
        server.request("POST", "/sign-in/email", origin, account),
        server.request("POST", "/sign-out", origin, {}),
    ]
    headers = [header for response in responses for header in response.headers.get_all("Set-Cookie") or ()]
    return list(dict.fromkeys(header.partition("=")[0].strip()[:100] for header in headers))


def _name_fix(theirs: str, ours: str) -> str:
    if theirs.startswith(cookie_steps.HOST):
        return f"Set {cookie_steps.host_cookie(theirs)}"
    bare, wanted = theirs.removeprefix("__Secure-"), ours.removeprefix("__Secure-")
    fixes: list[str] = []
    if theirs.startswith("__Secure-") != ours.startswith("__Secure-"):
        is_secure = theirs.startswith("__Secure-")
        scheme = "https" if is_secure else "http"
        fixes.append(
            f"set BETTER_AUTH_URL to the auth server's own base URL, which is {scheme}, or "
            f"AUTH_MIDDLEWARE_SECURE_COOKIES={str(is_secure).lower()}"
        )
    if bare != wanted:
        prefix = bare.removesuffix(".session_token")
        is_prefix = prefix != bare
        fixes.append(f"set AUTH_MIDDLEWARE_COOKIE_{'PREFIX' if is_prefix else 'NAME'}={prefix if is_prefix else bare}")
    text = "; ".join(fixes)
    return text[0].upper() + text[1:]


def _keys(server: Server, effective: Mapping[str, Any], keys: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    response = server.request("GET", "/jwks")
    listed: Any = response.json().get("keys")
    accepts = "jwt" in effective["credentials"]
    if response.status != 200 or not isinstance(listed, list):
        if "credentials" in effective["to_fix"]:
            yield note(AREA, "it serves no keys for JWTs", f"Fix {effective['to_fix']['credentials']} first")
        elif accepts:
            fix = "Enable the jwt plugin at the auth server, or set AUTH_MIDDLEWARE_JWKS_URL to where its keys are"
            yield fault(
                AREA, f"it serves no keys at {server.shown}/jwks (HTTP {response.status}), but jwt is accepted", fix
            )
        else:
            yield ok(AREA, "it serves no keys for JWTs, and none are accepted")
        return
    served = cast("list[Any]", listed)
    ids = [str(cast("dict[str, Any]", key).get("kid"))[:80] for key in served if isinstance(key, dict)]
    if to_fix := effective["to_fix"].get("credentials"):
        message = f"it serves {len(ids)} key(s) for JWTs, and whether they are needed is unknown: {to_fix} is wrong"
        yield note(AREA, message, f"Fix {to_fix} first")
        return
    if not accepts:
        fix = "Add jwt to AUTH_MIDDLEWARE_CREDENTIALS, if its tokens should be accepted"
        yield note(AREA, f"it serves {len(ids)} key(s) for JWTs, but none are accepted here", fix)
        return
    known = {key["id"] for key in keys}
    if ids and not known:
        message = f"it serves the keys {', '.join(ids)}, but the API has read none"
        yield note(AREA, message, "Run the doctor again: Better Auth creates its first key at the first request for it")
    elif ids and not set(ids) & known:
        fix = "Set AUTH_MIDDLEWARE_JWKS_URL, or DATABASE_URL, to that of this server"
        yield fault(AREA, f"it serves the keys {', '.join(ids)}, but the API has read none of them", fix)
    else:
        yield ok(AREA, f"it serves the keys {', '.join(ids)}, which the API reads too")
