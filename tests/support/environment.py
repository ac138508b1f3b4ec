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
    """Sets variables for one test, with a new default instance, whose wrong settings are logged once more."""
    # The shell's settings must be removed first.
    from auth_middleware import dependencies, get_auth  # noqa: PLC0415
    from auth_middleware.operator_log import MisconfigurationLog  # noqa: PLC0415

    get_auth.cache_clear()
    monkeypatch.setattr(dependencies, "_log", MisconfigurationLog())
    yield monkeypatch
    get_auth.cache_clear()
