"""Variables with a misspelt prefix set nothing: one warning has the name that was meant."""

import logging

import pytest

from auth_middleware import Auth, AuthSettings, ConfigurationError, get_auth
from auth_middleware.environment import misspelt_variables
from dev.cookies import SECRET

REQUIRED = {"DATABASE_URL": "postgresql://app@db/app", "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": "http://a.test"}
MISSPELT = {
    "AUTH_MIDDLEWEAR_FRESHNESS": "AUTH_MIDDLEWARE_FRESHNESS",
    "AUTH_MIDLEWARE_CREDENTIALS": "AUTH_MIDDLEWARE_CREDENTIALS",
    "AUTH_MIDDLEWARES_POOL_SIZE": "AUTH_MIDDLEWARE_POOL_SIZE",
    "AUTHMIDDLEWARE_JWKS_TABLE": "AUTH_MIDDLEWARE_JWKS_TABLE",
    "AUTH_MIDDELWARE_COOKIE_PREFIX": "AUTH_MIDDLEWARE_COOKIE_PREFIX",
    "AUTH_MIDDLEWARECACHE_STRATEGY": "AUTH_MIDDLEWARE_CACHE_STRATEGY",
    "auth_midleware_jwt_freshness": "AUTH_MIDDLEWARE_JWT_FRESHNESS",
    "AUTH_MIDDELWEAR_MAX_AGE_SECONDS": None,  # three edits
    "ATUH_MIDDLEWARE_SCHEMA": "AUTH_MIDDLEWARE_SCHEMA",
    "AUTH_MIDDLEWRE_PREVIOUS_SECRETS": "AUTH_MIDDLEWARE_PREVIOUS_SECRETS",
    "AUTH_MIDLEWARE_TRUSTED_ORIGINS": "BETTER_AUTH_TRUSTED_ORIGINS",
    "BETTERAUTH_TRUSTED_ORIGINS": "BETTER_AUTH_TRUSTED_ORIGINS",
    "BETTER_AUT_SECRETS": "BETTER_AUTH_SECRETS",
    "BETER_AUTH_TRUSTED_ORIGINS": "BETTER_AUTH_TRUSTED_ORIGINS",
    "BETTER_AUHT_SECRETS": "BETTER_AUTH_SECRETS",
    "BETTERR_AUTH_SECRETS": "BETTER_AUTH_SECRETS",
    "ETTER_AUTH_SECRETS": "BETTER_AUTH_SECRETS",
    "BETTER_AUTHSECRETS": "BETTER_AUTH_SECRETS",
    "BETTER__AUTH_SECRETS": "BETTER_AUTH_SECRETS",
    "BETTER_AUTH_TRUSTED_ORIGIN": "BETTER_AUTH_TRUSTED_ORIGINS",
    "BETTER_AUTH_TRUSTEDORIGINS": "BETTER_AUTH_TRUSTED_ORIGINS",
    "BETTER_AUTH_SECRETES": "BETTER_AUTH_SECRETS",
    "BETTER_AUTH_SECRETS_": "BETTER_AUTH_SECRETS",
    "AUTHMIDLEWARE_JWKS_TABLE": "AUTH_MIDDLEWARE_JWKS_TABLE",
    "UATH_MIDDLEWARE_FRESHNESS": "AUTH_MIDDLEWARE_FRESHNESS",
    "BETER_AUT_SECRETS": None,  # two edits, of which AUTH_MIDDLEWARE_ may have so many
}
# Variables of other programs, and those whose right spelling is set too.
OTHERS = (
    *("PATH", "HOME", "SECRET", "URL", "DATABASE_URL", "AUTH_SECRET", "AUTH_URL", "NEXTAUTH_SECRET", "NEXTAUTH_URL"),
    *("BETTER_STACK_URL", "BETTERSTACK_SOURCE_TOKEN", "BETTER_UPTIME_URL", "BETTER_API_URL", "BETTER_SECRET"),
    *("BETTER_AUTH_TELEMETRY", "BETTER_AUTH_API_KEY", "BETTER_AUTH_UI_URL", "BETTER_OAUTH_URL", "BETTER_AUTHZ_SECRET"),
    *("OAUTH_MIDDLEWARE_CREDENTIALS", "AUTHZ_MIDDLEWARE_SCHEMA", "AUTHN_MIDDLEWARE_CREDENTIALS", "MIDDLEWARE_SCHEMA"),
    *("MY_AUTH_MIDDLEWARE_SCHEMA", "AUTH_MIDDLEWEAR_SERVICE_HOST", "AUTH_MIDLEWARE_WHATEVER", "AUTH_SCHEMA"),
    *("BETTERAUTH_DATABASE", "AUTH_MIDDLEWARE_SERVICE_HOST", "AUTH_HARDWARE_CREDENTIALS", "FRONTEND_URL"),
    *("BEARER_AUTH_SECRET", "BEARER_AUTH_URL", "TESTER_AUTH_SECRET", "METER_AUTH_URL", "LETTER_AUTH_SECRET"),
    *("PETER_AUTH_SECRET", "BATTERY_AUTH_URL", "SETTER_AUTH_URL", "GETTER_AUTH_SECRETS", "BUTTER_AUTH_URL"),
    *("BETTER_PATH_URL", "BETTER_MATH_URL", "BETTER_AUTHOR_URL", "BETTER_AUTH2_URL", "BETTEROAUTH_SECRET"),
    *("BETTER_AUTO_URL", "BETTER_AUTHN_SECRET", "BETTER_AUTHY_URL", "BETTER_XAUTH_URL", "BETTER_OAUTH_SECRET"),
    *(
        "X_BETTER_AUTH_URL",
        "MY_BETTER_AUTH_SECRET",
        "_BETTER_AUTH_SECRET",
        "A_AUTH_MIDDLEWARE_SCHEMA",
        "BETTER_AUTH_KV_URL",
    ),
    *(
        "BETTER_AUTH_CURL",
        "BETTER_AUTH_UI_SECRET",
        "BETTER_AUTH_SECRET2",
        "BETTER_AUTH_SECRET_ID",
        "BETTER_AUTH_KV_URL",
    ),
    *("PATH_MIDDLEWARE_SCHEMA", "AUTHOR_MIDDLEWARE_SCHEMA", "AUTH2_MIDDLEWARE_SCHEMA", "AUTO_MIDDLEWARE_SCHEMA"),
    "AUTH_MIDLEWARE_\x1b[31mSCHEMA",
)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("variable", MISSPELT)
def test_a_misspelt_prefix_is_one_warning_with_the_right_name(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str
) -> None:
    for name, value in REQUIRED.items():
        environment.setenv(name, value)
    environment.setenv(variable, "hunter2")
    get_auth()
    meant = MISSPELT[variable]
    assert warnings(caplog) == ([f"{variable} is not a setting: did you mean {meant}?"] if meant else [])


