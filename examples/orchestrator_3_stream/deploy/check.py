#!/usr/bin/env python3
"""Proves the checklist of docs/going-live.md against a deployment: check.py https://app.example.com

CHECK_EMAIL and CHECK_PASSWORD are those of an account made for this purpose, whose address is confirmed. It gets two
mails. The last check uses up this machine's sign-in attempts for some seconds. Exit status 0: everything is proven.
"""

import argparse
import base64
import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from deployment import Deployment, NotChecked, Wrong

HOSTILE = "https://evil.example"
PUBLIC_DEFAULT = "better-auth-secret-12345678901234567890"
COOKIE = "better-auth.session_token"
A_YEAR = 31_536_000


# --- the checks, in the order in which they run; the docstring is what a tick proves


def https(at: Deployment, insecure: str) -> str:
    """HTTP redirects to HTTPS, the certificate is valid, and HSTS lasts a year."""
    response = at.get(f"{insecure}/login?a=b")
    location = response.headers.get("location", "")
    if response.status not in (301, 308) or location != f"{at.page}/login?a=b":
        raise Wrong(f"{insecure} answers {response.status} {location!r}, not a permanent redirect to {at.page}")
    for url in dict.fromkeys((at.page, at.auth, at.api)):
        found = re.search(r"max-age=(\d+)", at.get(f"{url}/").headers.get("strict-transport-security", ""))
        if not found or int(found[1]) < A_YEAR:
            raise Wrong(f"{url} sends no Strict-Transport-Security of {A_YEAR} seconds or more")
    return "HTTP redirects to HTTPS, the certificate is valid, HSTS lasts a year"


def secret(at: Deployment) -> str:
    """The secret is long, not the public default, and without quotes."""
    value = at.settings.get("BETTER_AUTH_SECRET")
    if value is None:
        raise NotChecked("name the file that has BETTER_AUTH_SECRET: --env-file .env")
    if value.strip() != value or value[:1] in "\"'`":
        raise Wrong("BETTER_AUTH_SECRET is in quotes or has white space at its ends")
    if len(value) < 32 or len(set(value)) < 10 or value == PUBLIC_DEFAULT:
        raise Wrong("BETTER_AUTH_SECRET is short or easy to guess: openssl rand -hex 32")
    name, _, rest = at.cookie.partition("=")
    token = unquote(rest).rpartition(".")[0]
    signature = base64.b64encode(hmac.digest(PUBLIC_DEFAULT.encode(), token.encode(), hashlib.sha256)).decode()
    if at.me(f"{name}={quote(f'{token}.{signature}')}").status != 401:
        raise Wrong("the backend accepts a cookie that is signed with Better Auth's public default secret")
    return f"{len(value)} characters, not the public default"


def cookies(at: Deployment) -> str:
    """The session cookie is __Secure-, Secure, HttpOnly and SameSite=Lax; the plain name is ignored."""
    name, _, _ = at.session.partition("=")
    attributes = {part.strip().lower() for part in at.session.split(";")[1:]}
    if name != f"__Secure-{COOKIE}":
        raise Wrong(f"the session cookie is called {name}: set AUTH_BASE_URL to an https:// address")
    if missing := {"secure", "httponly", "samesite=lax"} - attributes:
        raise Wrong(f"the session cookie lacks {', '.join(sorted(missing))}")
    if (known := at.me(at.cookie)).status != 200:
        raise Wrong(f"the backend answers {known.status} to the session cookie: has it the auth service's settings?")
    if at.me(at.cookie.removeprefix("__Secure-")).status != 401:
        raise Wrong("the backend accepts the cookie without its prefix __Secure-")
    return f"{name}; Secure; HttpOnly; SameSite=Lax"


def cors(at: Deployment) -> str:
    """Only the page may read responses with credentials."""
    for url in (f"{at.auth}/api/auth/get-session", f"{at.api}/api/me"):
        for origin in (HOSTILE, "null", f"{at.origin}.evil.example"):
            if allowed := at.get(url, Origin=origin).headers.get("access-control-allow-origin"):
                raise Wrong(f"{url} allows {allowed} to read it, asked from {origin}: set FRONTEND_URL")
        ours = at.get(url, Origin=at.origin).headers
        if ours.get("access-control-allow-origin") != at.origin or "access-control-allow-credentials" not in ours:
            raise Wrong(f"{url} does not let {at.origin} read it: set FRONTEND_URL")
    return f"{at.origin} and nobody else"


