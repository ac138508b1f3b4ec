"""A virtual environment below target/ with the oldest versions that pyproject.toml allows.

python = oldest.install()
"""

import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
DIRECTORY = ROOT / "target" / "oldest"
# Written after the installation; describes what is installed.
INSTALLED = DIRECTORY / "installed"
# What the tests use, in our regular development versions.
TOOLS = ("httpx", "uvicorn", "websockets")
# Dependencies whose current versions do not work with the oldest ones.
WITH_OLDEST = ("anyio<4.6", "pydantic-core")
# pydantic-core is a binary, and old versions have no wheels for newer Pythons.
FIRST_FOR_PYTHON: Mapping[tuple[int, int], Mapping[str, str]] = {
    (3, 13): {"pydantic": "2.8"},
    (3, 14): {"pydantic": "2.12"},
}


def versions() -> dict[str, str]:
    """The lower bounds of our dependencies, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bounds: dict[str, str] = {}
    for text in project["dependencies"]:
        requirement = Requirement(text)
        [bound] = [part.version for part in requirement.specifier if part.operator == ">="]
        bounds[requirement.name] = bound
    for python, others in FIRST_FOR_PYTHON.items():
        if sys.version_info >= python:
            bounds |= others
    return bounds


def is_installed() -> bool:
    return INSTALLED.exists() and INSTALLED.read_text() == _wanted()


def can_install() -> bool:
    """Whether pip can reach a package index. Downloads the smallest package to find out."""
    name = "typing-extensions"
    options = ["--quiet", "--no-deps", "--no-cache-dir", "--retries", "0", "--timeout", "10"]
    with tempfile.TemporaryDirectory() as directory:
        return _pip("download", *options, "--dest", directory, f"{name}=={versions()[name]}").returncode == 0


def install() -> Path:
    """Creates the environment if it is missing or outdated, and returns its Python."""
    python = DIRECTORY / "bin" / "python"
    if is_installed():
        return python
    venv.create(DIRECTORY, clear=True)
    bounds = versions()
    constraints = DIRECTORY / "constraints.txt"
    constraints.write_text(_development_versions(without={*bounds, "anyio", "pydantic-core"}))
    oldest = [f"{name}=={version}" for name, version in bounds.items()]
    options = ["--quiet", "--only-binary", ":all:", "--constraint", str(constraints)]
    done = _pip("--python", str(python), "install", *options, *oldest, *TOOLS, *WITH_OLDEST)
    if done.returncode:
        raise RuntimeError(f"pip cannot install the oldest versions:\n{done.stderr}")
    INSTALLED.write_text(_wanted())
    return python


def _pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _wanted() -> str:
    return f"{sys.version}\n{versions()}\n{_development_versions(without=set())}"


def _development_versions(without: set[str]) -> str:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    names = {canonicalize_name(name) for name in without}
    return "".join(f"{line}\n" for line in lines if canonicalize_name(line.partition("==")[0]) not in names)
