"""The steps of a session cookie: name, encoding, signature."""

from collections.abc import Iterator, Sequence
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor import faulty, variables
from auth_middleware.cli.doctor.findings import Finding, fault, note, ok, warning
from auth_middleware.cli.doctor.server_secret import NODE_COMMAND

# What people paste, and why it is not accepted: by the code of the core's verdict.
REFUSED = {
    "signed_other": (
        "its signature is good, but it is not the session cookie: it looks like the value of dont_remember",
        "Paste the value of the cookie whose name ends in session_token",
    ),
    "signed_by_old_version": (
        "it is signed with a previous secret, an older entry of BETTER_AUTH_SECRETS: as in Better Auth, only the first "
        "entry verifies signatures",
        "Sign in again. To accept such cookies for a while, set AUTH_MIDDLEWARE_PREVIOUS_SECRETS to that secret",
    ),
    "empty": ("it is empty", "Paste the value of the cookie; a sign-out leaves an empty cookie"),
    "encoded_twice": (
        "it is percent-encoded twice: decoded once more, it would be good",
        "Send the cookie as the browser has it, and encode nothing again: a proxy, a test or encodeURIComponent did",
    ),
    "base64_url": (
        "its signature is in base64url (- and _), but Better Auth writes and accepts standard base64 (+, / and =)",
        "Send the cookie as Better Auth set it. If you sign it yourself, use standard base64 with padding",
    ),
    "unpadded": (
        "its signature lacks the padding: Better Auth does not accept it without the = at its end",
        "Copy the whole value, with = or %3D at its end",
    ),
    "plus_is_space": (
        "a + in its signature has become a space: it was decoded as form data",
        "Send + as %2B, as Better Auth does, and decode it with decodeURIComponent, not as form data",
    ),
    "quoted": (
        "it has quotes, white space or a line end around it; without them it would be good",
        "Paste it without quotes, and send it without",
    ),
    "bare_token": (
        "it is the bare token: you pasted the value from the database, and it is not signed",
        "Paste the cookie's value, which is token.signature. To accept bare tokens in Authorization, set "
        "AUTH_MIDDLEWARE_CREDENTIALS=cookie,bearer and AUTH_MIDDLEWARE_BEARER_UNSIGNED=true",
    ),
    "session_data": (
        "this is session_data (the cookie cache), not session_token: alone it does not identify a session",
        "Paste the cookie whose name ends in session_token, or the whole Cookie header",
    ),
    "jwt": (
        "this is a JWT, not a session cookie",
        "Examine it with doctor --token. To accept it, send it as Authorization: Bearer, and list jwt in "
        "AUTH_MIDDLEWARE_CREDENTIALS",
    ),
    "other_secret": (
        "it is signed with another secret, or was changed",
        "Set BETTER_AUTH_SECRET to the auth server's value. This command, run there, prints its fingerprint; ours is ",
    ),
    "truncated": ("it is cut off: its signature is too short", "Copy the whole value; it ends in = or %3D"),
    "malformed": (
        "it is not a signed token (token.signature)",
        "Paste the cookie's value as the browser's developer tools show it",
    ),
}
# Verdicts that say nothing while the secret is a placeholder.
UNPROVEN = ("signed", "signed_other", "signed_by_old_version", "other_secret")
SCHEME = "__Secure-"
HOST = "__Host-"
_COOKIE_NAME = "AUTH_MIDDLEWARE_COOKIE_NAME"
ENCODING = "its encoding is good: it is token.signature, in standard base64"


def steps(
    area: str, text: str, diagnosis: Diagnosis, effective: dict[str, Any], others: Sequence[tuple[str, str]]
) -> list[Finding]:
    """The result of each step, until the reason is clear."""
    return list(_steps(area, text, diagnosis, effective, others))