def websocket(at: Deployment) -> str:
    """The WebSocket opens for the page with the cookie, and for no other page."""
    expected = [
        (101, {"Cookie": at.cookie, "Origin": at.origin}),
        (403, {"Cookie": at.cookie, "Origin": HOSTILE}),
        (401, {"Origin": at.origin}),
    ]
    for status, headers in expected:
        if (got := at.handshake(**headers)) != status:
            raise Wrong(f"a handshake from {headers['Origin']} gets {got} instead of {status}")
    return "101 for the page, 403 for another page, 401 without the cookie"


def verification(at: Deployment) -> str:
    """Nobody signs in before confirming their address, and a second sign-up does not reveal the account."""
    email, _ = at.account
    body = {"name": "Check", "email": email, "password": secrets.token_urlsafe(24)}
    response = at.post("/sign-up/email", body)
    if response.status != 200 or response.json.get("token") is not None or response.set_cookies:
        raise Wrong(f"a sign-up answers {response.status}: set REQUIRE_EMAIL_VERIFICATION=true and SMTP_URL")
    return "a sign-up signs nobody in, and does not reveal who has an account"


def reset(at: Deployment) -> str:
    """A reset link is sent, and the response does not reveal who has an account."""
    addresses = (at.account[0], f"{secrets.token_hex(8)}@invalid.example")
    known, unknown = (at.post("/request-password-reset", {"email": email}) for email in addresses)
    if known.status != 200 or (known.status, known.text) != (unknown.status, unknown.text):
        raise Wrong(f"known and unknown addresses get {known.status} and {unknown.status}: set SMTP_URL")
    return "the same response for known and unknown addresses"


def passwords(at: Deployment) -> str:
    """Short passwords and common ones are refused."""
    for password, code in (("k9#xQ!", "PASSWORD_TOO_SHORT"), ("P@ssw0rd1", "PASSWORD_TOO_WEAK")):
        body = {"name": "Check", "email": f"{secrets.token_hex(8)}@invalid.example", "password": password}
        response = at.post("/sign-up/email", body)
        if response.status != 400 or response.json.get("code") != code:
            raise Wrong(f"a sign-up with {password} answers {response.status} instead of {code}")
    return "short and common ones are refused"


def headers(at: Deployment) -> str:
    """Content-Security-Policy without unsafe-inline, frame-ancestors, Referrer-Policy, Permissions-Policy, nosniff."""
    sent = at.get(f"{at.page}/").headers
    policy = sent.get("content-security-policy", "")
    if not re.search(r"(default|script)-src ", policy) or re.search(
        r"unsafe-(inline|eval)|\s\*|\shttps?:(\s|;)", policy
    ):
        raise Wrong(f"the Content-Security-Policy allows scripts of others: {policy!r}")
    if not re.search(r"frame-ancestors '(none|self)'", policy):
        raise Wrong("the Content-Security-Policy has no frame-ancestors 'none'")
    if missing := {"referrer-policy", "permissions-policy"} - sent.keys():
        raise Wrong(f"the page has no {', '.join(sorted(missing))}")
    for url in (f"{at.page}/", f"{at.api}/api/me", f"{at.auth}/api/auth/get-session"):
        if at.get(url).headers.get("x-content-type-options") != "nosniff":
            raise Wrong(f"{url} has no X-Content-Type-Options: nosniff")
    return "CSP without unsafe-inline, frame-ancestors, Referrer-Policy, Permissions-Policy, nosniff"


