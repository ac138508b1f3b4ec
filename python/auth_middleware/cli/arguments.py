"""A parser whose messages repeat no argument: it may be a credential."""

import argparse
import re
from difflib import get_close_matches
from typing import Any, ClassVar, NoReturn

from typing_extensions import override

_UNKNOWN = "unrecognized arguments: "
_OPTION = re.compile(r"(--[a-z][a-z-]{1,20})(?:=.*)?", re.DOTALL)
# Messages of argparse that contain names of arguments alone.
_SAFE = re.compile(
    r"argument [^:\s]+: (?:expected \S+ arguments?|not allowed with argument \S+)"
    r"|the following arguments are required: [\w|, -]+"
    r"|one of the arguments [\w -]+ is required"
    # A misspelt word is no credential.
    r"|argument NAME: there is no migration '[a-z_]{1,20}', only [a-z_, ]+"
)
_ABOUT = re.compile(r"argument ([^:\s]+): ")
_CHOICES = re.compile(r"\(choose from [^()]*\)\Z")
_MATCHES = re.compile(r"ambiguous option: .* could match (--[a-z-]+(?:, --[a-z-]+)*)\Z", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """Exits with status 2 and a message without any argument's value."""

    # Of every command: the parser of the whole line reports what its commands do not know.
    _options: ClassVar[set[str]] = set()

    @override
    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        self._options.update(name for name in args if name.startswith("--"))
        return super().add_argument(*args, **kwargs)

    @override
    def error(self, message: str) -> NoReturn:
        super().error(self._without_values(message))

    def _without_values(self, message: str) -> str:
        if _SAFE.fullmatch(message):
            return message
        if message.startswith(_UNKNOWN):
            return self._unknown(message.removeprefix(_UNKNOWN).split())
        if matches := _MATCHES.fullmatch(message):
            return f"an abbreviated option is ambiguous: it could be {matches[1]}"
        about, choices = _ABOUT.match(message), _CHOICES.search(message)
        name = f"argument {about[1]}: " if about else ""
        if "ignored explicit argument" in message:
            return f"{name}takes no value"
        return f"{name}the value is invalid{f' {choices[0]}' if choices else ''} (it is not repeated here)"

    def _unknown(self, given: list[str]) -> str:
        """Only an option that resembles one of ours is named."""
        for text in given:
            option = _OPTION.fullmatch(text)
            if option and (close := get_close_matches(option[1], sorted(self._options), 1, 0.8)):
                return f"unknown option {option[1]}: did you mean {close[0]}?"
        return "there are unknown arguments (they are not repeated here)"
