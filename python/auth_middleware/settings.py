"""The settings, from the environment or from the caller. Only read here: every rule and every default is in Rust."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Never

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from auth_middleware import _core
from auth_middleware.errors import ConfigurationError

DEFAULT_COOKIE_NAME = "better-auth.session_token"
_DEFAULTS = _core.default_settings()
# Placeholders for required settings from the environment, to check the other settings without them.
_REQUIRED: dict[str, object] = {
    "database_url": "postgresql://app@database.invalid/app",
    "secret": "a secret that signs nothing at all",
    "base_url": "http://auth.invalid",
}
# What `__init__` was not called with: None is a value.
_UNSET: Any = object()


def _split(value: object) -> object:
    """Better Auth's variable is comma-separated."""
    return value.split(",") if isinstance(value, str) else value


def _as_text(value: object) -> object:
    """`freshness=30` is the same as `freshness="30"`."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _setting(name: str, description: str, *variables: str) -> Any:
    """A field with Rust's default. Without `variables` it is read from AUTH_MIDDLEWARE_<name>."""
    default: Any = () if _DEFAULTS[name] == [] else _DEFAULTS[name]
    alias = AliasChoices(*variables) if variables else None
    return Field(default=default, description=description, validation_alias=alias)


def _problem(item: ErrorDetails) -> str:
    """Describes a value of the wrong type, without showing it. Rust checks the strings."""
    value = item["input"]
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return "it is in quotes, which are part of the value: docker run --env-file keeps them. Write it without quotes"
    return item["msg"]


# What Rust can be given. It checks which of these numbers make sense.
_Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
_Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
_Secrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]