def files(at: Deployment) -> str:
    """No secret in the page's files, and no source maps."""
    values = [
        v for name, v in at.settings.items() if len(v) >= 8 and re.search("SECRET|PASSWORD|SMTP_URL|DATABASE", name)
    ]
    waiting, seen = ["/", "/.env", "/.git/config"], set[str]()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        text = at.get(at.page + path).text
        if re.search(r"postgres(ql)?://|smtps?://|BETTER_AUTH_SECRET\s*=", text) or any(v in text for v in values):
            raise Wrong(f"{path} has a secret in it")
        if path.endswith(".js") and at.get(f"{at.page}{path}.map").text.lstrip().startswith("{"):
            raise Wrong(f"{path}.map is a source map")
        found = {f"/assets/{name}" for name in re.findall(r"assets/([\w.-]+\.(?:js|css))", text)}
        waiting += sorted(found - seen - set(waiting))
    return f"{len(seen)} files read, no secret in them, no source maps"


def sign_out(at: Deployment) -> str:
    """After a sign-out the backend and the WebSocket refuse the cookie at once."""
    at.post("/sign-out", {}, Cookie=at.cookie)
    statuses = at.me(at.cookie).status, at.handshake(Cookie=at.cookie, Origin=at.origin)
    if statuses != (401, 401):
        raise Wrong(f"after a sign-out the backend and the WebSocket answer {statuses} instead of 401")
    return "the cookie is refused at once"


def rate_limits(at: Deployment) -> str:
    """Sign-in attempts are limited, and a made-up X-Forwarded-For does not help."""
    body = {"email": f"{secrets.token_hex(8)}@invalid.example", "password": secrets.token_urlsafe(24)}
    for number in range(1, 12):
        forwarded = {"X-Forwarded-For": f"198.51.100.{number}", "X-Real-IP": f"198.51.100.{number}"}
        response = at.post("/sign-in/email", body, wait=False, **forwarded)
        if response.status == 429:
            if "retry-after" not in response.headers:
                raise Wrong("429 does not say when to try again: Retry-After is missing")
            return "429 with Retry-After, whatever X-Forwarded-For says"
    raise Wrong("no limit after 11 attempts: set NODE_ENV=production and TRUSTED_PROXIES")


def read_settings(path: str | None) -> dict[str, str]:
    """A file of NAME=VALUE lines, as it stands: quotes are part of a value, as in a container."""
    lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value for name, value in pairs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", help="where people open the page")
    parser.add_argument("--auth", help="the auth service, if it is at another origin")
    parser.add_argument("--api", help="the backend, if it is at another origin")
    parser.add_argument("--http", help="the page over plain HTTP, if not at port 80")
    parser.add_argument("--env-file", help="the deployment's settings: for the checks `secret` and `files`")
    parser.add_argument("--ca", help="the certificate of an authority that only you trust")
    parser.add_argument("--only", action="append", help="one check by its name; may be repeated")
    chosen = parser.parse_args()
    page: str = chosen.page.rstrip("/")
    at = Deployment(page, chosen.auth or page, chosen.api or page, read_settings(chosen.env_file), chosen.ca)
    insecure = (chosen.http or f"http://{urlsplit(page).netloc.partition(':')[0]}").rstrip("/")

    checks: dict[str, Callable[[], str]] = {"https": lambda: https(at, insecure)}
    for check in (
        secret,
        cookies,
        cors,
        websocket,
        verification,
        reset,
        passwords,
        headers,
        files,
        sign_out,
        rate_limits,
    ):
        checks[check.__name__.replace("_", "-")] = lambda check=check: check(at)
    if unknown := set(chosen.only or ()) - checks.keys():
        parser.error(f"there is no check {', '.join(sorted(unknown))}: {', '.join(checks)}")
    proven = [prove(name, check) for name, check in checks.items() if name in (chosen.only or checks)]
    print(f"{sum(proven)} of {len(proven)} proven")
    return 0 if all(proven) else 1


def prove(name: str, check: Callable[[], str]) -> bool:
    try:
        mark, sentence = "✓", check()
    except NotChecked as missing:
        mark, sentence = "–", f"not checked: {missing}"
    except (Wrong, OSError, HTTPException) as problem:
        mark, sentence = "✗", str(problem)
    print(f"{mark} {name:<13} {sentence}", flush=True)
    return mark == "✓"


if __name__ == "__main__":
    sys.exit(main())
