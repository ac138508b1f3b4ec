"""The steps of a JWT: form, header, key, claims."""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor.findings import Finding, fault, note, ok

ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256")
KEY_MEMBERS = ("crit", "b64", "jwk", "jku", "x5u", "x5c", "zip")
HOW_TO_GET = "Use authClient.token() or the header set-auth-jwt of get-session: those are the tokens of the jwt plugin"
DAY_SECONDS = 86_400
OTHER_TYPES = {
    "at+jwt": "an OAuth access token",
    "better-auth.session-cache+jwt": "the cookie cache's snapshot (session_data)",
}


def steps(
    area: str, text: str, diagnosis: Diagnosis, effective: Mapping[str, Any], keys: list[dict[str, Any]]
) -> list[Finding]:
    """The result of each step, until the reason is clear."""
    found = list(_accepted(area, effective))
    parts = diagnosis.jwt(text)
    malformed = list(_malformed(area, text, parts))
    if malformed:
        return [*found, malformed[0]]
    header: Mapping[str, Any] = parts["header"]
    of_header = list(_header(area, header))
    found += of_header or [ok(area, f"its header is good: {header.get('alg')}, kid {_shown(header.get('kid'))}")]
    if not of_header and keys:
        found.append(_key(area, header, keys))
    if parts["claims"] is None:
        return [*found, fault(area, "its claims are not JSON", HOW_TO_GET)]
    return [*found, *_claims(area, parts["claims"], effective)]


def _accepted(area: str, effective: Mapping[str, Any]) -> Iterator[Finding]:
    if to_fix := effective["to_fix"].get("credentials"):
        yield fault(area, f"whether JWTs are accepted is unknown: {to_fix} is wrong", f"Fix {to_fix} first")
    elif "jwt" not in effective["credentials"]:
        kinds = ",".join(effective["credentials"])
        yield fault(
            area,
            f"JWTs are not accepted: the accepted credentials are {kinds}",
            f"Set AUTH_MIDDLEWARE_CREDENTIALS={kinds},jwt",
        )


def _malformed(area: str, text: str, parts: Mapping[str, Any]) -> Iterator[Finding]:
    if text.strip().lower().startswith("bearer "):
        yield fault(area, "it begins with Bearer, which is not part of the token", "Paste what follows Bearer")
    if any(character.isspace() for character in text.strip()):
        yield fault(area, "there is white space in it, so it is not one token", "Copy the whole token, as one line")
    match parts["parts"]:
        case 3 if parts["header"] is None:
            yield fault(area, "its header is not JSON in base64url", HOW_TO_GET)
        case 3:
            pass
        case 5:
            message = "it is encrypted (JWE, five parts): perhaps the cookie cache's session_data"
            yield fault(area, message, HOW_TO_GET)
        case 2 if is_json(text.strip().partition(".")[0]):
            yield fault(area, "it is not a JWT, but two of a JWT's three parts", HOW_TO_GET)
        case 2:
            fix = "Examine it with doctor --cookie, or --header 'Authorization: Bearer …'"
            yield fault(area, "it is a signed session token (token.signature), not a JWT", fix)
        case _:
            yield fault(area, "it is not a JWT, which has three parts with dots between them", HOW_TO_GET)


def _header(area: str, header: Mapping[str, Any]) -> Iterator[Finding]:
    algorithm, kind = header.get("alg"), header.get("typ")
    if isinstance(kind, str) and kind in OTHER_TYPES:
        yield fault(area, f"its typ is {kind}: it is {OTHER_TYPES[kind]}", HOW_TO_GET)
    elif kind not in (None, "JWT"):
        yield fault(area, f"its typ is {_shown(kind)}, but only JWT or no typ is accepted", HOW_TO_GET)
    if algorithm == "none":
        yield fault(area, "its alg is none: nobody signed it", HOW_TO_GET)
    elif isinstance(algorithm, str) and algorithm.startswith("HS"):
        yield fault(
            area,
            f"its alg is {algorithm}: it is signed with a shared secret (HMAC), and only public keys are accepted",
            f"{HOW_TO_GET}; session_data has such a signature too",
        )
    elif algorithm not in ALGORITHMS:
        yield fault(
            area,
            f"its alg is {_shown(algorithm)}, but only {', '.join(ALGORITHMS)} are accepted",
            "Configure jwks.keyPairConfig of the jwt plugin: { alg: 'EdDSA', crv: 'Ed25519' } is its default",
        )
    if not isinstance(header.get("kid"), str) or not header["kid"]:
        yield fault(area, "its header has no kid, so no key can be found for it", HOW_TO_GET)
    brought = [name for name in KEY_MEMBERS if name in header]
    if brought:
        yield fault(area, f"its header has {', '.join(brought)}, which Better Auth's tokens do not have", HOW_TO_GET)


