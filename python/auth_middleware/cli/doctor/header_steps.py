"""The steps of pasted headers: which credential decides, and what it is."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor import cookie_steps, token_steps
from auth_middleware.cli.doctor.findings import Finding, fault, note, ok

AREA = "header"
_SCHEME = re.compile(r"[A-Za-z]{2,10}")
Headers = list[tuple[bytes, bytes]]
Secrets = Sequence[tuple[str, str]]


def steps(
    lines: Sequence[str], diagnosis: Diagnosis, effective: dict[str, Any], others: Secrets, keys: list[dict[str, Any]]
) -> tuple[Headers, list[Finding]]:
    """The headers as a server has them, and the result of each step."""
    headers, found = _read(lines)
    authorizations = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
    cookies = [value.decode("latin-1") for name, value in headers if name == b"cookie"]
    if authorizations:
        found += _authorization(authorizations, diagnosis, effective, others, keys)
    decided = diagnosis.presented(headers)
    is_bearer = decided is not None and decided[0] not in ("cookie", "nothing")
    if cookies and is_bearer:
        message = "the bearer token decides: the cookie beside it is not read, as in Better Auth"
        found.append(note(AREA, message, "Send one credential"))
    elif cookies:
        found += cookie_steps.steps(AREA, f"Cookie: {'; '.join(cookies)}", diagnosis, effective, others)
    if not authorizations and not cookies:
        names = ", ".join(name.decode("latin-1") for name, _ in headers) or "none"
        fix = "Paste the request's Cookie or Authorization header"
        found.append(fault(AREA, f"no header carries a credential that is read here; the headers are {names}", fix))
    return headers, found


def _read(lines: Sequence[str]) -> tuple[Headers, list[Finding]]:
    headers: Headers = []
    found: list[Finding] = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or " " in name.strip():
            found.append(fault(AREA, "it is not a header", "Write --header 'Authorization: Bearer …', with its name"))
            continue
        if name.strip().lower() == "set-cookie":
            message = "Set-Cookie is in responses: it is examined as the Cookie that a browser then sends"
            found.append(note(AREA, message, "Send the name and the value as Cookie, without the attributes"))
            name, value = "cookie", value.partition(";")[0]
        headers.append((name.strip().lower().encode("latin-1", "replace"), value.strip().encode("latin-1", "replace")))
    return headers, found


def _authorization(
    values: Sequence[str], diagnosis: Diagnosis, effective: dict[str, Any], others: Secrets, keys: list[dict[str, Any]]
) -> Iterator[Finding]:
    if len(values) > 1:
        fix = "Send one Authorization header"
        yield fault(AREA, f"there are {len(values)} Authorization headers, so none of them is read", fix)
        return
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer":
        yield from _other_scheme(scheme, token)
        return
    kinds: list[str] = [kind for kind in effective["credentials"] if kind != "cookie"]
    if not kinds and (to_fix := effective["to_fix"].get("credentials")):
        yield unknown(AREA, to_fix)
    elif not kinds:
        yield fault(
            AREA,
            "an Authorization header is not read: the only accepted credential is cookie",
            "Set AUTH_MIDDLEWARE_CREDENTIALS=cookie,bearer, or cookie,jwt, or all three",
        )
    if not token:
        yield fault(AREA, "there is no token after Bearer", "Write Authorization: Bearer TOKEN")
        return
    if token.startswith(('"', "'")) or any(character in token for character in " ,"):
        yield fault(
            AREA, "a token has no quotes, spaces or commas", "Write Authorization: Bearer TOKEN, and nothing else"
        )
        return
    yield ok(AREA, "its scheme is Bearer")
    if token.count(".") == 2 and token_steps.is_json(token.partition(".")[0]):
        yield from token_steps.steps(AREA, token, diagnosis, effective, keys)
    else:
        yield from bearer(AREA, token, diagnosis, effective, others)


def _other_scheme(scheme: str, token: str) -> Iterator[Finding]:
    if token:
        fix = "Write Authorization: Bearer TOKEN"
        # Text that is not a scheme may be part of a token.
        shown = f"its scheme is {scheme}" if _SCHEME.fullmatch(scheme) else "the text before the token is not a scheme"
        yield fault(AREA, f"{shown}: only Bearer is read", fix)
    else:
        yield fault(AREA, "it has no scheme before the token", "Write Authorization: Bearer TOKEN")


def unknown(area: str, to_fix: str) -> Finding:
    """Nothing is known about which credentials are accepted."""
    return fault(area, f"whether it is read is unknown: {to_fix} is wrong", f"Fix {to_fix} first")


def is_session_token(token: str, effective: dict[str, Any]) -> bool:
    """Whether a bearer token is meant as a session token, signed or, where no JWT is accepted, not."""
    if "bearer" not in effective["credentials"] or token_steps.is_json(token.partition(".")[0]):
        return False
    return token.count(".") == 1 or ("." not in token and "jwt" not in effective["credentials"])


def bearer(
    area: str, token: str, diagnosis: Diagnosis, effective: dict[str, Any], others: Secrets
) -> Iterator[Finding]:
    """What a session token after Bearer is."""
    accepts_bearer = "bearer" in effective["credentials"]
    if "credentials" not in effective["to_fix"] and not accepts_bearer:
        kinds = ",".join(effective["credentials"])
        yield fault(
            area,
            "session tokens are not accepted as bearer tokens",
            f"Set AUTH_MIDDLEWARE_CREDENTIALS={kinds},bearer, or send a JWT",
        )
    report = diagnosis.cookies(token, others)
    if report is None:
        return
    if report["cookies"][0]["verdict"]["code"] != "bare_token":
        yield from cookie_steps.value(area, report["cookies"][0], effective)
        return
    decided = diagnosis.presented([(b"authorization", f"Bearer {token}".encode("latin-1", "replace"))])
    if decided and decided[0] == "unsigned_token":
        yield ok(area, "it is a session token without a signature, which AUTH_MIDDLEWARE_BEARER_UNSIGNED accepts")
    else:
        yield fault(
            area,
            "it is the bare token: it is not signed",
            "Send the value of the response header set-auth-token, which is signed, or set "
            "AUTH_MIDDLEWARE_BEARER_UNSIGNED=true",
        )