def as_headers(text: str, diagnosis: Diagnosis, effective: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The request that would carry what was pasted."""
    found = diagnosis.cookies(text, [])
    stripped = text.strip()
    if found and found["is_header"]:
        name, colon, rest = stripped.partition(":")
        value = rest.strip() if colon and name.lower() in ("cookie", "set-cookie") else stripped
    else:
        value = f"{effective['cookie_name']}={stripped}"
    return [(b"cookie", value.encode("latin-1", "replace"))]


def _steps(
    area: str, text: str, diagnosis: Diagnosis, effective: dict[str, Any], others: Sequence[tuple[str, str]]
) -> Iterator[Finding]:
    report = diagnosis.cookies(text, others)
    if report is None:
        return
    if "cookie" not in effective["credentials"]:
        accepted = ", ".join(effective["credentials"])
        yield fault(
            area,
            f"cookies are not read: the accepted credentials are {accepted}",
            f"Set AUTH_MIDDLEWARE_CREDENTIALS=cookie,{accepted.replace(' ', '')}",
        )
    cookies: list[dict[str, Any]] = report["cookies"]
    if not report["is_header"]:
        yield from value(area, cookies[0], effective)
        return
    if to_fix := effective["to_fix"].get("cookie_name"):
        yield fault(area, f"the session cookie's name is unknown: {to_fix} is missing or wrong", f"Fix {to_fix} first")
        named = [cookie for cookie in cookies if cookie["role"] in ("session_token", "other_spelling", "other_prefix")]
        if named:
            yield note(area, f"the header has {named[0]['name']}, which may be it", f"Fix {to_fix} first")
            yield from value(area, named[0], effective)
        return
    named = [cookie for cookie in cookies if cookie["role"] == "session_token"]
    if not named:
        yield from _without_name(area, cookies, effective)
        return
    if len(named) == 1:
        yield ok(area, f"the header has {effective['cookie_name']}, which is the session cookie's name")
    else:
        yield _several(area, named, effective)
    if any(cookie["role"] == "other_spelling" for cookie in cookies):
        yield note(
            area,
            f"the header also has {effective['other_spelling']}, which is not read",
            "Delete that cookie in the browser: the auth server's base URL has changed between http and https",
        )
    yield from value(area, named[0], effective)


def value(area: str, cookie: dict[str, Any], effective: dict[str, Any]) -> Iterator[Finding]:
    """What the value is."""
    verdict: dict[str, Any] = cookie["verdict"]
    code, detail = verdict["code"], verdict.get("detail")
    if cookie["is_quoted"]:
        yield note(area, "the value is in quotes, which are removed as in Better Auth", "Send it without quotes")
    to_fix: str | None = effective["to_fix"].get("secret")
    if to_fix and code in UNPROVEN:
        yield fault(area, f"who signed it is unknown: {to_fix} is missing or wrong", f"Fix {to_fix} first")
    elif code == "signed_by" and str(detail).endswith(faulty.ENDINGS):
        variable = str(detail).removeprefix("the value of ").partition(" ")[0]
        message = f"it is signed with {detail}: that is the auth server's secret"
        as_it_is = "Set a valid secret there and here, and sign in again"
        without = f"Set {variable} without them"
        yield fault(area, message, as_it_is if str(detail).endswith(faulty.AS_IT_IS) else without)
    elif code == "signed":
        yield ok(area, ENCODING)
        yield ok(area, "its signature is good: it is signed with the current secret")
    elif code == "signed_by_previous":
        yield ok(area, ENCODING)
        yield note(
            area,
            "its signature is good: it is signed with a previous secret (AUTH_MIDDLEWARE_PREVIOUS_SECRETS), which "
            "Better Auth itself no longer accepts",
            "Sign in again to get a cookie that both accept",
        )
    elif code == "signed_by":
        yield fault(area, f"it is signed with another secret: {detail}", _of_secret(str(detail)))
    else:
        message, fix = REFUSED[code]
        is_secret = code == "other_secret"
        shown = f"{fix}{effective['fingerprint']}" if is_secret else fix
        yield fault(area, message, shown, NODE_COMMAND if is_secret else None)


def _of_secret(which: str) -> str:
    if "public default" in which:
        return "Set BETTER_AUTH_SECRET at the auth server: none is set there, and the one that it uses is public"
    if which.startswith("our secret"):
        return "Set the secret at the auth server without quotes, white space and line ends: its .env reader keeps them"
    return f"Set BETTER_AUTH_SECRET to {which}, if that is the auth server's"


def _several(area: str, named: list[dict[str, Any]], effective: dict[str, Any]) -> Finding:
    good = [index for index, cookie in enumerate(named) if cookie["verdict"]["code"].startswith("signed")]
    message = f"the header has {len(named)} cookies named {effective['cookie_name']}, and the first one decides"
    fix = "Delete the others in the browser: they were set for another Path or Domain"
    if good and good[0] > 0:
        return fault(area, f"{message}; number {good[0] + 1} would be good", fix)
    return warning(area, f"{message}, as in Better Auth", fix)


def _without_name(area: str, cookies: list[dict[str, Any]], effective: dict[str, Any]) -> Iterator[Finding]:
    """No cookie has the session cookie's name."""
    by_role = {cookie["role"]: cookie for cookie in reversed(cookies)}
    wanted = effective["cookie_name"]
    if cookie := by_role.get("other_spelling"):
        scheme = "https" if cookie["name"].startswith(SCHEME) else "http"
        begins = "begins" if scheme == "https" else "does not begin"
        yield fault(
            area,
            f"the header has {cookie['name']}, which {begins} with {SCHEME}, but the settings expect {wanted}",
            f"Set BETTER_AUTH_URL to the auth server's own base URL, which is {scheme}, or set "
            f"AUTH_MIDDLEWARE_SECURE_COOKIES={'true' if scheme == 'https' else 'false'}",
        )
        yield from value(area, cookie, effective)
    elif cookie := by_role.get("other_prefix"):
        yield fault(
            area,
            f"the cookie has another prefix: it is {cookie['name']}, but the settings expect {wanted}",
            _renamed(cookie["name"], wanted),
        )
        yield from value(area, cookie, effective)
    elif by_role.get("multi_session"):
        yield fault(
            area,
            f"the header has a cookie of the multi-session plugin, but not {wanted}",
            "Send the whole Cookie header: the active session is in the session cookie",
        )
    elif cookie := by_role.get("session_data") or by_role.get("other_data"):
        yield fault(
            area,
            f"this is session_data ({cookie['name']}), not session_token: alone it does not identify a session",
            f"Send the whole Cookie header, with {wanted}",
        )
    elif cookie := next((cookie for cookie in cookies if cookie["role"] == "other" and cookie["verdict"]), None):
        yield fault(
            area,
            f"no cookie has the name {wanted}, but {cookie['name']} is signed by the Better Auth server",
            _renamed(cookie["name"], wanted),
        )
    else:
        names = ", ".join(cookie["name"] for cookie in cookies[:10]) or "none"
        yield fault(
            area,
            f"no cookie has the name {wanted}; the header has {names}",
            "Sign in first. If you have: is the API on the host that the cookie was set for, and does the page send "
            'credentials (fetch(…, { credentials: "include" }))?',
        )


def host_cookie(name: str) -> str:
    """The settings for a cookie whose name begins with __Host-: no other prefix is put before a name that is set."""
    return f"AUTH_MIDDLEWARE_COOKIE_NAME={name} and AUTH_MIDDLEWARE_SECURE_COOKIES=false"


def _renamed(name: str, wanted: str) -> str:
    """The settings with which a cookie of this name is the session cookie."""
    if name.startswith(HOST):
        return f"Set {host_cookie(name)}: {HOST} takes the place of {SCHEME}"
    bare = name.removeprefix(SCHEME)
    is_secure = name.startswith(SCHEME)
    is_expected = is_secure == wanted.startswith(SCHEME)
    secure = "" if is_expected else f" and AUTH_MIDDLEWARE_SECURE_COOKIES={str(is_secure).lower()}"
    prefix, dot, _ = bare.rpartition(".")
    if dot and prefix and bare == f"{prefix}.session_token":
        setting = f"AUTH_MIDDLEWARE_COOKIE_PREFIX={prefix}{secure}"
        unset = f", and leave {_COOKIE_NAME} unset" if variables.value_of(_COOKIE_NAME) else ""
        return f"Set {setting}, which is advanced.cookiePrefix at the auth server{unset}"
    return f"Set {_COOKIE_NAME}={bare}{secure}, which is advanced.cookies.session_token.name at the auth server"
