"""A plugin: what the developer's shell says about auth_middleware changes no test.

It is loaded before anything imports auth_middleware, which works out its cookie's name at import.
"""

import os
from collections.abc import Generator

import pytest

OURS = ("DATABASE_URL", "FRONTEND_URL", "AUTH_", "BETTER_AUTH_", "SECRET", "SCHEMA")


def without_our_settings() -> dict[str, str]:
    """The environment for a child process that is given settings of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


for _name in set(os.environ) - set(without_our_settings()):
    del os.environ[_name]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Generator[pytest.MonkeyPatch]:
    """Sets variables for one test, in which the default instance is made anew."""
    from auth_middleware import get_auth  # noqa: PLC0415 - only now are the shell's settings gone

    get_auth.cache_clear()
    yield monkeypatch
    get_auth.cache_clear()
