"""Session cookies as Better Auth signs them."""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import quote

SECRET = secrets.token_urlsafe(32)
COOKIE_NAME = "better-auth.session_token"
SECURE_COOKIE_NAME = f"__Secure-{COOKIE_NAME}"


def new_token() -> str:
    """Better Auth's are 32 characters of [a-zA-Z0-9] too."""
    return secrets.token_hex(16)


def signed(token: str, secret: str = SECRET) -> str:
    """The cookie's value as it stands in a browser's header: percent-encoded `token.signature`."""
    signature = hmac.digest(secret.encode(), token.encode(), hashlib.sha256)
    return quote(f"{token}.{base64.b64encode(signature).decode()}", safe="")


def cookie(token: str, *, secret: str = SECRET, name: str = COOKIE_NAME) -> dict[str, str]:
    """The header that shows this token."""
    return {"Cookie": f"{name}={signed(token, secret)}"}
