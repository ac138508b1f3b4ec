"""A pytest plugin that removes the shell's auth_middleware settings, so that they do not affect tests.

It is loaded before anything imports auth_middleware, which reads the cookie's name at import.
"""

import os
from collections.abc import Generator

import pytest

from dev.environment import without_our_settings

for _name in set(os.environ) - set(without_our_settings()):
    del os.environ[_name]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Generator[pytest.MonkeyPatch]:
    """Sets variables for one test, with a new default instance."""
    from auth_middleware import get_auth  # noqa: PLC0415 - the shell's settings must be removed first

    get_auth.cache_clear()
    yield monkeypatch
    get_auth.cache_clear()
