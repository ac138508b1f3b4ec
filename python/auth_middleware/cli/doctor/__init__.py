"""The doctor command: explains a configuration, a cookie or a token."""

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from auth_middleware._core import Diagnosis, __version__
from auth_middleware.cli.doctor import (
    configuration,
    credentials,
    curl,
    database,
    faulty,
    jwt_keys,
    live,
    server,
    server_secret,
    session_cookie,
    tables,
)
from auth_middleware.cli.doctor.findings import Report, Status, fault, note, of_text
from auth_middleware.cli.doctor.report import print_json, print_text
from auth_middleware.errors import ConfigurationError
from auth_middleware.settings import AuthSettings

if TYPE_CHECKING:
    from auth_middleware.cli.arguments import Parser

    Commands = argparse._SubParsersAction[Parser]  # pyright: ignore[reportPrivateUsage]

WRONG_USAGE = 2
# A byte order mark, and what curl -v and developer tools write before each header.
_BEFORE_A_HEADER = re.compile(r"^\ufeff?(?:[<>*] )?", re.MULTILINE)
DESCRIPTION = """\
Reads the settings as a server does, connects to the database, and reports what is wrong and how to fix it. Writes
nothing and shows no secrets. The exit status is 1 if there is a fault, or if a credential is refused, and 2 for
invalid arguments.

  doctor                                  settings, database, tables, privileges, live, keys
  doctor --cookie 'VALUE'                 why this session cookie is accepted or refused; a whole Cookie header too
  doctor --token JWT
  doctor --header 'Authorization: …'
  doctor --cookie - < file                read it from standard input, to keep it out of the shell's history
  doctor --url https://auth.example.com   what a running Better Auth server shows, compared with the settings
"""


def add_to(commands: "Commands") -> None:
    """Make `doctor` one of the commands."""
    parser = commands.add_parser(
        "doctor",
        help="explain the configuration, a cookie or a token",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cookie", metavar="VALUE", help="a session cookie, or a whole Cookie header; - for stdin")
    parser.add_argument("--token", metavar="JWT", help="a JWT; - for stdin")
    parser.add_argument(
        "--header",
        metavar="HEADER",
        action="append",
        default=[],
        help="a request header; may be repeated; - for stdin",
    )
    parser.add_argument("--url", metavar="URL", help="a running Better Auth server to compare the settings with")
    parser.add_argument("--origin", metavar="ORIGIN", action="append", default=[], help="with --url: a page's origin")
    parser.add_argument(
        "--env-file", metavar="FILE", type=Path, action="append", default=[], help="read unset variables from this file"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else")
    parser.add_argument("--version", action="version", version=f"auth_middleware {__version__}")
    parser.set_defaults(run=run)


async def run(chosen: argparse.Namespace) -> int:
    """Examines what the arguments ask for. Returns the exit status."""
    pasted = credentials.Pasted(*_read_standard_input(chosen))
    report = Report(is_about_credential=pasted.is_any())
    report.hide(pasted.secrets())
    show = print_json if chosen.json else print_text
    try:
        from_files = configuration.load(chosen.env_file)
    except ConfigurationError as error:
        report.add(fault("arguments", f"--env-file: {error}", "Name a file that exists and may be read"))
        show(report)
        return WRONG_USAGE
    settings, diagnosis = configuration.read(report, from_files, Path.cwd())
    try:
        await _examine(report, settings, diagnosis, pasted, chosen)
    finally:
        diagnosis.close()
    show(report)
    return 1 if report.has_fault() else 0


async def _examine(
    report: Report,
    settings: AuthSettings,
    diagnosis: Diagnosis,
    pasted: credentials.Pasted,
    chosen: argparse.Namespace,
) -> None:
    effective = diagnosis.effective
    if effective is None:
        return
    at_fault = {setting for setting, _ in diagnosis.faults}
    known = faulty.without_placeholders(settings, diagnosis)
    if to_fix := known["to_fix"].get("credentials"):
        report.add(
            note(
                configuration.AREA,
                f"which credentials are accepted is unknown, because {to_fix} is wrong: what follows is for "
                f"{', '.join(effective['credentials'])}, the default",
                f"Fix {to_fix} first",
            )
        )
    is_unknown = bool({"base_url", "secure_cookies", "cookie_name", "cookie_prefix"} & at_fault)
    report.add(*server_secret.findings(settings, effective, is_at_fault=bool({"secret", "secrets"} & at_fault)))
    if not is_unknown:
        report.add(*session_cookie.name(settings, effective))
        report.add(*session_cookie.origins(settings, diagnosis, effective))
    is_connected = False
    if effective["database"] and "database_url" not in at_fault:
        found = await database.findings(diagnosis, effective)
        report.add(*found)
        is_connected = not any(finding.status is Status.FAULT for finding in found)
    if is_connected:
        report.add(*await tables.findings(diagnosis))
    if effective["database"] and not {"freshness", "database_url", "listen_database_url"} & at_fault:
        report.add(*await live.findings(diagnosis, effective, is_connected=is_connected))
    of_keys, keys = await jwt_keys.findings(diagnosis, known, is_connected=is_connected)
    report.add(*of_keys)
    for text in effective["warnings"]:
        if "trusted_origins" not in text and not text.startswith("freshness"):
            report.add(of_text(configuration.AREA, Status.WARNING, text, configuration.LISTED))
    await credentials.examine(report, settings, diagnosis, pasted, keys)
    if chosen.url is not None:
        report.add(*server.findings(chosen.url, chosen.origin, diagnosis, known, keys))


def _read_standard_input(chosen: argparse.Namespace) -> tuple[str | None, str | None, list[str]]:
    """The credentials that were given, with `-` replaced by what standard input holds."""
    given = [chosen.cookie, chosen.token, *chosen.header]
    text = sys.stdin.buffer.read().decode("utf-8", "replace") if "-" in given else ""

    def read(value: str) -> str:
        # Bytes of an argument that are no text are lone surrogates.
        given = text.strip("\r\n") if value == "-" else value.encode("utf-8", "replace").decode()
        return _BEFORE_A_HEADER.sub("", given)

    pasted = None if chosen.cookie is None else read(chosen.cookie)
    cookie = pasted and (curl.cookie(pasted) or pasted)
    token = None if chosen.token is None else read(chosen.token)
    texts = [read(value) for value in chosen.header]
    lines = [line for text in texts for line in curl.headers(text) or text.splitlines() if line.strip()]
    return cookie, token, lines or texts[:1]
