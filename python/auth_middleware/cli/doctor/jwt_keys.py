"""JWTs: which issuer's are accepted, and whether its keys can be read."""

from collections.abc import Iterator
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor.findings import Finding, Status, note, of_error, of_text, ok, warning
from auth_middleware.cli.doctor.hidden import without_password
from auth_middleware.errors import AuthError

AREA = "jwt"
CACHE = "freshness"


async def findings(
    diagnosis: Diagnosis, effective: dict[str, Any], *, is_connected: bool
) -> tuple[list[Finding], list[dict[str, Any]]]:
    """What was found, and the keys."""
    jwt: dict[str, Any] | None = effective["jwt"]
    if jwt is None:
        of_cache = await _of_cache(diagnosis, effective, is_connected=is_connected)
        if "credentials" in effective["to_fix"]:
            return of_cache, []
        return [*of_cache, ok(AREA, "JWTs are not accepted: AUTH_MIDDLEWARE_CREDENTIALS does not list jwt")], []
    place = jwt["jwks_url"] or "the jwks table"
    known = jwt["issuer"] and jwt["audience"]
    found = (
        []
        if not known
        else [
            ok(
                AREA,
                f"tokens of the issuer {without_password(jwt['issuer'])} for the audience "
                f"{without_password(jwt['audience'])} are accepted, with "
                f"{jwt['leeway_seconds']:g} s of leeway",
            )
        ]
    )
    if jwt["freshness"] == "claims":
        message = "users are read from the claims: a deleted or banned user stays signed in until the token expires"
        found.append(note(AREA, message, "Set DATABASE_URL, and remove AUTH_MIDDLEWARE_JWT_FRESHNESS"))
    if jwt["jwks_url"] is None and not is_connected:
        return found, []
    try:
        keys = await diagnosis.keys()
    except AuthError as error:
        fix = "Set AUTH_MIDDLEWARE_JWKS_URL to the auth server's /api/auth/jwks, and enable its jwt plugin"
        return [*found, of_error(AREA, error, fix)], []
    return [*found, *_of_keys(keys, place)], keys["keys"]


async def _of_cache(diagnosis: Diagnosis, effective: dict[str, Any], *, is_connected: bool) -> list[Finding]:
    """The keys of the cookie cache, if it is signed by keys of the table."""
    if not effective["cache_uses_key_table"] or not is_connected:
        return []
    try:
        keys = await diagnosis.keys()
    except AuthError as error:
        found = of_text(CACHE, Status.WARNING, str(error), "Set AUTH_MIDDLEWARE_JWKS_TABLE to Better Auth's jwks table")
        message = f"the cookie cache cannot be read, so every request queries the store: {found.message}"
        return [warning(CACHE, message, found.fix or "")]
    count = len(keys["keys"])
    return [ok(CACHE, f"{count} key(s) of the cookie cache were read from the jwks table")]


def _of_keys(keys: dict[str, Any], place: str) -> Iterator[Finding]:
    listed = [f"{key['id']} ({', '.join(key['algorithms'])})" for key in keys["keys"]]
    if listed:
        yield ok(AREA, f"{len(listed)} key(s) were read from {place}: {', '.join(listed)}")
    else:
        yield warning(
            AREA,
            f"{place} has no key that can be used, so every token is refused",
            "Request /api/auth/token or /api/auth/jwks at the auth server once: Better Auth creates its first key then",
        )
    for text in keys["unusable"]:
        yield warning(AREA, text, "Configure jwks.keyPairConfig at the auth server: EdDSA, ES256, RS256 or PS256")