class AuthSettings(BaseSettings):
    """All settings, passed by keyword or read from environment variables.

    A file is read only on request: `AuthSettings(_env_file=".env")`.

    Raises:
        ConfigurationError: a value cannot be read, or there is no such setting. The message shows no value.
    """

    model_config = SettingsConfigDict(
        env_prefix="AUTH_MIDDLEWARE_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = _setting(
        "database_url",
        "The URL of the PostgreSQL database with Better Auth's tables. Optional if the claims of JWTs are the user.",
        "DATABASE_URL",
    )
    secret: SecretStr | None = _setting(
        "secret",
        "The secret of the Better Auth server. Required for cookies and bearer tokens.",
        "BETTER_AUTH_SECRET",
        "AUTH_SECRET",
    )
    secrets: SecretStr | None = _setting(
        "secrets", "Better Auth's versioned secrets, `2:new,1:old`. The first one signs.", "BETTER_AUTH_SECRETS"
    )
    previous_secrets: _Secrets = _setting(
        "previous_secrets", "Secrets whose signatures are still accepted, for a rotation."
    )
    base_url: str | None = _setting(
        "base_url",
        "The URL of the Better Auth server. It decides the cookie's name (https: `__Secure-`) and is a trusted origin.",
        "BETTER_AUTH_URL",
        "AUTH_BASE_URL",
    )
    trusted_origins: _Texts = _setting(
        "trusted_origins",
        "Origins whose pages may send a user's session cookie, as in Better Auth's `trustedOrigins`.",
        "BETTER_AUTH_TRUSTED_ORIGINS",
        "FRONTEND_URL",
    )
    cookie_prefix: str | None = _setting("cookie_prefix", "Better Auth's `advanced.cookiePrefix`.")
    cookie_name: str | None = _setting("cookie_name", "The name of the session cookie, if it was renamed.")
    cache_cookie_name: str | None = _setting(
        "cache_cookie_name", "The name of the `session_data` cookie, if it was renamed."
    )
    secure_cookies: bool | None = _setting(
        "secure_cookies", "Whether cookie names begin with `__Secure-`. By default, if `base_url` is https."
    )
    schema_: str | None = _setting(
        "schema",
        "The PostgreSQL schema of the tables. By default the connection's search path.",
        "AUTH_MIDDLEWARE_SCHEMA",
    )
    user_table: str | None = _setting("user_table", "The name of the `user` table. Detected by default.")
    session_table: str | None = _setting("session_table", "The name of the `session` table. Detected by default.")
    jwks_table: str | None = _setting(
        "jwks_table", "The name of the `jwks` table. Detected by default, also with the `user` table's prefix."
    )
    user_columns: dict[str, str] = _setting(
        "user_columns", "Renamed columns of the `user` table: field name, such as emailVerified, to column name."
    )
    session_columns: dict[str, str] = _setting(
        "session_columns", "Renamed columns of the `session` table: field name, such as expiresAt, to column name."
    )
    jwks_columns: dict[str, str] = _setting(
        "jwks_columns", "Renamed columns of the `jwks` table: field name, such as publicKey, to column name."
    )
    database_time_zone: str = _setting(
        "database_time_zone", "The IANA name of the zone in which columns without a time zone were written."
    )
    pool_size: _Integer = _setting(
        "pool_size", "The maximum number of connections. One statement serves many requests."
    )
    lookup_timeout_seconds: float = _setting("lookup_timeout_seconds", "How long a request waits for the store.")
    max_waiting: _Integer = _setting("max_waiting", "How many requests may wait; further requests get 503 at once.")
    retry_after_seconds: _Integer = _setting("retry_after_seconds", "The `Retry-After` header of a 503 response.")
    prepared_statements: str = _setting(
        "prepared_statements", "`on`, `off` or `auto`: named statements where they are known to be safe."
    )
    recheck_seconds: float = _setting(
        "recheck_seconds",
        "How often the sessions of guarded connections are checked, unless the feed of `live` keeps them current.",
    )
    outage_grace_seconds: float = _setting(
        "outage_grace_seconds", "How long a guarded connection stays open although its session cannot be checked."
    )
    freshness: Annotated[str, BeforeValidator(_as_text)] = _setting(
        "freshness",
        "`always` queries the store for each request; `live` caches sessions until a notification evicts them; a "
        "number of seconds caches them for that long; `cookie_cache` trusts Better Auth's snapshot until it expires.",
    )
    listen_database_url: SecretStr | None = _setting(
        "listen_database_url", "A direct connection for `live`, if `database_url` leads to a transaction pooler."
    )
    max_cached_sessions: _Integer = _setting("max_cached_sessions", "The size of the live cache, about 1 KiB for each.")
    max_age_seconds: float = _setting("max_age_seconds", "With `live`, the age at which a session is looked up again.")
    heartbeat_seconds: float = _setting(
        "heartbeat_seconds", "With `live`, the seconds between two heartbeats of the feed."
    )
    cache_strategy: str = _setting(
        "cache_strategy", "With `cookie_cache`, Better Auth's strategy: `compact`, `jwt`, `jwe` or `jwks`."
    )
    cache_version: str = _setting("cache_version", "With `cookie_cache`, Better Auth's `session.cookieCache.version`.")

    credentials: _Texts = _setting(
        "credentials",
        "The kinds of credentials that are accepted: `cookie` (the default), and, in the `Authorization` header, "
        "`bearer` for signed session tokens and `jwt`.",
    )
    bearer_unsigned: bool = _setting(
        "bearer_unsigned",
        "Whether `bearer` accepts session tokens without signature: then whoever reads one in the database is the "
        "user.",
    )
    jwks_url: str | None = _setting(
        "jwks_url",
        "Where the keys that verify JWTs are. By default the `jwks` table, or, without a database, "
        "`<base_url>/api/auth/jwks`.",
    )
    jwt_issuer: str | None = _setting("jwt_issuer", "What `iss` must be. By default the origin of `base_url`.")
    jwt_audience: str | None = _setting(
        "jwt_audience", "What `aud` must be or contain. By default the origin of `base_url`."
    )
    jwt_leeway_seconds: float = _setting("jwt_leeway_seconds", "By how much the clocks of issuer and API may differ.")
    jwt_freshness: str | None = _setting(
        "jwt_freshness",
        "`always` reads the user's row for each request, the default with a database; `live` takes it from the live "
        "cache; `claims` trusts the token until it expires.",
    )
    neon_auth_base_url: str | None = _setting(
        "neon_auth_base_url",
        "Neon's managed Better Auth. Without settings of another server it decides all the others.",
        "NEON_AUTH_BASE_URL",
    )
    neon_auth_jwks_url: str | None = _setting(
        "neon_auth_jwks_url", "Where Neon's keys are, if not below `neon_auth_base_url`.", "NEON_AUTH_JWKS_URL"
    )

    def __init__(
        self,
        *,
        database_url: str | SecretStr | None = _UNSET,
        secret: str | SecretStr | None = _UNSET,
        secrets: str | SecretStr | None = _UNSET,
        previous_secrets: str | Sequence[str | SecretStr] = _UNSET,
        base_url: str | None = _UNSET,
        trusted_origins: str | Sequence[str] = _UNSET,
        cookie_prefix: str | None = _UNSET,
        cookie_name: str | None = _UNSET,
        cache_cookie_name: str | None = _UNSET,
        secure_cookies: bool | None = _UNSET,
        schema: str | None = _UNSET,
        user_table: str | None = _UNSET,
        session_table: str | None = _UNSET,
        jwks_table: str | None = _UNSET,
        user_columns: Mapping[str, str] = _UNSET,
        session_columns: Mapping[str, str] = _UNSET,
        jwks_columns: Mapping[str, str] = _UNSET,
        database_time_zone: str = _UNSET,
        pool_size: int = _UNSET,
        lookup_timeout_seconds: float = _UNSET,
        max_waiting: int = _UNSET,
        retry_after_seconds: int = _UNSET,
        prepared_statements: str = _UNSET,
        recheck_seconds: float = _UNSET,
        outage_grace_seconds: float = _UNSET,
        freshness: str | float = _UNSET,
        listen_database_url: str | SecretStr | None = _UNSET,
        max_cached_sessions: int = _UNSET,
        max_age_seconds: float = _UNSET,
        heartbeat_seconds: float = _UNSET,
        cache_strategy: str = _UNSET,
        cache_version: str = _UNSET,
        credentials: str | Sequence[str] = _UNSET,
        bearer_unsigned: bool = _UNSET,
        jwks_url: str | None = _UNSET,
        jwt_issuer: str | None = _UNSET,
        jwt_audience: str | None = _UNSET,
        jwt_leeway_seconds: float = _UNSET,
        jwt_freshness: str | None = _UNSET,
        neon_auth_base_url: str | None = _UNSET,
        neon_auth_jwks_url: str | None = _UNSET,
        _env_file: str | Path | Sequence[str | Path] | None = _UNSET,
        # Type checkers refuse a misspelt name; at run time the message suggests one.
        **unknown: Never,
    ) -> None:
        parameters = {name: value for name, value in locals().items() if name not in ("self", "unknown", "__class__")}
        values = {name: value for name, value in (parameters | unknown).items() if value is not _UNSET}
        # Without an alias: by that, the variable SCHEMA, which other programs use, would be read too.
        if "schema" in values:
            values["schema_"] = values.pop("schema")
        for name in unknown:
            # Names with an underscore are for pydantic-settings itself.
            if not name.startswith("_") and name not in type(self).model_fields:
                raise ConfigurationError(_no_such_setting(name, list(parameters)))
        problem = None
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)
            problem = "; ".join(f"{'.'.join(map(str, item['loc']))}: {_problem(item)}" for item in wrong)
        except SettingsError:
            problem = (
                'user_columns, session_columns and jwks_columns are JSON objects: {"email_verified": "verified"}, '
                "without quotes around them, which docker run --env-file would keep"
            )
        # Raised out here, so that not even its context holds pydantic's error with the values.
        if problem is not None:
            raise ConfigurationError(f"settings cannot be read: {problem}")

    def for_core(self) -> dict[str, object]:
        """The values with secrets as plain text, for Rust to check."""
        values: dict[str, object] = self.model_dump()
        values["schema"] = values.pop("schema_")
        values["previous_secrets"] = [secret.get_secret_value() for secret in self.previous_secrets]
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()
        }

    @property
    def lacks_everything_required(self) -> bool:
        """Whether neither the caller nor the environment has set the database or the auth server."""
        required = (self.database_url, self.secret, self.secrets, self.base_url, self.neon_auth_base_url)
        return not any(required)

    def read_again(self) -> "AuthSettings":
        """The same settings with the current environment."""
        return AuthSettings(**{name: getattr(self, name) for name in self.model_fields_set})

    def make_core(
        self, user_fields: list[tuple[str, list[str]]], session_fields: list[tuple[str, list[str]]]
    ) -> _core.Core:
        """A core with these settings.

        Raises:
            ConfigurationError: a setting is missing or wrong.
        """
        return _core.Core(self.for_core(), user_fields, session_fields)


