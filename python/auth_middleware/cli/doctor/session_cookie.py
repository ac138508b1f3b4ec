"""The session cookie's name, where it comes from, and which pages may send the cookie."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor import variables
from auth_middleware.cli.doctor.findings import Finding, Status, note, of_text, ok, warning
from auth_middleware.cli.doctor.hidden import without_json, without_password
from auth_middleware.settings import AuthSettings

AREA = "session cookie"
ORIGINS = "origins"
LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - compared, not bound
# Origins that no setting should trust.
STRANGERS = ("null", "https://evil.example", "http://evil.example")


def name(settings: AuthSettings, effective: dict[str, Any]) -> Iterator[Finding]:
    """The cookie's name and where it comes from."""
    if "cookie" not in effective["credentials"]:
        yield ok(AREA, f"no cookie is read: the accepted credentials are {', '.join(effective['credentials'])}")
        return
    cookie = effective["cookie_name"]
    yield ok(AREA, f"its name is {cookie}: {_why(settings, effective)}")
    base = urlsplit(effective["base_origin"] or "")
    host = base.hostname or ""
    if not host:
        return
    if host in LOCAL or host.endswith(".localhost"):
        yield note(
            AREA,
            f"browsers send it to {host} on every port, but not to other names of this machine",
            f"Use {host} for both the page and the API, and none of the other names ({', '.join(LOCAL[:3])})",
        )
        return
    if base.scheme == "http":
        yield warning(
            AREA,
            f"BETTER_AUTH_URL is plain http for {host}, so the name lacks the prefix __Secure-",
            "Set BETTER_AUTH_URL to the same value as at the auth server, which is https in production",
        )
    if domain := effective["hosting_domain"]:
        yield note(
            AREA,
            f"{domain} is a public suffix, so no cookie can cover {host} and another of its hosts: browsers send it "
            f"only to {host}",
            f"Use names under a domain of your own, or a proxy that serves the API on {host}, or JWTs",
        )
        return
    yield note(
        AREA,
        f"a browser that received it from {host} sends it only to {host}, not to an API on another host",
        f"Serve the API on {host}, or set advanced.crossSubDomainCookies at the auth server, or use JWTs",
    )


def _why(settings: AuthSettings, effective: dict[str, Any]) -> str:
    cookie = effective["cookie_name"]
    if settings.cookie_name:
        base = f"{_variable('cookie_name')} sets it"
    elif settings.cookie_prefix:
        base = f"{_variable('cookie_prefix')} sets its prefix"
    else:
        base = "better-auth is Better Auth's default prefix"
    is_secure = cookie.startswith("__Secure-")
    if (settings.cookie_name or "").startswith("__Secure-"):
        return base
    begins = "it begins with __Secure-" if is_secure else "it does not begin with __Secure-"
    if settings.secure_cookies is not None:
        return f"{base}, and {begins} because {_variable('secure_cookies')} says so"
    if not effective["base_origin"]:
        return base
    return f"{base}, and {begins} because {_variable('base_url')} is {'https' if is_secure else 'http'}"


def _variable(setting: str) -> str:
    return variables.source_of(setting) or setting


def origins(settings: AuthSettings, diagnosis: Diagnosis, effective: dict[str, Any]) -> Iterator[Finding]:
    """Which pages may send the cookie with a POST or a WebSocket handshake."""
    if "cookie" not in effective["credentials"]:
        return
    base = effective["base_origin"]
    if base:
        yield ok(ORIGINS, f"pages of {base} (BETTER_AUTH_URL) and of the API's own origin may send the cookie")
    patterns = [found for pattern in settings.trusted_origins if (found := without_json(pattern))]
    for pattern in patterns:
        shown = without_password(pattern)
        if "*" not in pattern and "?" not in pattern:
            if diagnosis.trusts(pattern):
                yield ok(ORIGINS, f"pages of {shown} may send the cookie")
            continue
        inside = [origin for origin in _samples(pattern) if diagnosis.trusts(origin)]
        outside = [origin for origin in _samples(pattern) if not diagnosis.trusts(origin)]
        yield note(
            ORIGINS,
            f"{shown} matches, for example, {', '.join(inside) or 'nothing'}; but not {', '.join(outside) or 'others'}",
            "List the exact origins if you know them: whoever controls a matching host can act as your users",
        )
    for stranger in STRANGERS:
        if diagnosis.trusts(stranger):
            yield warning(ORIGINS, f"a page of {stranger} may act as your users", "List only origins that you control")
    if not patterns:
        yield note(
            ORIGINS,
            "no other page is trusted: a POST or a WebSocket with the cookie, from a page of another origin, gets 403",
            "Set BETTER_AUTH_TRUSTED_ORIGINS to the origin of your page, as at the auth server, if it differs",
        )
    for text in effective["warnings"]:
        if "trusted_origins" in text:
            yield of_text(ORIGINS, Status.WARNING, text, "List the exact origins of your pages")


def _samples(pattern: str) -> list[str]:
    """Origins to try a pattern with."""
    scheme, separator, host = pattern.rpartition("://")
    schemes = [scheme] if separator and "*" not in scheme else ["https", "http"]
    base = host.lstrip("*?").lstrip(".") or "example.com"
    filled = host.replace("*", "a").replace("?", "b")
    bare, _, port = base.partition(":")
    hosts = [filled, host.replace("*", "a.b", 1).replace("*", "c").replace("?", "d"), base, f"evil{bare}"]
    hosts += [f"{filled}.evil.example", bare if port else f"{filled}:8443"]
    others = ["http"] if schemes == ["https"] else []
    found = [f"{each}://{host}" for each in schemes for host in hosts] + [f"{other}://{filled}" for other in others]
    return [origin for origin in dict.fromkeys(found) if "*" not in origin and "?" not in origin]
