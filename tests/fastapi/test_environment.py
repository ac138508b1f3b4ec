"""Which environment variables are read, and which are ignored."""

# Type checkers must refuse a misspelt keyword: if they accept it, the unused comment is an error.
# pyright: reportUnnecessaryTypeIgnoreComment=true

import inspect
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from auth_middleware import Auth, AuthSettings, ConfigurationError, get_auth
from auth_middleware._core import default_settings
from dev.cookies import SECRET, SECURE_COOKIE_NAME, new_token, signed
from tests.support.databases import Database
from tests.support.instances import unreachable_dsn

VARIABLES = {
    "DATABASE_URL": ("database_url", "postgresql://app@host/app"),
    "BETTER_AUTH_SECRET": ("secret", SECRET),
    "AUTH_SECRET": ("secret", SECRET),
    "BETTER_AUTH_SECRETS": ("secrets", f"1:{SECRET}"),
    "BETTER_AUTH_URL": ("base_url", "https://auth.test"),
    "AUTH_BASE_URL": ("base_url", "https://auth.test"),
    "BETTER_AUTH_TRUSTED_ORIGINS": ("trusted_origins", "https://a.test"),
    "FRONTEND_URL": ("trusted_origins", "https://a.test"),
    "AUTH_MIDDLEWARE_COOKIE_PREFIX": ("cookie_prefix", "shop"),
    "AUTH_MIDDLEWARE_COOKIE_NAME": ("cookie_name", "sid"),
    "AUTH_MIDDLEWARE_CACHE_COOKIE_NAME": ("cache_cookie_name", "sid_data"),
    "AUTH_MIDDLEWARE_PREVIOUS_SECRETS": ("previous_secrets", SECRET),
    "AUTH_MIDDLEWARE_FRESHNESS": ("freshness", "cookie_cache"),
    "AUTH_MIDDLEWARE_LISTEN_DATABASE_URL": ("listen_database_url", "postgresql://app@localhost/app"),
    "AUTH_MIDDLEWARE_MAX_CACHED_SESSIONS": ("max_cached_sessions", "7"),
    "AUTH_MIDDLEWARE_MAX_AGE_SECONDS": ("max_age_seconds", "1.5"),
    "AUTH_MIDDLEWARE_HEARTBEAT_SECONDS": ("heartbeat_seconds", "1.5"),
    "AUTH_MIDDLEWARE_CACHE_STRATEGY": ("cache_strategy", "jwe"),
    "AUTH_MIDDLEWARE_CACHE_VERSION": ("cache_version", "2"),
    "AUTH_MIDDLEWARE_SECURE_COOKIES": ("secure_cookies", "true"),
    "AUTH_MIDDLEWARE_SCHEMA": ("schema_", "auth"),
    "AUTH_MIDDLEWARE_USER_TABLE": ("user_table", "people"),
    "AUTH_MIDDLEWARE_SESSION_TABLE": ("session_table", "logins"),
    "AUTH_MIDDLEWARE_USER_COLUMNS": ("user_columns", '{"email_verified": "verified"}'),
    "AUTH_MIDDLEWARE_SESSION_COLUMNS": ("session_columns", '{"user_id": "owner"}'),
    "AUTH_MIDDLEWARE_JWKS_TABLE": ("jwks_table", "keys"),
    "AUTH_MIDDLEWARE_CREDENTIALS": ("credentials", "cookie,jwt"),
    "AUTH_MIDDLEWARE_BEARER_UNSIGNED": ("bearer_unsigned", "true"),
    "AUTH_MIDDLEWARE_JWKS_URL": ("jwks_url", "https://auth.example.com/jwks"),
    "AUTH_MIDDLEWARE_JWT_ISSUER": ("jwt_issuer", "https://issuer.example"),
    "AUTH_MIDDLEWARE_JWT_AUDIENCE": ("jwt_audience", "my-api"),
    "AUTH_MIDDLEWARE_JWT_LEEWAY_SECONDS": ("jwt_leeway_seconds", "30"),
    "AUTH_MIDDLEWARE_JWT_FRESHNESS": ("jwt_freshness", "claims"),
    "NEON_AUTH_BASE_URL": ("neon_auth_base_url", "https://ep-x.neonauth.aws.neon.tech/neondb/auth"),
    "NEON_AUTH_JWKS_URL": ("neon_auth_jwks_url", "https://ep-x.neonauth.aws.neon.tech/keys"),
    "AUTH_MIDDLEWARE_JWKS_COLUMNS": ("jwks_columns", '{"publicKey": "jwk"}'),
    "AUTH_MIDDLEWARE_DATABASE_TIME_ZONE": ("database_time_zone", "Europe/Berlin"),
    "AUTH_MIDDLEWARE_POOL_SIZE": ("pool_size", "7"),
    "AUTH_MIDDLEWARE_LOOKUP_TIMEOUT_SECONDS": ("lookup_timeout_seconds", "1.5"),
    "AUTH_MIDDLEWARE_MAX_WAITING": ("max_waiting", "7"),
    "AUTH_MIDDLEWARE_RETRY_AFTER_SECONDS": ("retry_after_seconds", "7"),
    "AUTH_MIDDLEWARE_PREPARED_STATEMENTS": ("prepared_statements", "off"),
    "AUTH_MIDDLEWARE_RECHECK_SECONDS": ("recheck_seconds", "1.5"),
    "AUTH_MIDDLEWARE_OUTAGE_GRACE_SECONDS": ("outage_grace_seconds", "0"),
}
VALUES = {
    "previous_secrets": (SECRET,),
    "trusted_origins": ("https://a.test",),
    "secure_cookies": True,
    "credentials": ("cookie", "jwt"),
    "bearer_unsigned": True,
    "jwt_leeway_seconds": 30.0,
    "user_columns": {"email_verified": "verified"},
    "session_columns": {"user_id": "owner"},
    "jwks_columns": {"publicKey": "jwk"},
    "pool_size": 7,
    "lookup_timeout_seconds": 1.5,
    "max_waiting": 7,
    "max_cached_sessions": 7,
    "max_age_seconds": 1.5,
    "heartbeat_seconds": 1.5,
    "retry_after_seconds": 7,
    "recheck_seconds": 1.5,
    "outage_grace_seconds": 0.0,
}


def plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def values() -> dict[str, Any]:
    return {name: plain(value) for name, value in AuthSettings().model_dump().items()}


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_sets_its_field_and_no_other(environment: pytest.MonkeyPatch, variable: str) -> None:
    before = values()
    field, text = VARIABLES[variable]
    environment.setenv(variable, text)
    assert values() == before | {field: VALUES.get(field, text)}


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_counts_as_not_set(environment: pytest.MonkeyPatch, variable: str) -> None:
    before = values()
    environment.setenv(variable, "")
    assert values() == before


def test_every_field_has_a_variable() -> None:
    assert {field for field, _ in VARIABLES.values()} == set(AuthSettings.model_fields)


@pytest.mark.parametrize("variable", ["SECRET", "SCHEMA", "BASE_URL", "COOKIE_NAME", "POOL_SIZE", "SECRETS", "SCHEMA_"])
def test_a_variable_of_other_programs_is_ignored(environment: pytest.MonkeyPatch, variable: str) -> None:
    before = values()
    environment.setenv(variable, "1")
    environment.setenv(variable.lower(), "1")
    assert values() == before


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("BETTER_AUTH_SECRET", "AUTH_SECRET"),
        ("BETTER_AUTH_URL", "AUTH_BASE_URL"),
        ("BETTER_AUTH_TRUSTED_ORIGINS", "FRONTEND_URL"),
    ],
)
def test_better_auths_variable_takes_precedence(environment: pytest.MonkeyPatch, first: str, second: str) -> None:
    field, text = VARIABLES[first]
    environment.setenv(first, text)
    environment.setenv(second, "something else")
    assert values()[field] == VALUES.get(field, text)
    environment.setenv(first, "")
    assert values()[field] in ("something else", ("something else",))


def test_a_misspelt_setting_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="trusted_orgins: did you mean trusted_origins"):
        AuthSettings(trusted_orgins=("https://a.test",))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="poolsize: did you mean pool_size"):
        AuthSettings(poolsize=3)  # pyright: ignore[reportArgumentType]


def test_every_setting_is_a_keyword_with_a_description() -> None:
    keywords = inspect.signature(AuthSettings.__init__).parameters
    for name, field in AuthSettings.model_fields.items():
        assert field.description, name
        parameter = keywords[name.removesuffix("_")]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.annotation is not Any