def _key(area: str, header: Mapping[str, Any], keys: list[dict[str, Any]]) -> Finding:
    wanted = header["kid"]
    key = next((key for key in keys if key["id"] == wanted), None)
    if key is None:
        known = ", ".join(key["id"] for key in keys)
        return fault(
            area,
            f"its kid {_shown(wanted)} is unknown: the issuer's keys are {known}",
            "Set AUTH_MIDDLEWARE_JWKS_URL (or DATABASE_URL) to the server that issued the token: it has other keys",
        )
    if header["alg"] not in key["algorithms"]:
        algorithms = ", ".join(key["algorithms"])
        return fault(area, f"its alg is {header['alg']}, and its key is for {algorithms}", HOW_TO_GET)
    return ok(area, f"its kid {_shown(wanted)} is one of the issuer's keys")


def _claims(area: str, claims: Mapping[str, Any], effective: Mapping[str, Any]) -> Iterator[Finding]:
    jwt: Mapping[str, Any] = effective["jwt"] or {}
    origin = effective["base_origin"]
    issuer, audience = jwt.get("issuer", origin), jwt.get("audience", origin)
    to_fix: Mapping[str, str] = effective["to_fix"]
    leeway = jwt.get("leeway_seconds", 15)
    found = [
        *_times(area, claims, leeway),
        *_issuer(area, claims, issuer),
        *_audience(area, claims, audience),
        *_subject(area, claims),
    ]
    unknown = {to_fix[claim] for claim in ("issuer", "audience") if claim in to_fix}
    for variable in unknown:
        yield fault(
            area, f"its iss and aud cannot be compared: {variable} is missing or wrong", f"Fix {variable} first"
        )
    if unknown:
        yield from found
        return
    yield from found or [
        ok(area, f"its claims are good: iss and aud are right, and it is valid until {_time(claims['exp'])}")
    ]


def _times(area: str, claims: Mapping[str, Any], leeway: float) -> Iterator[Finding]:
    now = datetime.now(UTC).timestamp()
    exp = _number(claims.get("exp"))
    if exp is None:
        fix = "Leave jwt.expirationTime at its default, or set one"
        yield fault(area, "it has no exp, so it would never expire", fix)
    elif exp <= now - leeway:
        message = f"it has expired: exp is {_time(exp)}, {now - exp:.0f} s ago"
        yield fault(area, message, "Request a new token: by default, Better Auth's are valid for 15 minutes")
    for name in ("nbf", "iat"):
        at = _number(claims.get(name))
        if at is not None and at > now + leeway:
            yield fault(
                area,
                f"its {name} is {at - now:.0f} s in the future: the clocks of issuer and API differ",
                "Synchronise the clocks (NTP), or set AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS higher",
            )
    if exp is not None and exp - now > DAY_SECONDS:
        message = f"it is valid until {_time(exp)}, and a sign-out does not end it"
        yield note(area, message, "Set jwt.expirationTime lower at the auth server")


def _issuer(area: str, claims: Mapping[str, Any], wanted: str | None) -> Iterator[Finding]:
    if wanted and claims.get("iss") != wanted:
        yield fault(
            area,
            f"its iss is {_shown(claims.get('iss'))}, but jwt_issuer is {wanted}",
            "Set BETTER_AUTH_URL to the auth server's base URL, or AUTH_MIDDLEWARE_JWT_ISSUER to its jwt.issuer",
        )


def _audience(area: str, claims: Mapping[str, Any], wanted: str | None) -> Iterator[Finding]:
    audience = claims.get("aud")
    listed: list[Any] = [*audience] if isinstance(audience, list) else [audience]
    if wanted and wanted not in listed:
        shown = ", ".join(_shown(item) for item in listed)
        yield fault(
            area,
            f"its aud is {shown}, but jwt_audience is {wanted}",
            "Set AUTH_MIDDLEWARE_JWT_AUDIENCE to the auth server's jwt.audience, if the token is meant for this API",
        )


def _subject(area: str, claims: Mapping[str, Any]) -> Iterator[Finding]:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        yield fault(
            area, "it has no sub, so it does not identify a user", "Leave jwt.getSubject at its default: the user's id"
        )
    elif "id" in claims and claims["id"] != subject:
        yield fault(area, "its sub and its id differ", "Let jwt.getSubject return the user's id")


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _time(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else value
    return f"{text[:80]}…" if len(text) > 80 else text


def is_json(part: str) -> bool:
    """Whether this is the first part of a JWT: an object in base64url."""
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4)).startswith(b"{")
    except (ValueError, binascii.Error):
        return False
