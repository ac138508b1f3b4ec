"""The settings: which are wrong, their values, and where each comes from."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr

from auth_middleware._core import Diagnosis
from auth_middleware.cli.doctor import hidden, variables
from auth_middleware.cli.doctor.findings import (
    NOT_SET,
    Finding,
    Report,
    SettingValue,
    Status,
    fault,
    note,
    of_text,
    ok,
    warning,
)
from auth_middleware.environment import hints, misspelt_variables, unknown_variables
from auth_middleware.errors import ConfigurationError
from auth_middleware.settings import AuthSettings

AREA = "settings"
LISTED = "docs/settings.md lists every setting"
DATABASE = "Set it as in postgresql://user:password@host:5432/database"
# Where the message itself does not say how to fix it.
FIXES = {
    "database_url": DATABASE,
    "listen_database_url": DATABASE,
    "secrets": "Set it as in BETTER_AUTH_SECRETS=2:new-secret,1:old-secret, as at the auth server",
    "trusted_origins": "List the exact origins of your pages, as in https://app.example.com",
    "database_time_zone": "Set it to an IANA name, such as Europe/Berlin",
}
SECRETS = ("secret", "secrets", "previous_secrets")
URLS = (
    "base_url",
    "trusted_origins",
    "jwks_url",
    "neon_auth_base_url",
    "neon_auth_jwks_url",
    "jwt_issuer",
    "jwt_audience",
)


def read(report: Report, from_files: Mapping[str, str], directory: Path) -> tuple[AuthSettings, Diagnosis]:
    """Reads the settings as a server does, and reports what is wrong with them. The wrong ones are left out."""
    settings, unreadable = _settings()
    diagnosis = Diagnosis(settings.for_core())
    report.hide(hidden.texts(settings))
    report.settings = list(_values(settings, diagnosis, from_files))
    file = variables.unread_file(directory)
    report.add(*unreadable, *_faults(diagnosis, settings))
    if not report.has_fault():
        report.add(ok(AREA, "every setting is valid"))
    report.add(*_names(diagnosis, settings), *_doubled(diagnosis))
    if file and not report.has_fault():
        names = ", ".join(file[1])
        fix = f"Pass AuthSettings(_env_file={file[0].name!r}). For the doctor, use --env-file {file[0].name}"
        report.add(note(AREA, f"{file[0].name} in this directory sets {names}, and is not read", fix))
    return settings, diagnosis


def load(files: Sequence[Path]) -> Mapping[str, str]:
    """Sets what the files say and the environment does not; returns which variable came from which file.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    sources: dict[str, str] = {}
    for file in files:
        for name, value in variables.read_file(file).items():
            if not variables.value_of(name):
                os.environ[name] = value
                sources[name.upper()] = str(file)
    return sources


def _settings() -> tuple[AuthSettings, list[Finding]]:
    """The settings without the variables that cannot even be read, and a fault for each of those."""
    given = [variable for names in variables.by_setting().values() for variable in names]
    given = [variable for variable in given if variables.value_of(variable)]
    wrong = [variable for variable in given if not _is_text(variables.value_of(variable) or "")]
    found = [fault(AREA, f"{variable} is not UTF-8", "Set it to text") for variable in wrong]
    try:
        with variables.without(wrong):
            return AuthSettings(), found
    except ConfigurationError as error:
        whole = str(error)
    for variable in given:
        with variables.without(other for other in given if other != variable):
            try:
                AuthSettings()
            except ConfigurationError as error:
                wrong.append(variable)
                problem = str(error).removeprefix("settings cannot be read: ")
                found.append(of_text(AREA, Status.FAULT, f"{variable} cannot be read: {problem}", LISTED))
    with variables.without(wrong):
        return AuthSettings(), found or [of_text(AREA, Status.FAULT, whole, LISTED)]


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _faults(diagnosis: Diagnosis, settings: AuthSettings) -> Iterator[Finding]:
    for setting, message in diagnosis.faults:
        finding = of_text(AREA, Status.FAULT, message, FIXES.get(setting or "", LISTED))
        source = variables.source_of(setting) if setting else None
        text = finding.message if source is None or source in finding.message else f"{source}: {finding.message}"
        # Names of other settings that are wrong are findings of their own.
        yield fault(AREA, text, ". ".join([finding.fix or LISTED, *hints(message, settings)]))


