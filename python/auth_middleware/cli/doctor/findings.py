"""What the doctor found: each finding has a status and, unless all is well, a fix."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from auth_middleware.errors import AuthError

# Where the messages of this package change from what is wrong to how to fix it.
_FIX = re.compile(
    r"(?:[:;.,]|,? or)\s+(?=(?:set|use|write|give|grant|create|alter|correct|name|add|leave|is the|has better|remove"
    r"|restart|point|pass|read from|a renamed|a pooler refuses|if each|neon's proxy|the server requires)\b)"
    r"|\s+(?=\(python -m auth_middleware)|\s+\((?=a renamed column)",
    re.IGNORECASE,
)


class Status(StrEnum):
    """How bad it is. `FAULT`: requests are refused or fail, so the exit status is 1."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    area: str
    status: Status
    message: str
    fix: str | None = None
    # To be copied into a shell.
    command: str | None = None


def ok(area: str, message: str, command: str | None = None) -> Finding:
    return Finding(area, Status.OK, message, command=command)


def note(area: str, message: str, fix: str) -> Finding:
    return Finding(area, Status.NOTE, message, fix)


def warning(area: str, message: str, fix: str) -> Finding:
    return Finding(area, Status.WARNING, message, fix)


def fault(area: str, message: str, fix: str, command: str | None = None) -> Finding:
    return Finding(area, Status.FAULT, message, fix, command)


def of_text(area: str, status: Status, text: str, fallback: str) -> Finding:
    """Splits a message into what is wrong and how to fix it. `fallback` is the fix if the message has none."""
    text = " ".join(text.split())
    parts = _FIX.split(text, maxsplit=1)
    if len(parts) == 1 or not parts[1]:
        return Finding(area, status, text, fallback)
    fix = parts[1].strip().removeprefix("(").removesuffix(" fixes it)")
    if fix.endswith(")") and "(" not in fix:
        fix = fix[:-1]
    return Finding(area, status, parts[0], fix[0].upper() + fix[1:] if not fix.startswith("python") else f"Run {fix}")


def of_error(area: str, error: AuthError, fallback: str) -> Finding:
    """A fault for an error."""
    text = str(error).removeprefix("the session store is unavailable: ")
    return of_text(area, Status.FAULT, text, fallback)


NOT_SET = "not set"
MIN_HIDDEN = 4


@dataclass(frozen=True)
class SettingValue:
    """A setting, where it came from, and its value as far as it may be shown."""

    name: str
    value: str
    source: str


@dataclass
class Report:
    """Everything that was found, and the texts that must not be shown."""

    settings: Sequence[SettingValue] = ()
    findings: list[Finding] = field(default_factory=list[Finding])
    # With a credential, only what is wrong with the rest is shown.
    is_about_credential: bool = False
    _secrets: set[str] = field(default_factory=set[str], repr=False)

    def add(self, *findings: Finding) -> None:
        self.findings.extend(findings)

    def hide(self, texts: Iterable[str | None]) -> None:
        """Texts that are replaced wherever they would be shown. Short ones would only garble the rest."""
        self._secrets.update(text for text in texts if text and len(text) >= MIN_HIDDEN)

    def clean(self, text: str) -> str:
        """The text without any secret and control characters."""
        if self._secrets:
            longest_first = sorted(self._secrets, key=len, reverse=True)
            # Host names are shown in lower case.
            text = re.sub("|".join(map(re.escape, longest_first)), "…", text, flags=re.IGNORECASE)
        return "".join(character if character.isprintable() else " " for character in text)

    @property
    def status(self) -> Status:
        order = list(Status)
        return max((finding.status for finding in self.findings), key=order.index, default=Status.OK)

    def has_fault(self) -> bool:
        return self.status is Status.FAULT
