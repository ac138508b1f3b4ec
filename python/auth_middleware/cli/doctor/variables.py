"""Environment variables: which of them set a setting, and what an unread `.env` file contains."""

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from pydantic import AliasChoices

from auth_middleware.environment import PREFIX
from auth_middleware.errors import ConfigurationError
from auth_middleware.settings import AuthSettings


def by_setting() -> Mapping[str, tuple[str, ...]]:
    """The variables of each setting. The first one that is set is used."""
    found: dict[str, tuple[str, ...]] = {}
    for name, field in AuthSettings.model_fields.items():
        alias = field.validation_alias
        aliases = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
        # pydantic-settings reads a field by its name too, after its aliases.
        usual = f"{PREFIX}{name.removesuffix('_').upper()}"
        found[name.removesuffix("_")] = tuple(dict.fromkeys([*aliases, usual]))
    return found


def value_of(variable: str) -> str | None:
    """The variable's value, as pydantic-settings finds it: the case does not matter, and empty is not set."""
    for name, value in os.environ.items():
        if name.upper() == variable.upper() and value:
            return value
    return None


def source_of(setting: str) -> str | None:
    """The variable that sets this setting."""
    return next((variable for variable in by_setting()[setting] if value_of(variable)), None)


def unread_file(directory: Path) -> tuple[Path, Mapping[str, str]] | None:
    """The `.env` file there, and those of its variables that would set what is not set."""
    file = directory / ".env"
    known = {variable for names in by_setting().values() for variable in names}
    values = _read_if_there(file)
    unset = {name: value for name, value in values.items() if name.upper() in known and not value_of(name)}
    return (file, unset) if unset else None


def read_file(file: Path) -> Mapping[str, str]:
    """
    Raises:
        ConfigurationError: there is no such file, or it is not text.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigurationError(f"the file {file} cannot be read: {reason}") from None
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value}


@contextmanager
def without(names: Iterable[str]) -> Generator[None]:
    """Removes these variables from the environment temporarily."""
    wanted = {name.upper() for name in names}
    removed = {name: os.environ.pop(name) for name in list(os.environ) if name.upper() in wanted}
    try:
        yield
    finally:
        os.environ.update(removed)


def other_secrets(settings: AuthSettings) -> Iterator[tuple[str, str]]:
    """Secrets in the environment that the settings do not use, with descriptions: one of them may be the right one."""
    used = settings.secrets or settings.secret
    plain = used.get_secret_value() if used else None
    for variable in ("BETTER_AUTH_SECRET", "AUTH_SECRET"):
        value = value_of(variable)
        if value and value != plain:
            yield f"the value of {variable}, which is not the one in use", value
    for variable, value in _read_if_there(Path.cwd() / ".env").items():
        if variable.upper() in ("BETTER_AUTH_SECRET", "AUTH_SECRET") and value != plain:
            yield f"the {variable} of .env in this directory", value


def _read_if_there(file: Path) -> Mapping[str, str]:
    """What the file sets; nothing if it cannot be read."""
    try:
        # Anything else, such as a pipe, could block.
        return read_file(file) if file.is_file() else {}
    except ConfigurationError:
        return {}