def _no_such_setting(name: str, names: Sequence[str]) -> str:
    [*nearest] = get_close_matches(name, names, n=1)
    suggestion = f": did you mean {nearest[0]}?" if nearest else f". There are {', '.join(names)}"
    return f"AuthSettings has no setting {name}{suggestion}"


def check_incomplete(
    settings: AuthSettings | None,
    user_fields: list[tuple[str, list[str]]],
    session_fields: list[tuple[str, list[str]]],
) -> None:
    """Check the settings that were passed, while required ones from the environment may still be missing.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    values = settings.for_core() if settings else {}
    _core.check_settings(values | _REQUIRED, user_fields, session_fields)


def session_cookie_name(settings: AuthSettings | None = None) -> str:
    """The session cookie's name according to the environment, for code that reads cookies itself.

    Opens nothing and never raises: if the settings are wrong, it is Better Auth's default.
    """
    try:
        settings = settings or AuthSettings()
        return _core.session_cookie_name(
            settings.base_url, settings.cookie_prefix, settings.cookie_name, settings.secure_cookies
        )
    except ConfigurationError:
        return DEFAULT_COOKIE_NAME


def accepted_credentials(settings: AuthSettings | None = None) -> tuple[bool, bool]:
    """Whether cookies are accepted by the environment, and whether bearer tokens are. Never raises."""
    try:
        return _core.accepted_credentials((settings or AuthSettings()).for_core())
    except ConfigurationError:
        return True, False
