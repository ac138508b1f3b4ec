"""The guarded application, under starlette's TestClient and under uvicorn."""

from collections.abc import Callable, Generator
from contextlib import ExitStack
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from auth_middleware import Auth
from tests.support.applications import Send, SendWith, guarded, send_in_process, send_over_sockets
from tests.support.servers import serving


@pytest.fixture
def start() -> Generator[Callable[[ASGIApp], TestClient]]:
    """Starts applications under starlette's TestClient. They stop when the test ends."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(TestClient(app))


@pytest.fixture(params=["TestClient", "uvicorn"])
def send_with(request: pytest.FixtureRequest) -> Generator[SendWith]:
    """Sends requests to the guarded application of a given instance."""
    with ExitStack() as stack:

        def in_process(auth: Auth[Any, Any]) -> Send:
            return send_in_process(stack.enter_context(TestClient(guarded(auth))))

        def over_sockets(auth: Auth[Any, Any]) -> Send:
            return send_over_sockets(stack.enter_context(serving(guarded(auth))))

        yield in_process if request.param == "TestClient" else over_sockets


@pytest.fixture
def send(send_with: SendWith, auth: Auth) -> Send:
    return send_with(auth)