def test_defaults_come_from_rust() -> None:
    for name, default in default_settings().items():
        value = getattr(AuthSettings(), {"schema": "schema_"}.get(name, name))
        assert value == (() if default == [] else default), name


def test_trusted_origins_are_separated_by_commas(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BETTER_AUTH_TRUSTED_ORIGINS", "https://a.test,https://*.b.test")
    assert AuthSettings().trusted_origins == ("https://a.test", "https://*.b.test")


async def test_the_first_of_several_secrets_signs(environment: pytest.MonkeyPatch, database: Database) -> None:
    who, newer = database.sign_in(), new_token() * 2
    environment.setenv("DATABASE_URL", database.dsn)
    environment.setenv("BETTER_AUTH_SECRET", SECRET)
    environment.setenv("BETTER_AUTH_SECRETS", f"2:{newer},1:{SECRET}")
    environment.setenv("BETTER_AUTH_URL", "https://auth.test")
    assert get_auth().cookie_name == SECURE_COOKIE_NAME
    assert await get_auth().validate_session(signed(who.token, newer)) is not None
    assert await get_auth().validate_session(signed(who.token, SECRET)) is None
    await get_auth().close()


def test_a_dotenv_file_is_read_only_if_given(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        "BETTER_AUTH_URL=https://file.test\nDATABASE_URL=postgresql://app@file/app\nSCHEMA=x\nSECRET=x\n"
    )
    assert AuthSettings().base_url is None
    with_file: Any = {"_env_file": ".env"}
    settings = AuthSettings(**with_file)
    assert (settings.base_url, plain(settings.database_url)) == ("https://file.test", "postgresql://app@file/app")
    assert (settings.schema_, settings.secret) == (None, None)
    environment.setenv("BETTER_AUTH_URL", "https://environment.test")
    assert AuthSettings(**with_file).base_url == "https://environment.test"


def test_an_argument_takes_precedence_over_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BETTER_AUTH_URL", "https://environment.test")
    environment.setenv("AUTH_MIDDLEWARE_SCHEMA", "environment")
    settings = AuthSettings(base_url="https://given.test", schema="given")
    assert (settings.base_url, settings.schema_) == ("https://given.test", "given")


def test_settings_are_frozen() -> None:
    settings: Any = AuthSettings()
    with pytest.raises(ValidationError):
        settings.secret = SECRET


def test_the_base_url_is_optional_with_an_explicit_cookie_name() -> None:
    required: dict[str, Any] = {"database_url": unreachable_dsn(), "secret": SECRET}
    with pytest.raises(ConfigurationError, match="BETTER_AUTH_URL"):
        Auth(AuthSettings(**required))
    assert Auth(AuthSettings(**required, secure_cookies=True)).cookie_name == SECURE_COOKIE_NAME
    assert Auth(AuthSettings(**required, cookie_name="sid")).cookie_name == "sid"


@pytest.mark.parametrize("quote", ["'", '"'])
# A previous secret may be in quotes, so that its signatures remain valid.
@pytest.mark.parametrize("variable", [each for each in VARIABLES if each != "AUTH_MIDDLEWARE_PREVIOUS_SECRETS"])
def test_a_value_in_quotes_is_refused(variable: str, quote: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BETTER_AUTH_SECRET", "BETTER_AUTH_URL"):
        if VARIABLES[name][0] != VARIABLES[variable][0]:
            monkeypatch.setenv(name, VARIABLES[name][1])
    monkeypatch.setenv(variable, f"{quote}{VARIABLES[variable][1]}{quote}")
    with pytest.raises(ConfigurationError) as caught:
        Auth(AuthSettings())
    message = str(caught.value)
    assert "quotes" in message
    assert "--env-file" in message
    field = VARIABLES[variable][0].rstrip("_")
    assert {"base_url": "BETTER_AUTH_URL"}.get(field, field).lower() in message.lower()
    assert SECRET not in message


def test_trusted_origins_are_read_as_a_json_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_TRUSTED_ORIGINS", '["https://app.example.com", "https://*"]')
    settings = AuthSettings(database_url=unreachable_dsn(), secret=SECRET, base_url="https://auth.test")
    with pytest.raises(ConfigurationError, match=r'"https://\*".*every site'):
        Auth(settings)
