"""What must not be shown: secrets, and passwords in URLs, well-formed or not."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from auth_middleware.cli.doctor import variables
from auth_middleware.settings import AuthSettings

# Well-formed credentials, before the host.
_CREDENTIALS = re.compile(r"[a-z0-9+.-]+://[^:@/?#\s]*:[^:@/?#\s\"'\\]*@[^@]*", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"[\"']?[a-z0-9+.-]+://[^:@/?#\s]*(?::[0-9*]*)?(?:[/?#][^@]*)?[\"']?", re.IGNORECASE)
_SECRET_PARAMETERS = ("password", "sslpassword", "token", "key", "secret", "apikey", "api_key")
# As parts of a password, these words reveal nothing, and messages need them.
_WORDS = frozenset(
    (
        *(
            "password",
            "secret",
            "user",
            "token",
            "session",
            "cookie",
            "auth",
            "better-auth",
            "admin",
            "test",
            "example",
        ),
        *("postgres", "postgresql", "database", "localhost", "host", "name", "http", "https", "require", "sslmode"),
    )
)
_MIN_PIECE = 4


def texts(settings: AuthSettings) -> Iterator[str]:
    """The secrets and passwords of the settings, in every spelling in which they could be shown."""
    secrets = [settings.secret, settings.secrets, *settings.previous_secrets]
    values = [secret.get_secret_value() for secret in secrets if secret]
    versions = settings.secrets.get_secret_value() if settings.secrets else ""
    values += [part.partition(":")[2] for part in versions.split(",")]
    urls = [value for value in _given() if "@" in value or "://" in value or ":" in value]
    # A role whose password is its name, or the database's, has no secret to hide.
    shown = {"localhost", *(part for url in urls for part in _open_parts(url))}
    for value in (*values, *(password for url in urls for password in _passwords(url))):
        for text in (value, value.strip(), value.strip(" \"'`\n\r\t"), unquote(value)):
            if text not in shown and text.lower() not in _WORDS:
                yield text


def without_password(text: str) -> str:
    """A URL without its user, its password and its query."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return "…"
    if not parts.scheme or not parts.netloc:
        return "…" if "@" in text or "://" in text else text
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?…' if parts.query else ''}"


def without_json(text: str) -> str:
    """One of several values between commas; the whole may be a JSON array, which is accepted too."""
    return text.strip(' \t\r\n[]"')


def _given() -> Iterator[str]:
    for names in variables.by_setting().values():
        for variable in names:
            value = variables.value_of(variable)
            if value and "SECRET" not in variable:
                parts = _listed(value) or value.split(",")
                # A list of URLs without passwords has nothing to hide; as one text, it would look like a password.
                is_open = all(_HOST_AND_PORT.fullmatch(part.strip()) or not {"@", ":"} & set(part) for part in parts)
                yield from parts if is_open else (value, *parts)


def _listed(value: str) -> list[str]:
    """The texts of a JSON array."""
    try:
        found: Any = json.loads(value)
    except ValueError:
        return []
    if not isinstance(found, list):
        return []
    items = cast("list[Any]", found)
    return [item for item in items if isinstance(item, str)]


def _passwords(text: str) -> Iterator[str]:
    """The password of a URL. Where a character is not escaped, each piece that a reader may take for something else."""
    rest = text.partition("://")[2] or text
    credentials, at, _ = rest.rpartition("@")
    if at:
        yield credentials.partition(":")[2]
    if at and not _CREDENTIALS.fullmatch(text):
        yield from _pieces(credentials.partition(":")[2] or credentials)
    elif not at and not _HOST_AND_PORT.fullmatch(text) and ":" in rest:
        yield from _pieces(rest.partition(":")[2])
    for pair in text.partition("?")[2].split("&"):
        name, _, value = pair.partition("=")
        if name.lower() in _SECRET_PARAMETERS:
            yield value
            yield from _pieces(text.partition(f"{name}=")[2])


def _pieces(password: str) -> Iterator[str]:
    yield from (piece for piece in re.split(r"[^A-Za-z0-9]+", password) if len(piece) >= _MIN_PIECE)


def _open_parts(text: str) -> Iterator[str]:
    """The user, the host and the database of a URL."""
    if not _CREDENTIALS.fullmatch(text):
        return
    try:
        parts = urlsplit(text)
    except ValueError:
        return
    yield from (parts.username or "", parts.hostname or "", parts.path.strip("/"))
