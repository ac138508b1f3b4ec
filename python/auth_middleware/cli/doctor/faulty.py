"""What cannot be judged while a setting is wrong: the diagnosis has a placeholder in its place."""

from collections.abc import Iterator
from typing import Any

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor import variables
from auth_middleware.settings import AuthSettings

SECRETS = ("secrets", "secret")
NAMES = ("cookie_name", "cookie_prefix", "secure_cookies", "base_url")
AS_IT_IS = "as it is"
WITHOUT_QUOTES = "without its quotes"
WITHOUT_SPACE = "without its white space"
ENDINGS = (AS_IT_IS, WITHOUT_QUOTES, WITHOUT_SPACE)
# What a value must not have around it.
_AROUND = " \t\r\n\"'`\u201c\u201d\u2018\u2019\ufeff\u00a0"
# The first variable of each setting, for settings that are missing.
_USUAL = {"secret": "BETTER_AUTH_SECRET", "secrets": "BETTER_AUTH_SECRETS", "base_url": "BETTER_AUTH_URL"}


def without_placeholders(settings: AuthSettings, diagnosis: Diagnosis) -> dict[str, Any]:
    """The effective configuration, with None for what is unknown; `to_fix` has the variable to blame for each."""
    effective = dict(diagnosis.effective or {})
    at_fault = {setting for setting, _ in diagnosis.faults if setting}
    to_fix: dict[str, str] = {}
    for setting in SECRETS:
        if setting in at_fault:
            effective["fingerprint"], to_fix["secret"] = None, _variable(setting)
    for setting in NAMES:
        if setting in at_fault and not (setting == "base_url" and settings.secure_cookies is not None):
            effective["cookie_name"], to_fix["cookie_name"] = None, _variable(setting)
    jwt: dict[str, Any] | None = effective.get("jwt") and dict(effective["jwt"])
    effective["jwt"] = jwt
    if "base_url" in at_fault:
        effective["base_origin"] = None
    for claim in ("issuer", "audience"):
        given = getattr(settings, f"jwt_{claim}")
        wrong = f"jwt_{claim}" if f"jwt_{claim}" in at_fault else "base_url" if not given else ""
        if jwt and wrong in at_fault:
            jwt[claim], to_fix[claim] = None, _variable(wrong)
    if "credentials" in at_fault:
        to_fix["credentials"] = variables.source_of("credentials") or "AUTH_MIDDLEWARE_CREDENTIALS"
    effective["to_fix"] = to_fix
    return effective


def secrets_without_faults(settings: AuthSettings, diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """What a wrong secret may have been meant to be, with descriptions."""
    at_fault = {setting for setting, _ in diagnosis.faults}
    for setting in SECRETS:
        secret = getattr(settings, setting)
        if secret is None or (setting == "secret" and settings.secrets):
            continue
        raw: str = secret.get_secret_value()
        stripped = raw.strip(_AROUND)
        if setting == "secrets":
            raw, stripped = raw.partition(":")[2], stripped.split(",")[0].partition(":")[2].strip(_AROUND)
        name = _variable(setting)
        if stripped and stripped != raw:
            is_space = raw.strip() == stripped
            yield f"the value of {name} {WITHOUT_SPACE if is_space else WITHOUT_QUOTES}", stripped
        if raw and setting in at_fault:
            yield f"the value of {name} {AS_IT_IS}", raw


def _variable(setting: str) -> str:
    return variables.source_of(setting) or _USUAL.get(setting, setting)
