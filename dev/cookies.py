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
    """A random token of 32 characters, like Better Auth's."""
    return secrets.token_hex(16)


def signed(token: str, secret: str = SECRET) -> str:
    """The cookie's value as a browser sends it: percent-encoded `token.signature`."""
    signature = hmac.digest(secret.encode(), token.encode(), hashlib.sha256)
    return quote(f"{token}.{base64.b64encode(signature).decode()}", safe="")


def cookie(token: str, *, secret: str = SECRET, name: str = COOKIE_NAME) -> dict[str, str]:
    """A Cookie header with this token."""
    return {"Cookie": f"{name}={signed(token, secret)}"}
