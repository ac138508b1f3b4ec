"""Compares what a running Better Auth server and the settings say about the origin of a page."""

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor.findings import Finding, fault, ok, warning
from auth_middleware.cli.doctor.hidden import without_password

if TYPE_CHECKING:
    from auth_middleware.cli.doctor.server import Server

AREA = "auth server"


def findings(server: "Server", origin: str, diagnosis: Diagnosis) -> Iterator[Finding]:
    """Whether pages of this origin may call the auth server, and the API."""
    origin = origin.strip()
    shown = without_password(origin)
    if origin == "null":
        message = "null is the origin of sandboxed frames and local files: any site can send it, so never trust it"
        yield warning(AREA, message, "Serve the page from an http or https origin, and write --origin with that one")
        return
    if wrong := _not_an_origin(origin, shown):
        yield wrong
        return
    preflight = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    response = server.request("OPTIONS", "/get-session", preflight)
    allowed, with_cookies = (
        response.headers.get("Access-Control-Allow-Origin"),
        response.headers.get("Access-Control-Allow-Credentials", ""),
    )
    if origin == server.origin:
        yield ok(AREA, f"pages of {shown} are its own, and need no CORS")
    elif allowed == "*":
        fix = "List the origin in its cors(): browsers do not allow credentials with *"
        yield warning(AREA, f"CORS allows * instead of {shown}, so browsers refuse requests with cookies", fix)
    elif allowed != origin:
        fix = f"Add cors({{ origin: '{shown}', credentials: true }}) to the auth server, before Better Auth's handler"
        yield warning(AREA, f"CORS does not allow pages of {shown}: browsers do not let them read responses", fix)
    elif with_cookies.lower() != "true":
        fix = "Set credentials: true in its cors()"
        yield warning(AREA, f"CORS allows {shown} without credentials, so browsers neither send nor store cookies", fix)
    else:
        yield ok(AREA, f"CORS allows {shown} with credentials")
    refused = server.request("POST", "/sign-out", {"Origin": origin, "Cookie": "doctor=1"}, {}).status == 403
    if refused:
        fix = "Add the origin to trustedOrigins at the auth server"
        yield warning(AREA, f"it refuses {shown}: the origin is not trusted there", fix)
    else:
        yield ok(AREA, f"it does not refuse a POST with a cookie from {shown}")
    if not diagnosis.trusts(origin):
        fix = f"Add {shown} to BETTER_AUTH_TRUSTED_ORIGINS here, unless the API is served from it"
        yield warning(
            AREA, f"{shown} is not trusted by the settings: its POSTs and WebSockets with a cookie get 403", fix
        )
    else:
        yield ok(AREA, f"{shown} is trusted by the settings")


def _not_an_origin(origin: str, shown: str) -> Finding | None:
    """What is wrong with the argument itself."""
    example = "Write --origin https://app.example.com"
    if "*" in origin or "?" in origin:
        return fault(AREA, f"--origin {shown} is a pattern, not the origin of a page", example)
    try:
        parts = urlsplit(origin)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return fault(AREA, "--origin is not a URL", example)
    if "://" not in origin or not parts.scheme or not parts.hostname:
        return fault(AREA, f"--origin {shown} has no scheme, such as https://", example)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    exact = f"{parts.scheme}://{host}{port}"
    if parts.username is not None:
        return fault(AREA, f"--origin {shown} has a user, which no origin has", f"Write --origin {exact}")
    if parts.path or parts.query or parts.fragment:
        return fault(AREA, f"--origin {shown} has a path, which no origin has", f"Write --origin {exact}")
    return None
