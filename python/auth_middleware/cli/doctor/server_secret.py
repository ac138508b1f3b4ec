"""The secret: its fingerprint, and how to compare it with the auth server's."""

from collections.abc import Iterator
from typing import Any

from auth_middleware.cli.doctor.findings import Finding, note, ok, warning
from auth_middleware.settings import AuthSettings

AREA = "secret"
# Prints the fingerprint of the secret that Better Auth uses, from the same variables. For the shell of the auth server.
NODE_COMMAND = (
    'node -e \'const e=process.env,s=(e.BETTER_AUTH_SECRETS||"").split(",")[0].replace(/^[^:]*:/,"").trim()'
    '||e.BETTER_AUTH_SECRET||e.AUTH_SECRET||"";console.log(require("node:crypto").createHmac("sha256",s)'
    '.update("auth_middleware fingerprint of a secret").digest("hex").slice(0,12))\''
)
FEW_CHARACTERS = 8


def findings(settings: AuthSettings, effective: dict[str, Any], *, is_at_fault: bool) -> Iterator[Finding]:
    """Findings about the secret. It is not examined if it is at fault."""
    if not {"cookie", "bearer"} & set(effective["credentials"]):
        yield ok(AREA, "no secret is needed: only JWTs are accepted, which public keys verify")
        return
    if is_at_fault or not effective["fingerprint"]:
        return
    yield ok(
        AREA,
        f"the fingerprint of the secret is {effective['fingerprint']}. The auth server's must be the same: run this "
        "there, with its environment (node --env-file=.env … if it is in a file)",
        NODE_COMMAND,
    )
    for fingerprint in effective["previous_fingerprints"]:
        yield note(
            AREA,
            f"signatures of a previous secret, with the fingerprint {fingerprint}, are accepted here but no longer by "
            "Better Auth",
            "Remove it from AUTH_MIDDLEWARE_PREVIOUS_SECRETS once the sessions that it signed have ended",
        )
    secret = settings.secret.get_secret_value() if settings.secret and not settings.secrets else None
    if secret and len(set(secret)) < FEW_CHARACTERS:
        yield warning(
            AREA,
            f"the secret is made of {len(set(secret))} different characters, so it can be guessed",
            "Set a random one at the auth server and here: openssl rand -base64 32",
        )
