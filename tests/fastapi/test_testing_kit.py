"""`AuthTestKit`: genuinely signed credentials, and what can happen to the sessions behind them."""

import hmac
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from auth_middleware import (
    Auth,
    AuthMiddleware,
    AuthSession,
    AuthSettings,
    AuthUser,
    ConfigurationError,
    get_auth,
    get_token_claims,
    guard_websocket,
)
from auth_middleware.testing import AuthTestKit, Login, make_session, make_user, signed_in
from tests.support import jwt_reader
from tests.support.applications import guarded

STRATEGIES: tuple[Literal["compact", "jwt", "jwe", "jwks"], ...] = ("compact", "jwt", "jwe", "jwks")


class Member(AuthUser):
    role: str = "user"


class Device(AuthSession):
    device: str


@pytest.fixture(autouse=True)
def _no_settings(environment: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BETTER_AUTH_SECRET", "BETTER_AUTH_URL"):
        environment.delenv(name, raising=False)


def client_of(kit: AuthTestKit[Any, Any]) -> TestClient:
    return TestClient(guarded(kit.auth))


def status(client: TestClient, headers: dict[str, str]) -> int:
    return client.get("/required", headers=headers).status_code


def test_a_login_has_a_session_a_user_and_what_a_client_presents(auth_kit: AuthTestKit) -> None:
    login = auth_kit.login(user=make_user(name="Grace"))
    client = client_of(auth_kit)
    [(name, value)] = login.cookies.items()
    assert login.headers == {"cookie": f"{name}={value}"}
    assert name == auth_kit.auth.cookie_name == "better-auth.session_token"
    assert login.user.name == "Grace"
    assert login.session.user_id == login.user.id
    assert login.token == login.session.token
    assert value.startswith(f"{login.token}.")
    assert client.get("/required", headers=login.headers).json() == login.user.id
    assert TestClient(client.app, cookies=login.cookies).get("/required").json() == login.user.id
    assert client.get("/session", headers=login.headers).json() == login.user.id
    assert login.token not in repr(login)


async def test_the_identity_is_what_the_login_says(auth_kit: AuthTestKit) -> None:
    login = auth_kit.login()
    [cookie] = login.cookies.values()
    identity = await auth_kit.auth.validate_session(cookie)
    assert identity == (login.session, login.user)


def test_signatures_are_checked(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    other = AuthTestKit()
    assert status(client, {"cookie": login.headers["cookie"] + "x"}) == 401
    assert status(client, {"cookie": f"better-auth.session_token={login.token}"}) == 401
    assert status(client, other.login(login.user).headers) == 401
    assert status(client, {}) == 401


def test_bearer_tokens_are_accepted_if_the_credentials_list_them(auth_kit: AuthTestKit) -> None:
    kit = AuthTestKit(credentials=["bearer"])
    login = kit.login()
    client = client_of(kit)
    assert status(client, login.bearer_headers) == 200
    assert status(client, login.headers) == 401
    assert status(client, {"authorization": f"Bearer {login.token}"}) == 401
    assert status(client_of(auth_kit), auth_kit.login().bearer_headers) == 401
    unsigned = AuthTestKit(credentials=["bearer"], bearer_unsigned=True)
    assert status(client_of(unsigned), {"authorization": f"Bearer {unsigned.login().token}"}) == 200


def test_jwts_are_signed_by_the_key_of_the_jwks() -> None:
    kit = AuthTestKit(credentials="cookie,jwt")
    app = guarded(kit.auth)

    @app.get("/claims")
    async def claims(claims: Annotated[dict[str, Any], Depends(get_token_claims)]) -> dict[str, Any]:
        return claims

    client, login = TestClient(app), kit.login(make_user(name="Grace"))
    assert client.get("/required", headers=login.jwt_headers).json() == login.user.id
    assert client.get("/required", headers=login.headers).json() == login.user.id
    token = kit.jwt(login.user, organization="navy")
    found = client.get("/claims", headers={"authorization": f"Bearer {token}"}).json()
    assert (found["organization"], found["name"], found["sub"]) == ("navy", "Grace", login.user.id)
    assert jwt_reader.verified(token, kit.jwks)["sub"] == login.user.id
    for wrong in (
        kit.jwt(login.user, iss="https://evil.example.com"),
        kit.jwt(login.user, aud="another"),
        AuthTestKit(credentials="jwt").jwt(login.user),
        token[:-8] + "AAAAAAAA",
    ):
        assert status(client, {"authorization": f"Bearer {wrong}"}) == 401


def test_jwts_expire() -> None:
    kit = AuthTestKit(credentials="jwt")
    client = client_of(kit)
    headers = {"authorization": f"Bearer {kit.jwt(make_user(), expires_in=60)}"}
    assert status(client, headers) == 200
    kit.advance(50)
    assert status(client, headers) == 200
    kit.advance(10 + AuthSettings().jwt_leeway_seconds)
    assert status(client, headers) == 401


def test_the_claims_alone_can_be_the_user() -> None:
    kit = AuthTestKit(user_model=Member, credentials="jwt", jwt_freshness="claims")
    app = FastAPI()

    @app.get("/role")
    async def role(member: Annotated[Member, Depends(kit.auth.current_user)]) -> str:
        return member.role

    token = kit.jwt(make_user(role="admin"))
    assert TestClient(app).get("/role", headers={"authorization": f"Bearer {token}"}).json() == "admin"
    assert kit.lookups == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_form_of_the_cookie_cache_identifies_until_it_expires(strategy: str) -> None:
    kit = AuthTestKit(user_model=Member, freshness="cookie_cache", cache_strategy=strategy)
    client, login = client_of(kit), kit.login(make_user(role="admin"), cookie_cache=True, cookie_cache_seconds=120)
    assert list(login.cookies) == ["better-auth.session_token", "better-auth.session_data"]
    assert status(client, login.headers) == 200
    assert (kit.lookups, kit.auth.counters["cookie_cache"]) == (0, 1)
    kit.revoke(login.session)
    assert status(client, login.headers) == 200, "as in production"
    kit.advance(140)
    assert status(client, login.headers) == 401


def test_a_cookie_of_another_form_is_not_trusted() -> None:
    kit = AuthTestKit(freshness="cookie_cache", cache_strategy="jwe")
    client = client_of(kit)
    for strategy in STRATEGIES:
        before = kit.lookups
        assert status(client, kit.login(cookie_cache=strategy).headers) == 200
        assert kit.lookups - before == (strategy != "jwe"), strategy


def test_revoked_expired_and_banned_sessions_are_refused(auth_kit: AuthTestKit) -> None:
    client = client_of(auth_kit)
    revoked, expired, banned, other = (auth_kit.login() for _ in range(4))
    second = auth_kit.login(banned.user)
    auth_kit.revoke(revoked.session)
    auth_kit.expire(expired)
    auth_kit.ban(banned.user)
    statuses = [status(client, login.headers) for login in (revoked, expired, banned, second, other)]
    assert statuses == [401, 401, 401, 401, 200]
    assert {"unknown_session": 1, "expired": 1, "banned": 2}.items() <= auth_kit.auth.counters.items()


def test_a_ban_may_lapse(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    auth_kit.ban(login, until=auth_kit.now + timedelta(hours=1))
    assert status(client, login.headers) == 401
    auth_kit.advance(3601)
    assert status(client, login.headers) == 200


def test_sessions_end_when_the_clock_has_advanced(auth_kit: AuthTestKit) -> None:
    client = client_of(auth_kit)
    login = auth_kit.login(session=make_session(expires_at=auth_kit.now + timedelta(hours=1)))
    auth_kit.advance(3590)
    assert status(client, login.headers) == 200
    auth_kit.advance(20)
    assert status(client, login.headers) == 401
    assert status(client, auth_kit.login().headers) == 200


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_the_clock_cannot_go_back(auth_kit: AuthTestKit, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        auth_kit.advance(seconds)


def test_an_outage_is_503_and_ends(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    with auth_kit.outage():
        with auth_kit.outage():
            pass
        for path in ("/required", "/optional"):
            response = client.get(path, headers=login.headers)
            assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert status(client, {}) == 401, "nothing is looked up"
    assert status(client, login.headers) == 200


def test_an_outage_ends_with_an_exception_too(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    with pytest.raises(ZeroDivisionError), auth_kit.outage():
        raise ZeroDivisionError
    assert status(client, login.headers) == 200


def test_live_evicts_what_changes_and_a_number_of_seconds_does_not() -> None:
    for freshness, after_revoking in (("live", 401), ("60", 200)):
        kit = AuthTestKit(freshness=freshness)
        login = kit.login()
        with client_of(kit) as client:
            assert [status(client, login.headers) for _ in range(3)] == [200] * 3
            assert kit.lookups == 1
            kit.revoke(login)
            assert status(client, login.headers) == after_revoking
            kit.advance(61)
            assert status(client, login.headers) == 401


def pass_a_week(kit: AuthTestKit, _login: object) -> None:
    kit.advance(8 * 86_400)


@pytest.mark.parametrize("end", [AuthTestKit.revoke, AuthTestKit.expire, AuthTestKit.ban, pass_a_week])
@pytest.mark.parametrize("freshness", ["always", "live"])
def test_guarded_sockets_end_with_their_session(end: Callable[[AuthTestKit, Login], None], freshness: str) -> None:
    kit = AuthTestKit(freshness=freshness)
    app = FastAPI()
    app.dependency_overrides[get_auth] = lambda: kit.auth

    @app.websocket("/ws")
    async def stream(websocket: WebSocket) -> None:
        async with guard_websocket(websocket) as identity:
            await websocket.send_json(identity.user.id)
            await websocket.receive_text()

    login = kit.login()
    with TestClient(app).websocket_connect("/ws", headers=login.headers) as socket:
        assert socket.receive_json() == login.user.id
        end(kit, login)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 4001


def test_own_models_have_their_fields() -> None:
    kit = AuthTestKit(user_model=Member, session_model=Device)
    app = FastAPI()

    @app.get("/mine")
    async def mine(
        member: Annotated[Member, Depends(kit.auth.current_user)],
        session: Annotated[Device, Depends(kit.auth.current_session)],
    ) -> list[str]:
        return [member.role, session.device]

    client = TestClient(app)
    login = kit.login(make_user(Member, role="admin"), session=make_session(device="phone"))
    assert client.get("/mine", headers=login.headers).json() == ["admin", "phone"]
    assert (login.user.role, login.session.device) == ("admin", "phone")
    login = kit.login(make_user(role="guest"))
    assert client.get("/mine", headers=login.headers).json() == ["guest", login.session.device]
    assert kit.login().user.role == "user"
    with pytest.raises(TypeError, match="no field colour"):
        kit.login(make_user(colour="blue"))
    with pytest.raises(TypeError, match="AuthUser has no field role"):
        AuthTestKit().login(make_user(role="admin"))


def test_another_instance_of_the_application_can_be_replaced() -> None:
    members = Auth(user_model=Member)
    app = FastAPI()

    @app.get("/role")
    async def role(member: Annotated[Member, Depends(members.current_user)]) -> str:
        return member.role

    kit = AuthTestKit(user_model=Member)
    app.dependency_overrides[members.current_user] = kit.auth.current_user
    login = kit.login(make_user(role="admin"))
    assert TestClient(app).get("/role", headers=login.headers).json() == "admin"


def test_the_environment_decides_about_names_and_origins_and_nothing_else(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BETTER_AUTH_URL", "https://auth.example.com")
    environment.setenv("BETTER_AUTH_TRUSTED_ORIGINS", "https://page.example.com")
    environment.setenv("BETTER_AUTH_SECRET", "short")
    environment.setenv("DATABASE_URL", "no URL")
    environment.setenv("AUTH_MIDDLEWARE_CREDENTIALS", "jwt")
    environment.setenv("AUTH_MIDDLEWARE_FRESHNESS", "sometimes")
    kit = AuthTestKit()
    client, login = client_of(kit), kit.login()
    assert list(login.cookies) == ["__Secure-better-auth.session_token"]
    for origin, expected in (("https://page.example.com", 200), ("https://evil.example.com", 403)):
        assert client.post("/required", headers={**login.headers, "origin": origin}).status_code == expected
    assert list(AuthTestKit(base_url="http://localhost").login().cookies) == ["better-auth.session_token"]


def test_wrong_options_are_errors() -> None:
    with pytest.raises(ConfigurationError, match="freshness"):
        AuthTestKit(freshness="sometimes")
    with pytest.raises(ConfigurationError, match="freshnes: did you mean freshness"):
        AuthTestKit(freshnes="live")


def test_a_session_or_user_that_the_kit_does_not_have_is_an_error(auth_kit: AuthTestKit) -> None:
    login = auth_kit.login()
    auth_kit.revoke(login)
    for unknown in (login.session, AuthTestKit().login().session, make_session()):
        with pytest.raises(LookupError, match="no such session"):
            auth_kit.revoke(unknown)
        with pytest.raises(LookupError, match="no such session"):
            auth_kit.expire(unknown)
    with pytest.raises(LookupError, match="no such user"):
        auth_kit.ban(make_user())


BETWEEN: list[Callable[[AuthTestKit, Login], object]] = [
    lambda kit, login: kit.login(login.user, allow_banned=True),
    lambda kit, _: kit.login(),
    lambda kit, login: kit.expire(kit.login(login.user, allow_banned=True)),
    lambda kit, login: kit.login(login.user.model_copy(update={"name": "Other"}), allow_banned=True),
    lambda kit, login: kit.jwt(login.user),
]


@pytest.mark.parametrize("between", BETWEEN)
def test_a_ban_stays_until_it_is_lifted(auth_kit: AuthTestKit, between: Callable[[AuthTestKit, Login], object]) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    auth_kit.ban(login.user)
    between(auth_kit, login)
    assert status(client, login.headers) == 401
    auth_kit.unban(login)
    assert status(client, login.headers) == 200


def test_a_banned_user_cannot_sign_in(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    auth_kit.ban(login.user, until=auth_kit.now + timedelta(hours=1))
    with pytest.raises(ValueError, match=r"is banned.*unban.*allow_banned=True"):
        auth_kit.login(login.user)
    assert status(client, auth_kit.login(login.user, allow_banned=True).headers) == 401
    auth_kit.advance(3601)
    assert status(client, auth_kit.login(login.user).headers) == 200


def test_a_user_whose_own_model_says_banned_cannot_sign_in() -> None:
    class Bannable(AuthUser):
        banned: bool | None = None

    kit = AuthTestKit(user_model=Bannable)
    with pytest.raises(ValueError, match="is banned"):
        kit.login(make_user(Bannable, banned=True))
    login = kit.login(make_user(Bannable, banned=True), allow_banned=True)
    assert status(client_of(kit), login.headers) == 401


def test_a_ban_that_has_lapsed_can_be_followed_by_another(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    auth_kit.ban(login.user, until=auth_kit.now - timedelta(seconds=1))
    again = auth_kit.login(login.user)
    assert status(client, again.headers) == 200
    auth_kit.ban(login.user)
    assert status(client, again.headers) == 401


def test_the_clock_takes_seconds_and_timedeltas(auth_kit: AuthTestKit) -> None:
    client, login = client_of(auth_kit), auth_kit.login()
    auth_kit.advance(timedelta(days=6))
    assert status(client, login.headers) == 200
    auth_kit.advance(timedelta(days=2))
    assert status(client, login.headers) == 401
    with pytest.raises(ValueError, match="seconds"):
        auth_kit.advance(timedelta(seconds=-1))


WRONG: list[tuple[Callable[[Any, Any], object], str]] = [
    (lambda kit, login: kit.revoke(login.token), "a session or a Login is needed, not str"),
    (lambda kit, login: kit.expire(login.user), "a session or a Login is needed, not AuthUser"),
    (lambda kit, login: kit.ban(login.user.id), "ban needs a user or a Login, not str"),
    (lambda kit, _: kit.login("Ada"), "login needs a user, not str"),
    (lambda kit, login: kit.login(session=login.user), "login needs a session, not AuthUser"),
    (lambda kit, login: kit.jwt(login.session), "jwt needs a user, not AuthSession"),
    (lambda kit, _: kit.advance("60"), "advance needs seconds or a timedelta, not str"),
]


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_arguments_of_another_type_are_errors(
    auth_kit: AuthTestKit, call: Callable[[AuthTestKit, Login], object], message: str
) -> None:
    login = auth_kit.login()
    with pytest.raises(TypeError, match=message):
        call(auth_kit, login)


NEW, OLD, PLAIN = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("settings", "signing"),
    [
        ({"secrets": f"2:{NEW},1:{OLD}"}, NEW),
        ({"secrets": SecretStr(f"2: {NEW}")}, NEW),
        ({"secrets": f"2:{NEW}", "secret": PLAIN}, NEW),
        ({"secret": PLAIN}, PLAIN),
        ({"secret": SecretStr(PLAIN)}, PLAIN),
        ({"secret": PLAIN, "previous_secrets": [OLD]}, PLAIN),
    ],
)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_secret_that_was_passed_signs(settings: dict[str, Any], signing: str, strategy: str) -> None:
    kit = AuthTestKit(**settings, freshness="cookie_cache", cache_strategy=strategy)
    client, login = client_of(kit), kit.login(cookie_cache=True)
    assert status(client, login.headers) == 200
    assert kit.lookups == 0
    [value, *_] = login.cookies.values()
    signature = b64encode(hmac.digest(signing.encode(), login.token.encode(), "sha256")).decode()
    assert unquote(value) == f"{login.token}.{signature}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"secret": ""}, "no secret"),
        ({"secret": "short"}, "BETTER_AUTH_SECRET"),
        ({"secrets": "no version"}, "BETTER_AUTH_SECRETS"),
        ({"database_url": "postgresql://db.example.com/app"}, "database_url has no effect"),
        ({"freshness": "live", "listen_database_url": "postgresql://db.example.com/app"}, "listen_database_url has no"),
        ({"credentials": "jwt", "jwks_url": "https://auth.example.com/jwks"}, "jwks_url has no effect"),
        ({"neon_auth_base_url": "https://neon.example.com"}, "neon_auth_base_url has no effect"),
    ],
)
def test_settings_that_cannot_be_honoured_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        AuthTestKit(**settings)


def test_an_instance_of_the_application_is_replaced_everywhere() -> None:
    members = Auth(user_model=Member)
    app = FastAPI(lifespan=members.lifespan)
    app.add_middleware(AuthMiddleware, auth=members, required=True)

    @app.get("/role")
    async def role(request: Request, member: Annotated[Member, Depends(members.current_user)]) -> list[str]:
        identity = await members.validate_session(members.session_cookie(request))
        assert identity is not None
        async with members.guard_request(request) as guard:
            return [request.user.role, member.role, identity.user.role, guard.identity.user.role]

    @app.websocket("/guarded")
    async def guarded_socket(websocket: WebSocket) -> None:
        async with members.guard_websocket(websocket) as identity:
            await websocket.send_json(identity.user.role)
            await websocket.receive_text()

    @app.websocket("/validated")
    async def validated_socket(websocket: WebSocket) -> None:
        identity = await members.validate_websocket(websocket)
        await websocket.accept()
        await websocket.send_json(identity and identity.user.role)

    kit = AuthTestKit(user_model=Member)
    login = kit.login(make_user(Member, role="admin"))
    with kit.replaces(members), TestClient(app) as client:
        assert client.get("/role").status_code == 401
        assert client.get("/role", headers=login.headers).json() == ["admin"] * 4
        with client.websocket_connect("/validated", headers=login.headers) as socket:
            assert socket.receive_json() == "admin"
        with client.websocket_connect("/guarded", headers=login.headers) as socket:
            assert socket.receive_json() == "admin"
            kit.revoke(login)
            with pytest.raises(WebSocketDisconnect):
                socket.receive_json()
    with pytest.raises(ConfigurationError), TestClient(app):
        pass


def test_replacements_nest_and_need_the_same_models() -> None:
    members = Auth(user_model=Member)
    app = FastAPI()

    @app.get("/")
    async def name(member: Annotated[Member, Depends(members.current_user)]) -> str:
        return member.name

    client, outer, inner = TestClient(app), AuthTestKit(user_model=Member), AuthTestKit(user_model=Member)
    for_outer, for_inner = outer.login().headers, inner.login().headers
    with outer.replaces(members):
        with inner.replaces(members):
            assert [client.get("/", headers=each).status_code for each in (for_outer, for_inner)] == [401, 200]
            with signed_in(app, name="Grace"):
                assert client.get("/").json() == "Grace"
        assert [client.get("/", headers=each).status_code for each in (for_outer, for_inner)] == [200, 401]
    wrong: Any = AuthTestKit()
    with pytest.raises(TypeError, match="pass user_model=Member"), wrong.replaces(members):
        pytest.fail("the block ran")
    with pytest.raises(TypeError, match="needs an Auth, not FastAPI"), wrong.replaces(app):
        pytest.fail("the block ran")
