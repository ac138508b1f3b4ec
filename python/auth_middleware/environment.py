"""Mistakes in the environment that no setting's value reveals: misspelt names, and a file that is not read."""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from math import inf
from pathlib import Path

from pydantic import AliasChoices, SecretStr

from auth_middleware.settings import AuthSettings

PREFIX = "AUTH_MIDDLEWARE_"
BETTER_AUTH = "BETTER_AUTH_"
# Those of Better Auth's variables that are read. It has others.
OF_BETTER_AUTH = ("SECRET", "SECRETS", "URL", "TRUSTED_ORIGINS")
# The largest edit distance that counts as a typing error. A swap of neighbours is one edit.
MOST_TYPOS = {PREFIX: 2, BETTER_AUTH: 1}
# Words close to ours that other programs use.
OTHER_WORDS = (
    *("AUTHN", "AUTHZ", "AUTHY", "AUTO"),
    *("BATTER", "BEATER", "BELTER", "BESTER", "BETTOR", "BITTER", "BUTTER"),
)
EMPTY = (None, "", SecretStr(""))
SHOWABLE = re.compile(r"[\w.-]{1,100}", re.ASCII)
# Which variables set what every deployment needs.
REQUIRED = {
    "database_url": ("DATABASE_URL",),
    "secret": ("BETTER_AUTH_SECRET", "AUTH_SECRET"),
    "base_url": ("BETTER_AUTH_URL", "AUTH_BASE_URL"),
}
# Files that other tools read by themselves.
ENV_FILES = (".env", ".env.local")
MOST_FILE_BYTES = 256 * 1024
# A name with a value, as in `export NAME=value # comment`. Quotes without text are no value.
ASSIGNMENT = re.compile(
    r"""^[ \t]* (?:export[ \t]+)? (\w+) [ \t]*=[ \t]* (?! (?:""|'')? [ \t]* (?:\#.*)? \r?$ )""",
    re.MULTILINE | re.VERBOSE,
)
# Kubernetes and Docker links set these for a service that is called auth-middleware.
OF_A_SERVICE = re.compile(r"(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?|NAME|ENV_\w+)")


def _variables() -> dict[str, str]:
    """The variable of each setting, by the setting's name in upper case."""
    variables: dict[str, str] = {}
    for field_name, field in AuthSettings.model_fields.items():
        name = field_name.rstrip("_").upper()
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [PREFIX + name]
        variables[name] = str(choices[0])
    return variables


