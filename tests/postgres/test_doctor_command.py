"""The doctor as a command: its streams, its exit status, its arguments; and the line of Node that it prints."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from dev import node
from dev.cookies import SECRET, signed
from dev.environment import without_our_settings
from dev.postgres import EmbeddedPostgres
from dev.standbys import Standby
from tests.postgres.conftest import Role
from tests.support.databases import Database, SignedIn
from tests.support.doctor import BASE_URL

AS_MODULE = (sys.executable, "-m", "auth_middleware")
WITHOUT_RICH = (
    *(sys.executable, "-c"),
    "import sys; sys.modules['rich'] = None; from auth_middleware.cli import main; sys.exit(main(sys.argv[1:]))",
)


@pytest.fixture
def ada(database: Database) -> SignedIn:
    return database.sign_in()


@pytest.fixture
def variables(database: Database, ada: SignedIn, role: Role) -> dict[str, str]:
    assert ada, "the tables have a row"
    database.execute(f'GRANT SELECT ON session, "user" TO {role.name}')
    return {"DATABASE_URL": role.dsn(database), "BETTER_AUTH_SECRET": SECRET, "BETTER_AUTH_URL": BASE_URL}


def run(
    variables: Mapping[str, str],
    *arguments: str,
    program: Sequence[str] = AS_MODULE,
    standard_input: str = "",
    directory: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program, *arguments],
        env={**without_our_settings(), **variables},
        input=standard_input,
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )


def test_json_alone_is_on_standard_output(variables: Mapping[str, str]) -> None:
    done = run(variables, "doctor", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr, report["status"]) == (0, "", "note")
    assert report.keys() == {"version", "status", "settings", "findings"}
    assert all(finding.keys() == {"area", "status", "message", "fix", "command"} for finding in report["findings"])
    wrong = run({**variables, "BETTER_AUTH_SECRET": "short"}, "doctor", "--json")
    assert (wrong.returncode, wrong.stderr, json.loads(wrong.stdout)["status"]) == (1, "", "fault")


def test_the_role_that_needs_no_more_than_it_has_is_praised(variables: Mapping[str, str]) -> None:
    done = run(variables, "doctor")
    assert "our role may read everything that is needed, and cannot write to either table" in " ".join(
        done.stdout.split()
    )
    assert "superuser" not in done.stdout


def test_a_credential_is_read_from_standard_input(variables: Mapping[str, str], ada: SignedIn) -> None:
    for option, text in (("--cookie", f"{ada.cookie_value}\n"), ("--header", "Cookie: a=b\nCookie: c=d\n")):
        done = run(variables, "doctor", option, "-", standard_input=text)
        assert done.returncode == (0 if option == "--cookie" else 1), done.stdout
        assert ada.token not in done.stdout
    token = run({**variables, "AUTH_MIDDLEWARE_CREDENTIALS": "jwt"}, "doctor", "--token", "-", standard_input="a.b\n")
    assert "it is a signed session token" in " ".join(token.stdout.split())


def test_the_version_is_printed_by_every_spelling(variables: Mapping[str, str]) -> None:
    script = Path(sys.executable).with_name("auth-middleware")
    expected = run(variables, "--version").stdout
    assert expected.startswith("auth_middleware 0.")
    assert run(variables, "doctor", "--version").stdout == expected
    assert run(variables, "--version", program=[str(script)]).stdout == expected
    assert run(variables, "doctor", program=[str(script)]).returncode == 0
    assert "usage: auth-middleware" in run(variables, "--help", program=[str(script)]).stdout


def test_without_rich_the_text_is_the_same(variables: Mapping[str, str]) -> None:
    with_rich, without = (run(variables, "doctor", program=program) for program in (AS_MODULE, WITHOUT_RICH))
    assert without.returncode == 0, without.stderr
    # The difference of the clocks is measured.
    lines = [
        [line for line in done.stdout.splitlines() if "clock differs" not in line] for done in (with_rich, without)
    ]
    assert lines[0] == lines[1]
    assert "\x1b" not in with_rich.stdout


@pytest.mark.parametrize(("program", "is_coloured"), [(AS_MODULE, True), (WITHOUT_RICH, False)], ids=["rich", "plain"])
def test_a_terminal_gets_colours_where_rich_is_installed(
    variables: Mapping[str, str], program: Sequence[str], *, is_coloured: bool
) -> None:
    ours, theirs = pty.openpty()
    environment = {**without_our_settings(), **variables, "TERM": "xterm-256color", "COLUMNS": "200"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen([*program, "doctor"], env=environment, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        printed = bytearray()
        try:
            while chunk := os.read(ours, 65536):
                printed += chunk
        except OSError:
            pass  # Linux reports the end of a terminal as an error
    os.close(ours)
    assert process.returncode == 0
    assert (b"\x1b[" in printed) == is_coloured
    assert b"every setting is valid" in printed


@pytest.mark.parametrize(
    "variables_of_secret",
    [
        {"BETTER_AUTH_SECRET": SECRET},
        {"AUTH_SECRET": SECRET},
        {"BETTER_AUTH_SECRETS": f"2:{SECRET}, 1:an-older-secret-of-32-characters", "BETTER_AUTH_SECRET": "x" * 40},
        {"BETTER_AUTH_SECRET": "ünïcode:secret,with/marks+and=more"},
    ],
    ids=["plain", "AUTH_SECRET", "versions", "unicode"],
)
def test_node_prints_the_fingerprint_that_the_doctor_shows(
    variables: Mapping[str, str], tmp_path: Path, variables_of_secret: Mapping[str, str]
) -> None:
    given = {
        **{name: value for name, value in variables.items() if name != "BETTER_AUTH_SECRET"},
        **variables_of_secret,
    }
    report = json.loads(run(given, "doctor", "--json").stdout)
    [finding] = [finding for finding in report["findings"] if finding["area"] == "secret" and finding["command"]]
    # Most auth servers are packages of ES modules.
    (tmp_path / "package.json").write_text('{"type": "module"}')
    environment = {**without_our_settings(), **variables_of_secret, "PATH": str(node.node().parent)}
    shell = ["/bin/sh", "-c", finding["command"]]
    done = subprocess.run(shell, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    fingerprint = done.stdout.strip()
    assert len(fingerprint) == 12
    assert f"the fingerprint of the secret is {fingerprint}." in finding["message"]


def test_a_file_is_read_where_it_is_named(variables: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    unread = run({}, "doctor", "--json", directory=tmp_path)
    assert unread.returncode == 1
    faults = [finding for finding in json.loads(unread.stdout)["findings"] if finding["status"] == "fault"]
    assert len(faults) == 3
    assert all("the file .env in the working directory contains" in fault["fix"] for fault in faults)
    read = run({}, "doctor", "--json", "--env-file", ".env", directory=tmp_path)
    assert read.returncode == 0, read.stdout
    sources = {item["name"]: item["source"] for item in json.loads(read.stdout)["settings"]}
    assert sources["secret"] == "BETTER_AUTH_SECRET in .env"


def test_a_file_that_cannot_be_read_is_an_invalid_argument(variables: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "directory").mkdir()
    for file in ("nowhere", "binary", "directory"):
        text = run(variables, "doctor", "--env-file", file, directory=tmp_path)
        assert (text.returncode, text.stderr) == (2, "")
        assert f"the file {file} cannot be read" in text.stdout
        done = run(variables, "doctor", "--json", "--env-file", file, directory=tmp_path)
        report = json.loads(done.stdout)
        assert (done.returncode, done.stderr, report["status"]) == (2, "", "fault")
        assert report.keys() == {"version", "status", "settings", "findings"}
        assert f"the file {file} cannot be read" in report["findings"][0]["message"]


# argparse itself ignores that its text cannot be written.
@pytest.mark.parametrize(
    ("arguments", "status"), [(["doctor", "--json"], 141), (["doctor"], 141), (["doctor", "--help"], 0)]
)
def test_a_reader_that_is_gone_causes_no_traceback(
    variables: Mapping[str, str], arguments: list[str], status: int
) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    environment = {**without_our_settings(), **variables}
    done = subprocess.run(
        [*AS_MODULE, *arguments], env=environment, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(theirs)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_every_encoding_of_the_output_can_be_written(variables: Mapping[str, str], encoding: str) -> None:
    given = {**variables, "BETTER_AUTH_TRUSTED_ORIGINS": "https://b\u00fccher.example", "PYTHONIOENCODING": encoding}
    for arguments in (["doctor"], ["doctor", "--json"], ["doctor", "--help"], ["doctor", "--cookie", "\u4e2d\u6587"]):
        done = subprocess.run(
            [*AS_MODULE, *arguments], env={**without_our_settings(), **given}, capture_output=True, check=False
        )
        assert done.returncode == int("--cookie" in arguments), done.stderr
        assert done.stderr == b""
        assert done.stdout.decode(encoding)
        if "--json" in arguments:
            assert json.loads(done.stdout)["findings"]


TOKEN = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF"


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "--cookies", f"x={TOKEN}"],
        ["doctor", f"--cookies=x={TOKEN}"],
        ["doctor", f"x={TOKEN}"],
        ["doctor", "--tokn", TOKEN],
        ["doctor", f"--{TOKEN}"],
        ["doctor", f"--json={TOKEN}"],
        ["doctor", f"--co={TOKEN}", f"--h={TOKEN}"],
        ["doctor", "--cookie", "a", f"-{TOKEN}"],
        ["doctor", "--cookie", TOKEN, "--token"],
        [TOKEN],
        ["migrate", "live", f"--ignore={TOKEN}", TOKEN],
    ],
)
def test_wrong_usage_repeats_no_argument(arguments: list[str]) -> None:
    done = run({}, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: " in done.stderr
    assert TOKEN not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_option_is_named_with_the_right_one() -> None:
    assert "unknown option --cookies: did you mean --cookie?" in run({}, "doctor", "--cookies", "x").stderr
    assert "argument --cookie: expected one argument" in run({}, "doctor", "--cookie").stderr
    assert "choose from " in run({}, "docter").stderr


def test_the_secret_of_a_file_that_is_not_read_is_recognised(
    variables: Mapping[str, str], tmp_path: Path, ada: SignedIn
) -> None:
    of_file = "the-secret-of-the-file-has-enough-characters"
    (tmp_path / ".env").write_text(f'BETTER_AUTH_SECRET="{of_file}"\n')
    done = run(variables, "doctor", "--cookie", signed(ada.token, of_file), directory=tmp_path)
    assert "signed with another secret: the BETTER_AUTH_SECRET of .env" in " ".join(done.stdout.split())
    assert of_file not in done.stdout


def test_a_database_that_stopped_is_a_fault(variables: Mapping[str, str], tmp_path: Path) -> None:
    directory = tmp_path / "cluster"
    with EmbeddedPostgres() as postgres:
        dsn = postgres.create_database("app")
        assert run({**variables, "DATABASE_URL": dsn}, "doctor", directory=tmp_path).returncode == 1
        postgres.stop()
        done = run({**variables, "DATABASE_URL": dsn}, "doctor", directory=tmp_path)
    assert not directory.exists()
    assert done.returncode == 1
    assert "Is the server running" in " ".join(done.stdout.split())
    assert postgres.password not in done.stdout


def test_a_standby_is_a_warning(postgres: EmbeddedPostgres, database: Database, variables: Mapping[str, str]) -> None:
    with Standby(postgres) as standby:
        standby.catch_up()
        given = {**variables, "DATABASE_URL": standby.dsn(database.name)}
        report = json.loads(run(given, "doctor", "--json").stdout)
    found = [finding for finding in report["findings"] if finding["fix"] and "standby" in finding["message"]]
    assert {(finding["area"], finding["status"]) for finding in found} >= {("database", "warning")}
    assert all("primary" in finding["fix"] for finding in found)


def test_a_file_that_is_no_text_does_not_stop_the_doctor(variables: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00BETTER_AUTH_SECRET")
    assert run(variables, "doctor", directory=tmp_path).returncode == 0
    (tmp_path / ".env").unlink()
    (tmp_path / ".env").mkdir()
    assert run(variables, "doctor", directory=tmp_path).returncode == 0
