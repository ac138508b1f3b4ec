"""Environment variables: which set a setting, which are misspelt, and what a `.env` file holds that nobody reads."""

import os
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices

from auth_middleware.errors import ConfigurationError
from auth_middleware.settings import AuthSettings

PREFIX = "AUTH_MIDDLEWARE_"
# Other programs have variables like these.
_FAMILIES = (PREFIX, "AUTHMIDDLEWARE", "BETTER_AUTH", "BETTERAUTH", "AUTH_S", "NEON_AUTH", "DATABASE_", "DB_URL")


def variables() -> Mapping[str, tuple[str, ...]]:
    """The variables of each setting, the first that is set counts."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in AuthSettings.model_fields.items():
        alias = field.validation_alias
        names = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
        found[name.removesuffix("_")] = tuple(names) or (f"{PREFIX}{name.upper()}",)
    return found


def value_of(variable: str) -> str | None:
    """The variable's value, as pydantic-settings finds it: the case does not matter, and empty is not set."""
    for name, value in os.environ.items():
        if name.upper() == variable.upper() and value:
            return value
    return None


def source_of(setting: str) -> str | None:
    """The variable that sets this setting."""
    return next((variable for variable in variables()[setting] if value_of(variable)), None)


def misspelt() -> list[tuple[str, str | None]]:
    """Variables that look like ours and are none, with the nearest name that is."""
    known = [variable for names in variables().values() for variable in names]
    found: list[tuple[str, str | None]] = []
    for name in sorted(os.environ):
        upper = name.upper()
        if upper in known or not upper.startswith(_FAMILIES):
            continue
        suffix = upper.removeprefix(PREFIX)
        exact = [variable for variable in known if variable.removeprefix("BETTER_") == suffix or variable == suffix]
        [*nearest] = exact[:1] or get_close_matches(upper, known, n=1, cutoff=0.85)
        if upper.startswith(PREFIX):
            [*nearest] = nearest or get_close_matches(upper, known, n=1, cutoff=0.75)
            found.append((name, nearest[0] if nearest else None))
        elif nearest and not value_of(nearest[0]):
            found.append((name, nearest[0]))
    return found


def unread_file(directory: Path) -> tuple[Path, Mapping[str, str]] | None:
    """The `.env` file there, and those of its variables that would set what is not set."""
    file = directory / ".env"
    if not file.is_file():
        return None
    known = {variable for names in variables().values() for variable in names}
    values = read_file(file)
    unset = {name: value for name, value in values.items() if name.upper() in known and not value_of(name)}
    return (file, unset) if unset else None


def read_file(file: Path) -> Mapping[str, str]:
    """
    Raises:
        ConfigurationError: there is no such file, or it is no text.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigurationError(f"the file {file} cannot be read: {reason}") from None
    from io import StringIO  # noqa: PLC0415

    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value}


@contextmanager
def without(names: Iterable[str]) -> Generator[None]:
    """Takes these variables out of the environment for a while."""
    wanted = {name.upper() for name in names}
    removed = {name: os.environ.pop(name) for name in list(os.environ) if name.upper() in wanted}
    try:
        yield
    finally:
        os.environ.update(removed)


def other_secrets(settings: AuthSettings) -> Generator[tuple[str, str]]:
    """Secrets that are at hand and that the settings do not use, with descriptions: one of them may have signed."""
    used = settings.secrets or settings.secret
    plain = used.get_secret_value() if used else None
    for variable in ("BETTER_AUTH_SECRET", "AUTH_SECRET"):
        value = value_of(variable)
        if value and value != plain:
            yield f"the value of {variable}, which is not the one in use", value
    file = Path.cwd() / ".env"
    if file.is_file():
        for variable, value in read_file(file).items():
            if variable.upper() in ("BETTER_AUTH_SECRET", "AUTH_SECRET") and value != plain:
                yield f"the {variable} of .env in this directory", value
