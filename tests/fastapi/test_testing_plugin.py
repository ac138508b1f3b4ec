"""The pytest plugin in a project of its own, in a process of its own, without environment variables."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

APPLICATION = """
from typing import Annotated

from fastapi import Depends, FastAPI

from auth_middleware import SESSION_COOKIE_NAME, Auth, AuthUser, get_current_user, lifespan


class Member(AuthUser):
    role: str = "user"


members = Auth(user_model=Member)
app = FastAPI(lifespan=lifespan)


@app.get("/me")
async def me(user: Annotated[AuthUser, Depends(get_current_user)]) -> str:
    return user.name


@app.get("/role")
async def role(member: Annotated[Member, Depends(members.current_user)]) -> str:
    return member.role
"""

CONFTEST = """
import sys

assert "auth_middleware" not in sys.modules, "loading the plugin imports nothing"
assert "fastapi" not in sys.modules, "loading the plugin imports nothing"
"""

# Linters sort imports to the top, so this one comes before the environment is set.
HTTPS_CONFTEST = """
import os

from auth_middleware.testing import AuthTestKit, signed_in

os.environ["BETTER_AUTH_URL"] = "https://auth.example.com"
"""

TESTS = """
import unittest

from application import SESSION_COOKIE_NAME, app, members
from fastapi.testclient import TestClient

from auth_middleware import get_auth
from auth_middleware.testing import make_user, signed_in


def test_signed_in():
    with signed_in(app, name="Grace", role="admiral"), TestClient(app) as client:
        assert client.get("/me").json() == "Grace"
        assert client.get("/role").json() == "admiral"


def test_kit(auth_kit, monkeypatch):
    monkeypatch.setitem(app.dependency_overrides, get_auth, lambda: auth_kit.auth)
    login = auth_kit.login(user=make_user(name="Grace"))
    client = TestClient(app)
    assert client.get("/me", headers=login.headers).json() == "Grace"
    assert list(login.cookies) == [SESSION_COOKIE_NAME] == [auth_kit.auth.cookie_name]
    auth_kit.revoke(login.session)
    assert client.get("/me", headers=login.headers).status_code == 401


def test_each_test_has_a_kit_of_its_own(auth_kit):
    assert auth_kit.lookups == 0


class Case(unittest.TestCase):
    def setUp(self):
        self.identity = self.enterContext(signed_in(app))

    def test_signed_in(self):
        self.assertEqual(TestClient(app).get("/me").json(), self.identity.user.name)


def test_documentation():
    schemes = app.openapi()["components"]["securitySchemes"]
    assert schemes["Better Auth session"]["name"] == SESSION_COOKIE_NAME == EXPECTED
"""


DOCUMENTATION = Path(__file__).parents[2] / "docs" / "testing.md"
FILE = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def project(conftest: str, expected: str) -> dict[str, str]:
    """The text of each file."""
    tests = f"EXPECTED = {expected!r}\n{TESTS}"
    return {"conftest.py": conftest, "application.py": APPLICATION, "test_application.py": tests}


def run(directory: Path, files: Mapping[str, str]) -> str:
    """The output of pytest, which must succeed."""
    for name, text in files.items():
        (directory / name).write_text(text)
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error"]
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_without_environment_variables(tmp_path: Path) -> None:
    assert "5 passed" in run(tmp_path, project(CONFTEST, "better-auth.session_token"))


def test_a_conftest_may_set_the_environment_after_its_imports(tmp_path: Path) -> None:
    assert "5 passed" in run(tmp_path, project(HTTPS_CONFTEST, "__Secure-better-auth.session_token"))


def test_the_documentation_is_a_project_whose_tests_pass(tmp_path: Path) -> None:
    page = DOCUMENTATION.read_text()
    files = dict(FILE.findall(page))
    assert len(files) == page.count("```python") == 6
    written = sum(text.count("def test_") for text in files.values())
    assert f"{written} passed" in run(tmp_path, files)


def test_nothing_heavy_is_imported_at_run_time() -> None:
    # pytest and httpx belong to tests, and production imports nothing of the kit.
    program = (
        "import sys, auth_middleware\n"
        "assert not [name for name in sys.modules if 'testing' in name and 'auth_middleware' in name]\n"
        "import auth_middleware.testing\n"
        "heavy = {'pytest', '_pytest', 'httpx', 'httpx2', 'unittest.mock', 'starlette.testclient', 'psycopg'}\n"
        "assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_the_fixture_is_new_for_each_test(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("auth_middleware")