def unknown_variables(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A message for each `AUTH_MIDDLEWARE_` variable that sets nothing, with the name that was probably meant."""
    variables = _variables()
    given = {name.upper().removeprefix(PREFIX) for name in environment if name.upper().startswith(PREFIX)}
    unknown = sorted(name for name in given - set(variables) if not OF_A_SERVICE.fullmatch(name))
    return [_unknown(name, variables) for name in unknown]


def misspelt_variables(environment: Mapping[str, str] = os.environ, settings: AuthSettings | None = None) -> list[str]:
    """A message for each variable that sets nothing and whose name is almost that of a setting without a value.

    Args:
        environment: The variables.
        settings: What was read from them, or passed by the application.
    """
    known = {name for field in AuthSettings.model_fields for name in _names_of(field)}
    is_set = {name.upper() for name, value in environment.items() if value}
    found: list[str] = []
    for given in sorted(environment):
        name = given.upper()
        if name in known or name.startswith(PREFIX) or name not in is_set or not SHOWABLE.fullmatch(given):
            continue
        # Where the setting has a value, the variable is probably another program's.
        if (guess := _guess(name)) and not _has_value(guess, is_set, settings):
            found.append(f"{given} is not a setting: did you mean {guess}?")
    return found


def _guess(name: str) -> str | None:
    """The variable that was meant if this one has a typing error."""
    guesses: list[tuple[float, str]] = []
    for rest in OF_BETTER_AUTH:
        variable = BETTER_AUTH + rest
        if (typos := _typos(name, variable)) <= MOST_TYPOS[BETTER_AUTH]:
            guesses.append((typos, variable))
    for rest, variable in _variables().items():
        if name.endswith(rest) and (typos := _typos(name.removesuffix(rest), PREFIX)) <= MOST_TYPOS[PREFIX]:
            guesses.append((typos, variable))
    return min(guesses)[1] if guesses else None


def _has_value(variable: str, is_set: set[str], settings: AuthSettings | None) -> bool:
    """Whether something else sets what this variable would set."""
    given = settings.model_fields_set if settings else set[str]()
    with_value = {field for field in given if getattr(settings, field) not in EMPTY}
    fields = {field for field in AuthSettings.model_fields if field in with_value or _names_of(field) & is_set}
    # Another server's settings would switch Neon's off.
    if "neon_auth_base_url" in fields and variable.startswith(BETTER_AUTH):
        return True
    return any(variable in _names_of(field) for field in fields)


def _names_of(field: str) -> set[str]:
    """The variables that set a field, in upper case."""
    alias = AuthSettings.model_fields[field].validation_alias
    aliases = alias.choices if isinstance(alias, AliasChoices) else ()
    return {str(choice).upper() for choice in aliases} | {PREFIX + field.rstrip("_").upper()}


def _typos(given: str, wanted: str) -> float:
    """The edit distance between two names, as far as the edits are typing errors; otherwise infinity."""
    words, wanted_words = given.split("_"), wanted.split("_")
    if len(words) == len(wanted_words):
        return sum(map(_typos_in_word, words, wanted_words))
    letters, wanted_letters = given.replace("_", ""), wanted.replace("_", "")
    if letters == wanted_letters and words[0]:
        return abs(len(words) - len(wanted_words))
    # Additional words are another name.
    if len(words) > len(wanted_words):
        return inf
    return len(wanted_words) - len(words) + _typos_in_word(letters, wanted_letters)


def _typos_in_word(given: str, wanted: str) -> float:
    if given == wanted:
        return 0
    if len(wanted) < 4:
        return inf
    # Other words: LETTER, OAUTH, AUTH2, AUTHOR. A plural and a letter that was typed twice are none.
    is_other = not given.isalpha() or given[0] not in wanted[:2] or given.startswith(OTHER_WORDS)
    is_longer = given.startswith(wanted) and given.removeprefix(wanted) not in ("S", wanted[-1])
    if is_other or is_longer:
        return inf
    distance = _distance(given, wanted)
    return distance if distance <= (1 if len(wanted) < 7 else 2) else inf


def _distance(one: str, other: str) -> int:
    """The edit distance in which neighbours that changed places count as one edit."""
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, wanted in enumerate(other, 1):
            edits = [rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != wanted)]
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                edits.append(rows[-2][j - 2] + 1)
            row.append(min(edits))
        rows.append(row)
    return rows[-1][-1]


def _unknown(name: str, variables: Mapping[str, str]) -> str:
    nearest = get_close_matches(name, variables, n=1)
    suggestion = f": did you mean {variables[nearest[0]]}?" if nearest else "; docs/settings.md lists all settings"
    shown = PREFIX + (name if re.fullmatch(r"\w{1,100}", name, re.ASCII) else "…")
    return f"{shown} is not a setting{suggestion}"


def with_hints(problem: str, settings: AuthSettings, environment: Mapping[str, str] = os.environ) -> str:
    """The problem, and its possible cause: a misspelt variable, or a file that is not read. Never contains a value."""
    found = hints(problem, settings, environment)
    others = [*unknown_variables(environment), *misspelt_variables(environment, settings)]
    named = {hint.partition(" ")[0] for hint in found}
    return ". ".join([problem, *found, *(text for text in others if text.partition(" ")[0] not in named)])


def hints(problem: str, settings: AuthSettings, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Why a required setting may be missing: another variable has almost its name, or a file is not read."""
    found: list[str] = []
    missing = [field for field in REQUIRED if getattr(settings, field) is None and REQUIRED[field][0] in problem]
    for field in missing:
        found += _in_files(REQUIRED[field])
        others = [name for name in environment if name not in REQUIRED[field] and environment[name]]
        for name in get_close_matches(REQUIRED[field][0], others, n=1, cutoff=0.85):
            found.append(f"{name} is set: did you mean {REQUIRED[field][0]}?")
    return found


def _in_files(variables: tuple[str, ...]) -> list[str]:
    """Whether a file in the working directory sets one of these variables."""
    found: list[str] = []
    for file in ENV_FILES:
        names = _names_in(Path(file))
        for variable in variables:
            if variable in names:
                found.append(
                    f"the file {file} in the working directory contains {variable}, but it is not read: pass "
                    f'AuthSettings(_env_file="{file}"), or start with `uvicorn --env-file {file}`'
                )
                break
    return found


def _names_in(path: Path) -> set[str]:
    """The names that a file sets to something."""
    try:
        # Anything else, such as a pipe, could block.
        if not path.is_file():
            return set()
        with path.open("rb") as file:
            text = file.read(MOST_FILE_BYTES).decode(errors="replace").removeprefix("\ufeff")
    except OSError:
        return set()
    return set(ASSIGNMENT.findall(text))