def _names(diagnosis: Diagnosis, settings: AuthSettings) -> Iterator[Finding]:
    """Variables that set nothing, except those that the fix of a fault names."""
    in_fixes = {hint.partition(" ")[0] for _, message in diagnosis.faults for hint in hints(message, settings)}
    for text in (*unknown_variables(), *misspelt_variables(settings=settings)):
        if text.partition(" ")[0] in in_fixes:
            continue
        message, _, fix = text.partition(": ")
        yield warning(AREA, message, f"{fix[0].upper()}{fix[1:]}" if fix else LISTED)


def _doubled(diagnosis: Diagnosis) -> Iterator[Finding]:
    """Settings with two variables whose values differ."""
    for first, *others in variables.by_setting().values():
        used = variables.value_of(first)
        for other in others:
            ignored = variables.value_of(other)
            if not used or not ignored or used == ignored:
                continue
            if first == "BETTER_AUTH_TRUSTED_ORIGINS" and diagnosis.trusts(ignored.rstrip("/")):
                continue
            yield warning(
                AREA,
                f"{first} and {other} are both set and differ: only {first} is read",
                f"Remove {other}, or give both the same value",
            )
    if variables.value_of("BETTER_AUTH_SECRETS") and variables.value_of("BETTER_AUTH_SECRET"):
        message = "BETTER_AUTH_SECRETS takes precedence over BETTER_AUTH_SECRET, which is only used to decrypt"
        yield note(AREA, message, "Remove BETTER_AUTH_SECRET once the cookies that it encrypted have expired")


def _values(settings: AuthSettings, diagnosis: Diagnosis, from_files: Mapping[str, str]) -> Iterator[SettingValue]:
    effective = diagnosis.effective or {}
    is_neon = not settings.base_url and bool(effective.get("base_origin")) and bool(settings.neon_auth_base_url)
    for name in variables.by_setting():
        field = "schema_" if name == "schema" else name
        value: Any = getattr(settings, field)
        source = variables.source_of(name)
        if source and source.upper() in from_files:
            source = f"{source} in {from_files[source.upper()]}"
        if source is None and is_neon and (preset := _of_neon(name, effective)):
            yield SettingValue(name, preset, "preset of NEON_AUTH_BASE_URL")
            continue
        yield SettingValue(name, _shown(name, value, effective), source or "default")


def _of_neon(name: str, effective: Mapping[str, Any]) -> str | None:
    jwt: Mapping[str, Any] = effective.get("jwt") or {}
    presets = {
        "base_url": effective.get("base_origin"),
        "credentials": ", ".join(effective.get("credentials", ())),
        "schema": effective.get("schema"),
        "jwks_url": jwt.get("jwks_url"),
        "jwt_issuer": jwt.get("issuer"),
        "jwt_audience": jwt.get("audience"),
    }
    return presets.get(name)


def _shown(name: str, value: Any, effective: Mapping[str, Any]) -> str:
    if value is None or value in ((), {}):
        return NOT_SET
    if name in ("database_url", "listen_database_url"):
        place: Mapping[str, Any] | None = effective.get(name.removesuffix("_url"))
        return f"{place['address']} as {place['role']}" if place else "set"
    if name in SECRETS or isinstance(value, SecretStr):
        return "set"
    items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
    texts = [str(item) for item in items]
    if name in URLS:
        texts = [hidden.without_password(hidden.without_json(text)) for text in texts]
    return ", ".join(texts)
