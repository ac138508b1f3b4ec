"""Sessions in memory instead of a database, used by the production engine."""

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from pydantic import BaseModel, PrivateAttr, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from auth_middleware._core import Core, TestStore
from auth_middleware.errors import ConfigurationError
from auth_middleware.settings import AuthSettings
from auth_middleware.testing.names import camel_case
from auth_middleware.testing.rows import column_values

Strategy: TypeAlias = Literal["compact", "jwt", "jwe", "jwks"]

# The base URL where neither the test nor the environment has one: that of Starlette's TestClient.
BASE_URL = "http://testserver"
# Where the application's own settings decide what a browser sends, so that a test sends the same.
_OF_THE_APPLICATION = (
    "base_url",
    "trusted_origins",
    "cookie_prefix",
    "cookie_name",
    "cache_cookie_name",
    "secure_cookies",
)
# What would be connected to.
_OF_CONNECTIONS = ("database_url", "listen_database_url", "jwks_url", "neon_auth_base_url", "neon_auth_jwks_url")


class MemorySettings(AuthSettings):
    """The settings of an instance whose sessions are in memory. The environment is not read."""

    _store: TestStore = PrivateAttr()
    _core: Core | None = PrivateAttr(default=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes it
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed."""
        return (init_settings,)

    @classmethod
    def of(cls, store: TestStore, secret: str, values: Mapping[str, Any]) -> "MemorySettings":
        """Settings with these values.

        Raises:
            ConfigurationError: one of them is wrong.
        """
        for name in _OF_CONNECTIONS:
            if values.get(name) is not None:
                raise ConfigurationError(f"{name} has no effect: sessions and keys are in memory. Leave it out")
        # Nothing connects to the database, but some settings are refused without one.
        required = {"database_url": "postgresql://testing@testing.invalid/testing"}
        given: dict[str, Any] = {"base_url": BASE_URL, **values, **required}
        if values.get("secret") is None and values.get("secrets") is None:
            given["secret"] = secret
        settings = cls(**given)
        settings._store = store
        return settings

    def make_core(self, user_fields: list[tuple[str, list[str]]], session_fields: list[tuple[str, list[str]]]) -> Core:
        """A core that looks sessions up in memory."""
        self._core = self._store.core(self.for_core(), user_fields, session_fields)
        return self._core

    @property
    def core(self) -> Core:
        """The core that was made."""
        if self._core is None:
            raise RuntimeError("no Auth was made with these settings")
        return self._core

    @property
    def origin(self) -> str:
        """The origin of the base URL, which issues JWTs unless `jwt_issuer` says otherwise."""
        return self.core.origin


def of_the_application(settings: AuthSettings | None = None) -> dict[str, Any]:
    """The application's settings for cookies and pages, from its own settings or from the environment."""
    try:
        settings = settings or AuthSettings()
    except ConfigurationError:
        return {}
    return {name: value for name in _OF_THE_APPLICATION if (value := getattr(settings, name)) not in (None, ())}


def signing_secret(settings: Mapping[str, object]) -> str | None:
    """The secret that signs by these settings, if one is set. Rust checks them."""
    if versions := _text(settings.get("secrets")):
        return versions.split(",")[0].partition(":")[2].strip()
    return _text(settings.get("secret"))


def _text(value: object) -> str | None:
    value = value.get_secret_value() if isinstance(value, SecretStr) else value
    return value if isinstance(value, str) else None


class MemoryServer:
    """What a Better Auth server does in a test: it writes rows, and signs cookies and tokens."""

    def __init__(self, secret: str | None = None, seed: bytes | None = None) -> None:
        self.secret = secret or secrets.token_urlsafe(32)
        self.seed = seed or secrets.token_bytes(32)
        self.store = TestStore(self.secret, self.seed)

    def settings(self, values: Mapping[str, Any]) -> MemorySettings:
        """Settings of an instance that accepts what this server signs.

        Raises:
            ConfigurationError: one of the values is wrong.
        """
        return MemorySettings.of(self.store, self.secret, values)

    def put(self, core: Core, session: BaseModel | None, user: BaseModel, **of_ban: object) -> None:
        """Insert or replace the rows."""
        row = session and column_values(session)
        self.store.put(core, row, {**column_values(user), **of_ban})

    def signed(self, token: str) -> str:
        """The session cookie's value as a browser sends it."""
        return quote(self.store.sign_token(token), safe="")

    def snapshot(
        self, strategy: Strategy, session: BaseModel, user: BaseModel, *, origin: str, version: str, max_age: float
    ) -> str:
        """The value of the cookie cache's cookie."""
        now = self.store.now()
        payload = {
            "session": _as_json(session),
            "user": _as_json(user),
            "updatedAt": int(now.timestamp() * 1000),
            "version": version,
        }
        text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
        return self.store.sign_snapshot(strategy, text, origin, max_age)

    def jwt(self, user: BaseModel, *, issuer: str, audience: str, lifetime: float, claims: Mapping[str, object]) -> str:
        """A JWT as Better Auth's jwt plugin issues it: the user, with further claims."""
        now = int(self.store.now().timestamp())
        of_user = _as_json(user)
        usual = {"iat": now, "exp": now + int(lifetime), "iss": issuer, "aud": audience, "sub": of_user["id"]}
        return self.store.sign_jwt(json.dumps({**of_user, **usual, **claims}))

    def jwks(self) -> dict[str, Any]:
        """The JWKS document."""
        return json.loads(self.store.jwks())


def _as_json(row: BaseModel) -> dict[str, object]:
    """The row as Better Auth's TypeScript has it: names in camelCase, times in UTC with milliseconds."""
    values = {name: value for name, value in column_values(row).items() if name in type(row).model_fields}
    return {camel_case(name): _json_value(value) for name, value in values.items()}


def _json_value(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value
