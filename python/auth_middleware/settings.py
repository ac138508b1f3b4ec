"""The settings as the environment or the caller has them. Only read here; Rust checks every rule."""

from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from auth_middleware import _core
from auth_middleware.errors import ConfigurationError

DEFAULT_COOKIE_NAME = "better-auth.session_token"


def _split(value: object) -> object:
    """Better Auth's variable is comma-separated."""
    return value.split(",") if isinstance(value, str) else value


def _as_text(value: object) -> object:
    """`freshness=30` says the same as `freshness="30"`."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _problem(item: ErrorDetails) -> str:
    """What is wrong with a value that is no text; Rust looks at the texts. Shows no value."""
    value = item["input"]
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return "it is in quotes, which are part of the value: docker run --env-file keeps them. Write it without quotes"
    return item["msg"]


# As much as Rust can be handed; it says which of these numbers are sensible.
Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class AuthSettings(BaseSettings):
    """Everything that can be set. The README's table tells each field's meaning and default.

    Read from the environment; from a file only when asked for: `AuthSettings(_env_file=".env")`.

    Raises:
        ConfigurationError: a value cannot be read. It shows no value.
    """

    model_config = SettingsConfigDict(
        env_prefix="AUTH_MIDDLEWARE_",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(default=None, validation_alias=AliasChoices("DATABASE_URL"))
    secret: SecretStr | None = Field(default=None, validation_alias=AliasChoices("BETTER_AUTH_SECRET", "AUTH_SECRET"))
    secrets: SecretStr | None = Field(default=None, validation_alias=AliasChoices("BETTER_AUTH_SECRETS"))
    previous_secrets: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)] = ()
    base_url: str | None = Field(default=None, validation_alias=AliasChoices("BETTER_AUTH_URL", "AUTH_BASE_URL"))
    trusted_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        default=(), validation_alias=AliasChoices("BETTER_AUTH_TRUSTED_ORIGINS", "FRONTEND_URL")
    )
    cookie_prefix: str | None = None
    cookie_name: str | None = None
    cache_cookie_name: str | None = None
    secure_cookies: bool | None = None
    schema_: str | None = Field(default=None, validation_alias=AliasChoices("AUTH_MIDDLEWARE_SCHEMA"))
    user_table: str | None = None
    session_table: str | None = None
    user_columns: dict[str, str] = Field(default_factory=dict)
    session_columns: dict[str, str] = Field(default_factory=dict)
    pool_size: Whole = 2
    lookup_timeout_seconds: float = 5.0
    max_waiting: Whole = 10_000
    retry_after_seconds: Whole = 1
    prepared_statements: str = "auto"
    freshness: Annotated[str, BeforeValidator(_as_text)] = "always"
    listen_database_url: SecretStr | None = None
    max_cached_sessions: Whole = 100_000
    max_age_seconds: float = 60.0
    heartbeat_seconds: float = 5.0
    cache_strategy: str = "compact"
    cache_version: str = "1"

    def __init__(self, **values: Any) -> None:
        # No alias: then the variable SCHEMA, which anybody may use, would be read.
        if "schema" in values:
            values["schema_"] = values.pop("schema")
        unknown = [name for name in values if not name.startswith("_") and name not in type(self).model_fields]
        if unknown:
            raise ConfigurationError(f"AuthSettings has no field {', '.join(unknown)}: see its signature")
        problem = None
        try:
            super().__init__(**values)
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_context=False)
            problem = "; ".join(f"{'.'.join(map(str, item['loc']))}: {_problem(item)}" for item in wrong)
        except SettingsError:
            problem = (
                'user_columns and session_columns are JSON objects: {"email_verified": "verified"}, without quotes '
                "around them, which docker run --env-file would keep"
            )
        # Raised out here, so that not even its context holds pydantic's error with the values.
        if problem is not None:
            raise ConfigurationError(f"settings cannot be read: {problem}")

    def for_core(self) -> dict[str, object]:
        """The values in plain, for Rust to check."""
        values: dict[str, object] = self.model_dump()
        values["schema"] = values.pop("schema_")
        values["previous_secrets"] = [secret.get_secret_value() for secret in self.previous_secrets]
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in values.items()
        }


def session_cookie_name() -> str:
    """The session cookie's name by the environment, for code that reads cookies itself.

    Opens nothing and never raises: where the settings lead to no name it is Better Auth's default.
    """
    try:
        settings = AuthSettings()
        return _core.session_cookie_name(
            settings.base_url, settings.cookie_prefix, settings.cookie_name, settings.secure_cookies
        )
    except ConfigurationError:
        return DEFAULT_COOKIE_NAME
