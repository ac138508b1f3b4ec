"""The skill for agents is in the wheel, and following it literally in an empty folder works."""

import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

import auth_middleware
from auth_middleware._core import Core
from dev.environment import without_our_settings

ROOT = Path(__file__).parents[2]
IN_PACKAGE = "auth_middleware/.agents/skills/auth-middleware/SKILL.md"
SKILL = Path(auth_middleware.__file__).parents[1] / IN_PACKAGE
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[str]:
    return [text for found, text in FENCE.findall(SKILL.read_text()) if found == language]


def files() -> dict[str, str]:
    """The Python files that it says to write, by name."""
    return {snippet.partition("\n")[0].removeprefix("# "): snippet for snippet in snippets("python")}


def environment() -> dict[str, str]:
    """The variables that it says to export."""
    exported = re.findall(r"^export (\w+)=(\S+)", "\n".join(snippets("sh")), re.MULTILINE)
    assert [name for name, _ in exported] == ["DATABASE_URL", "BETTER_AUTH_SECRET", "BETTER_AUTH_URL"]
    return dict(exported)


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment: Mapping[str, str] = {**without_our_settings(), **more}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files of the skill."""
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_header_names_and_describes_the_skill() -> None:
    [_, header, body] = SKILL.read_text().split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in header.splitlines())
    assert fields["name"] == SKILL.parent.name == "auth-middleware"
    assert 50 < len(fields["description"]) < 1024
    assert body.lstrip().startswith("# ")


def test_the_tests_of_the_skill_pass_in_its_folder(folder: Path) -> None:
    assert set(files()) == {"main.py", "test_main.py"}
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_the_application_of_the_skill_refuses_strangers(folder: Path) -> None:
    code = """
from fastapi.testclient import TestClient
from main import app
client = TestClient(app)
print([client.get(path).status_code for path in ("/me", "/greeting")])
"""
    done = run(folder, "-c", code, **environment())
    assert done.stdout == "[401, 200]\n", done.stderr


def test_the_doctor_prints_what_the_skill_says(folder: Path) -> None:
    [command] = [line for text in snippets("sh") for line in text.splitlines() if "doctor --json" in line]
    done = run(folder, *command.split()[1:], **environment() | {"DATABASE_URL": "postgresql://api@127.0.0.1:1/app"})
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert {"status", "settings", "findings"} <= set(report)
    for finding in report["findings"]:
        assert {"area", "status", "message"} <= set(finding)
        assert finding["status"] in ("ok", "note", "warning", "fault")
    assert any(finding["status"] == "fault" and finding["fix"] for finding in report["findings"])


def test_each_reason_of_the_table_exists() -> None:
    reasons = re.findall(r"^\| `(\w+)` \|", SKILL.read_text(), re.MULTILINE)
    assert len(reasons) == 5
    assert set(reasons) <= set(Core.reasons())


def test_the_wheel_contains_the_skill(tmp_path: Path) -> None:
    wheel_with_python_files(tmp_path)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(IN_PACKAGE).decode() == SKILL.read_text()


def wheel_with_python_files(directory: Path) -> None:
    """Builds a wheel as `make` builds the module: what is compiled already is not compiled again."""
    maturin = Path(sys.executable).with_name("maturin")
    command = [maturin, "build", "--locked", "--offline", "--profile", "dev", "--out", directory]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stderr
