"""Prints a report: as text, in colours where rich is installed and the output is a terminal, or as JSON."""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from textwrap import wrap

from auth_middleware._core import __version__
from auth_middleware.cli.doctor.findings import NOT_SET, Finding, Report, Status

LABELS = {Status.OK: "OK", Status.NOTE: "note", Status.WARNING: "warning", Status.FAULT: "FAULT"}
STYLES = {Status.OK: "green", Status.NOTE: "cyan", Status.WARNING: "yellow", Status.FAULT: "bold red"}
WIDTH = 110
INDENT = 12

# Writes one line; the style is that of its label.
Write = Callable[[str, str, str], None]


def print_json(report: Report) -> None:
    """One JSON object on standard output."""
    found = {
        "version": __version__,
        "status": str(report.status),
        "settings": [
            {"name": item.name, "value": report.clean(item.value), "source": item.source} for item in report.settings
        ],
        "findings": [
            {
                "area": finding.area,
                "status": str(finding.status),
                "message": report.clean(finding.message),
                "fix": report.clean(finding.fix) if finding.fix else None,
                "command": finding.command,
            }
            for finding in report.findings
        ],
    }
    # In ASCII, which every encoding of the output has.
    print(json.dumps(found, indent=2))


def print_text(report: Report) -> None:
    """For people."""
    write = _writer()
    write("", f"auth_middleware {__version__}", "bold")
    if not report.is_about_credential:
        for line in _settings(report):
            write("", line, "")
    for area, findings in groupby(_shown(report), key=lambda finding: finding.area):
        write("", "", "")
        write("", area, "bold")
        for finding in findings:
            _print(finding, report, write)
    write("", "", "")
    write("", _summary(report), STYLES[report.status])


def _shown(report: Report) -> Iterator[Finding]:
    for finding in report.findings:
        is_wrong = finding.status in (Status.WARNING, Status.FAULT)
        if is_wrong or not report.is_about_credential or finding.area in ("cookie", "token", "header"):
            yield finding


def _settings(report: Report) -> Iterator[str]:
    given = [item for item in report.settings if item.source != "default"]
    width = max((len(item.name) for item in given), default=0)
    for item in given:
        yield f"  {item.name:<{width}}  {report.clean(item.value)}  ({item.source})"
    rest = [item for item in report.settings if item.source == "default"]
    defaults = [f"{item.name} {report.clean(item.value)}" for item in rest if item.value != NOT_SET]
    unset = [item.name for item in rest if item.value == NOT_SET]
    for title, names in (("defaults", defaults), ("not set", unset)):
        if names:
            yield from wrap(f"{title}: {', '.join(names)}", WIDTH, initial_indent="  ", subsequent_indent="    ")


def _print(finding: Finding, report: Report, write: Write) -> None:
    label = f"  {LABELS[finding.status]:<{INDENT - 2}}"
    first, *rest = wrap(report.clean(finding.message), WIDTH - INDENT, break_long_words=False) or [""]
    write(label, first, STYLES[finding.status])
    for line in rest:
        write(" " * INDENT, line, "")
    if finding.fix:
        lines = wrap(f"fix: {report.clean(finding.fix)}", WIDTH - INDENT, break_long_words=False)
        for line in lines:
            write(" " * INDENT, line, "")
    if finding.command:
        write(" " * INDENT, finding.command, "")


def _summary(report: Report) -> str:
    found = [finding.status for finding in _shown(report)]
    counts = {status: found.count(status) for status in Status}
    shown = [status for status in reversed(Status) if status is not Status.OK]
    parts = [f"{counts[status]} {status}{'' if counts[status] == 1 else 's'}" for status in shown]
    return f"{', '.join(parts)}, {counts[Status.OK]} OK"


def _writer() -> Write:
    try:
        from rich.console import Console  # noqa: PLC0415 - optional
        from rich.text import Text  # noqa: PLC0415
    except ImportError:
        return _plain
    console = Console(soft_wrap=True, highlight=False)

    def write(label: str, text: str, style: str) -> None:
        line = Text(label, style=style) if label else Text()
        line.append(text, style="" if label else style)
        console.print(line)

    return write if console.is_terminal else _plain


def _plain(label: str, text: str, _style: str) -> None:
    sys.stdout.write(f"{label}{text}".rstrip() + "\n")