def test_variables_of_other_programs_are_no_warning() -> None:
    assert misspelt_variables(dict.fromkeys(OTHERS, "x")) == []
    assert misspelt_variables({"AUTH_MIDLEWARE_FRESHNESS": ""}) == []
    assert misspelt_variables({"BETTERAUTH_SECRET": "x", "BETTER_AUTH_SECRET": "y"}) == []


@pytest.mark.parametrize(
    ("other", "misspelt"),
    [
        ("AUTH_SECRET", "BETTERAUTH_SECRET"),
        ("AUTH_SECRET", "AUTH_MIDLEWARE_SECRET"),
        ("AUTH_BASE_URL", "BETER_AUTH_URL"),
        ("auth_base_url", "BETER_AUTH_URL"),
        ("FRONTEND_URL", "BETER_AUTH_TRUSTED_ORIGINS"),
        ("AUTH_MIDDLEWARE_POOL_SIZE", "AUTH_MIDLEWARE_POOL_SIZE"),
        ("NEON_AUTH_BASE_URL", "BETTERAUTH_SECRET"),
        ("NEON_AUTH_BASE_URL", "AUTH_MIDLEWARE_BASE_URL"),
    ],
)
def test_a_setting_that_another_variable_sets_is_not_suggested(other: str, misspelt: str) -> None:
    assert misspelt_variables({misspelt: "x", other: ""}) != []
    assert misspelt_variables({misspelt: "x", other: "y"}) == []


@pytest.mark.parametrize("variable", ["BETTERAUTH_SECRET", "BETER_AUTH_URL", "AUTH_MIDLEWARE_DATABASE_URL"])
def test_a_setting_that_the_application_passes_is_not_suggested(
    environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str
) -> None:
    environment.setenv(variable, "hunter2")
    passed = AuthSettings(database_url=REQUIRED["DATABASE_URL"], secret=SECRET, base_url=REQUIRED["BETTER_AUTH_URL"])
    _ = Auth(passed).counters
    assert warnings(caplog) == []


@pytest.mark.parametrize("empty", ["", None])
def test_an_empty_setting_has_no_value(empty: str | None) -> None:
    settings = AuthSettings(secret=empty, base_url=empty)
    for variable in ("BETTERAUTH_SECRET", "BETER_AUTH_URL"):
        assert len(misspelt_variables({variable: "x"}, settings)) == 1


def test_neon_that_the_application_passes_needs_no_setting_of_another_server(environment: pytest.MonkeyPatch) -> None:
    settings = AuthSettings(neon_auth_base_url="https://ep-a.neonauth.us-east-1.aws.neon.tech/neondb/auth")
    environment.setenv("AUTH_MIDLEWARE_FRESHNESS", "live")
    environment.setenv("BETTERAUTH_SECRET", SECRET)
    [line] = misspelt_variables(settings=settings)
    assert "AUTH_MIDDLEWARE_FRESHNESS" in line


def test_every_setting_is_found_by_its_suffix() -> None:
    for field in AuthSettings.model_fields:
        name = f"AUTH_MIDLEWARE_{field.rstrip('_').upper()}"
        [line] = misspelt_variables({name: "x"})
        assert line.startswith(f"{name} is not a setting: did you mean ")
    for rest in ("SECRET", "SECRETS", "URL", "TRUSTED_ORIGINS"):
        [line] = misspelt_variables({f"BETTR_AUTH_{rest}": "x"})
        assert line == f"BETTR_AUTH_{rest} is not a setting: did you mean BETTER_AUTH_{rest}?"


@pytest.mark.parametrize("variable", ["BETTERAUTH_SECRET", "BETTER_AUT_SECRET", "BETTER_ATH_SECRET"])
def test_a_missing_setting_is_explained_once(environment: pytest.MonkeyPatch, variable: str) -> None:
    for name, value in REQUIRED.items():
        environment.setenv(name, value)
    environment.delenv("BETTER_AUTH_SECRET")
    environment.setenv(variable, SECRET)
    with pytest.raises(ConfigurationError) as caught:
        Auth(AuthSettings())
    message = str(caught.value)
    assert message.count(variable) == 1
    assert f"{variable} is set: did you mean BETTER_AUTH_SECRET?" in message
    assert SECRET not in message
