"""The pytest plugin of auth_middleware: the fixture `auth_kit`.

It is a package of its own, so that loading the plugin imports neither FastAPI nor auth_middleware: a conftest may still
set environment variables, and coverage sees the imports.
"""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from auth_middleware.testing import AuthTestKit


@pytest.fixture
def auth_kit() -> "AuthTestKit":
    """A new `AuthTestKit`. For other settings or your own model, write a fixture that returns `AuthTestKit(…)`."""
    from auth_middleware.testing import AuthTestKit  # noqa: PLC0415 - see above

    return AuthTestKit()
