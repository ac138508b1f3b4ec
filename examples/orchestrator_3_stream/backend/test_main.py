"""The backend's own tests: without a database, an auth service or settings.

Run: python -m pytest, in this directory
"""

import main
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketDenialResponse, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from auth_middleware import get_auth
from auth_middleware.testing import AuthTestKit, make_user, signed_in

FRONTEND = main.FRONTENDS[0]
FOREIGN = "https://evil.example.com"


@pytest.fixture
def kit(monkeypatch: pytest.MonkeyPatch) -> AuthTestKit:
    kit = AuthTestKit(credentials=["cookie", "bearer", "jwt"])
    monkeypatch.setitem(main.app.dependency_overrides, get_auth, lambda: kit.auth)
    monkeypatch.setattr(main, "PUSH_SECONDS", 0.001)
    return kit


@pytest.fixture
def client(kit: AuthTestKit) -> TestClient:  # noqa: ARG001 - the application uses it
    return TestClient(main.app)


def test_the_greeting_has_the_persons_name() -> None:
    with signed_in(main.app, name="Grace"), TestClient(main.app) as client:
        assert client.get("/get_orchestrator").json() == {"message": "Hello, Grace!", "signed_in": True}
        assert client.get("/api/me").json()["user"]["name"] == "Grace"


def test_a_stranger_is_greeted_and_told_nothing(client: TestClient) -> None:
    assert client.get("/get_orchestrator").json() == {"message": "Hello, stranger!", "signed_in": False}
    assert client.get("/api/me").status_code == 401


def test_me_says_which_credential_came(client: TestClient, kit: AuthTestKit) -> None:
    login = kit.login(make_user(name="Grace"))
    for headers, credential in (
        (login.headers, "cookie"),
        (login.bearer_headers, "bearer"),
        (login.jwt_headers, "jwt"),
    ):
        body = client.get("/api/me", headers=headers).json()
        assert (body["credential"], body["user"]["id"]) == (credential, login.user.id)
        assert ("session" in body, "jwt" in body) == (credential != "jwt", credential == "jwt")
        assert login.token not in str(body)


def test_an_outage_is_503_and_nobody_is_a_stranger(client: TestClient, kit: AuthTestKit) -> None:
    login = kit.login()
    with kit.outage():
        for path in ("/api/me", "/get_orchestrator"):
            assert client.get(path, headers=login.headers).status_code == 503


def test_the_stream_names_its_listener_and_ends_with_the_session(client: TestClient, kit: AuthTestKit) -> None:
    login = kit.login(make_user(name="Grace"))
    with client.websocket_connect("/ws", headers=login.headers) as socket:
        assert socket.receive_json()["for"] == "Grace"
        kit.revoke(login.session)
        with pytest.raises(WebSocketDisconnect) as closed:
            receive_forever(socket)
    assert closed.value.code == 4001


def receive_forever(socket: WebSocketTestSession) -> None:
    while True:
        socket.receive_json()


def test_an_outage_closes_no_stream(client: TestClient, kit: AuthTestKit) -> None:
    login = kit.login()
    with client.websocket_connect("/ws", headers=login.headers) as socket:
        with kit.outage():
            pushes = [socket.receive_json() for _ in range(5)]
        assert len(pushes) == 5


def test_the_stream_is_for_those_who_are_signed_in_on_our_page(
    client: TestClient, kit: AuthTestKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status(headers: dict[str, str]) -> int:
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws", headers=headers):
            pass
        return denied.value.status_code

    login = kit.login()
    assert status({}) == 401
    assert status({**login.headers, "origin": FOREIGN}) == 403
    monkeypatch.setattr(main, "ALLOW_ANONYMOUS_WS", True)
    assert status({"origin": FOREIGN}) == 403
    for headers in ({"origin": FRONTEND}, {**login.headers, "origin": FRONTEND}):
        with client.websocket_connect("/ws", headers=headers) as socket:
            assert "load_average" in socket.receive_json()
