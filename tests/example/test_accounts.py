"""Accounts in production: confirmed addresses, reset and changed passwords, rate limits."""

import asyncio
import json
import secrets
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from dev import stack
from dev.mail import MailServer
from dev.postgres import execute, fetch
from dev.processes import ChildProcess, free_port
from tests.example.conftest import Services
from tests.example.test_services import request

PAGE = "https://example.com"
COOKIE = "__Secure-better-auth.session_token"
PASSWORD = "seventeen quiet lanterns"
OTHER_PASSWORD = "nineteen loud umbrellas"


@dataclass
class Production:
    """An auth service and a backend in production, with the mail server that the service uses."""

    services: Services
    mail: MailServer
    auth_url: str
    api_url: str
    auth_service: ChildProcess

    def post(self, path: str, body: object, cookie: str = "", address: str = "", **headers: str) -> httpx.Response:
        """From a client address of its own, unless one is given: these tests are not about rate limits."""
        client = address or f"198.51.{secrets.randbelow(256)}.{secrets.randbelow(256)}"
        sent = {"Origin": PAGE, "X-Forwarded-For": client, **({"Cookie": cookie} if cookie else {}), **headers}
        return request("POST", f"{self.auth_url}/api/auth{path}", headers=sent, body=body)

    def sign_up(self, email: str, password: str = PASSWORD, name: str = "Ada") -> httpx.Response:
        return self.post("/sign-up/email", {"name": name, "email": email, "password": password})

    def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return self.post("/sign-in/email", {"email": email, "password": password})

    def verify(self, token: str) -> httpx.Response:
        headers = {"X-Forwarded-For": f"198.51.{secrets.randbelow(256)}.{secrets.randbelow(256)}"}
        return httpx.get(
            f"{self.auth_url}/api/auth/verify-email", params={"token": token}, headers=headers, trust_env=False
        )

    def confirmed(self, password: str = PASSWORD) -> str:
        """The address of somebody who signed up and followed the link."""
        email = new_address()
        assert self.sign_up(email, password).status_code == 200
        assert self.verify(self.mail.wait_for(email).token).status_code == 200
        return email

    def session(self, email: str, password: str = PASSWORD) -> str:
        """A session cookie."""
        response = self.sign_in(email, password)
        assert response.status_code == 200, response.text
        return cookie_of(response)

    def me(self, cookie: str) -> int:
        return request("GET", f"{self.api_url}/api/me", headers={"Cookie": cookie}).status_code


def cookie_of(response: httpx.Response) -> str:
    [cookie] = [text for text in response.headers.get_list("set-cookie") if text.startswith(f"{COOKIE}=")]
    return cookie.partition(";")[0]


def new_address() -> str:
    return f"ada-{secrets.token_hex(5)}@example.com"


Start = Callable[..., Production]


@pytest.fixture(scope="module")
def start(services: Services) -> Generator[Start]:
    with ExitStack() as down:
        mail = down.enter_context(MailServer())

        def start(**environment: str) -> Production:
            auth_port, api_port = free_port(), free_port()
            settings = {
                **services.settings,
                "NODE_ENV": "production",
                "AUTH_BASE_URL": "https://auth.example.com",
                "FRONTEND_URL": PAGE,
                "TRUSTED_PROXIES": "1",
                "SMTP_URL": mail.url,
                "MAIL_FROM": "Orchestrator <no-reply@example.com>",
                **environment,
            }
            auth_service = down.enter_context(stack.auth_service(auth_port, settings, package_dir=services.package_dir))
            backend = down.enter_context(stack.backend(api_port, settings))
            auth_url, api_url = f"http://localhost:{auth_port}", f"http://localhost:{api_port}"
            auth_service.wait_for_url(f"{auth_url}/health")
            backend.wait_for_url(f"{api_url}/health")
            return Production(services, mail, auth_url, api_url, auth_service)

        yield start


@pytest.fixture(scope="module")
def production(start: Start) -> Production:
    return start()


# --- addresses


def test_an_address_is_confirmed_before_anybody_can_sign_in_with_it(production: Production) -> None:
    email = new_address()
    response = production.sign_up(email)
    assert (response.status_code, response.json()["token"]) == (200, None)
    assert "set-cookie" not in response.headers
    mail = production.mail.wait_for(email)
    assert (mail.sender, mail.subject) == ("Orchestrator <no-reply@example.com>", "Confirm your email address")
    assert mail.link.startswith(f"{PAGE}/verify-email#token=")

    refused = production.sign_in(email)
    assert (refused.status_code, refused.json()["code"]) == (403, "EMAIL_NOT_VERIFIED")
    # Another link is on its way.
    again = production.mail.wait_for(email, count=2)
    assert again.link.startswith(f"{PAGE}/verify-email#token=")

    verified = production.verify(mail.token)
    assert verified.status_code == 200
    assert "set-cookie" not in verified.headers  # the link signs nobody in
    assert production.me(production.session(email)) == 200
    assert fetch(production.services.dsn, 'SELECT email_verified FROM "user" WHERE email = %s', email) == [(True,)]


@pytest.mark.parametrize("token", ["", "made.up.token", "e30.e30."])
def test_a_made_up_link_confirms_nothing(production: Production, token: str) -> None:
    assert production.verify(token).status_code in (400, 401)


def test_a_wrong_password_sends_no_link(production: Production) -> None:
    email = new_address()
    production.sign_up(email)
    production.mail.wait_for(email)
    assert production.sign_in(email, OTHER_PASSWORD).status_code == 401
    # What was sent later has arrived by the time that this has.
    production.mail.wait_for(production.confirmed())
    assert len(production.mail.sent_to(email)) == 1


def test_no_response_reveals_who_has_an_account(production: Production) -> None:
    known, unknown = production.confirmed(), new_address()
    for path in ("/request-password-reset", "/send-verification-email"):
        responses = [production.post(path, {"email": email}) for email in (known, unknown)]
        assert [response.status_code for response in responses] == [200, 200]
        assert responses[0].text == responses[1].text
    responses = [production.sign_up(email) for email in (known, known.upper(), new_address())]
    assert [response.status_code for response in responses] == [200, 200, 200]
    assert responses[0].headers.keys() == responses[-1].headers.keys()
    signed_up = [response.json() for response in responses]
    for response in signed_up:
        assert response["token"] is None
        assert response["user"].keys() == signed_up[-1]["user"].keys()
        assert len(response["user"]["id"]) == len(signed_up[-1]["user"]["id"])
        assert {name: type(value) for name, value in response["user"].items()} == {
            name: type(value) for name, value in signed_up[-1]["user"].items()
        }
    assert len({response["user"]["id"] for response in signed_up}) == 3
    refused = [production.sign_in(email, OTHER_PASSWORD) for email in (known, unknown)]
    assert refused[0].text == refused[1].text
    assert [response.status_code for response in refused] == [401, 401]


def test_whoever_has_an_account_is_told_by_mail_of_a_second_sign_up(production: Production) -> None:
    email = production.confirmed()
    production.sign_up(email.upper(), OTHER_PASSWORD, "Eve")
    mail = production.mail.wait_for(email, count=2)
    assert mail.subject == "You already have an account"
    assert "Eve" not in mail.text
    assert production.me(production.session(email)) == 200
    assert production.sign_in(email, OTHER_PASSWORD).status_code == 401


def test_no_mail_carries_text_that_a_stranger_chose(production: Production) -> None:
    email = new_address()
    production.sign_up(email, name="Win a prize at https://evil.example")
    assert "evil" not in production.mail.wait_for(email).text


def test_without_a_mail_server_everybody_is_told_the_same(start: Start) -> None:
    production = start(SMTP_URL=f"smtp://127.0.0.1:{free_port()}")
    for path, body in (
        ("/sign-up/email", {"name": "Ada", "email": new_address(), "password": PASSWORD}),
        ("/request-password-reset", {"email": new_address()}),
        ("/send-verification-email", {"email": new_address()}),
    ):
        response = production.post(path, body)
        assert (response.status_code, response.json()["code"]) == (503, "MAIL_UNAVAILABLE")
    query = 'SELECT count(*) FROM "user" WHERE email = %s'
    assert fetch(production.services.dsn, query, str(body["email"])) == [(0,)]
    assert "does not accept mail" in production.auth_service.last_output()


def test_in_development_the_link_is_in_the_log(start: Start) -> None:
    production = start(NODE_ENV="development", SMTP_URL="", MAIL_FROM="", REQUIRE_EMAIL_VERIFICATION="true")
    email = new_address()
    assert production.sign_up(email).status_code == 200
    production.auth_service.wait_until(lambda: f"mail to {email}" in production.auth_service.last_output())
    production.auth_service.wait_until(lambda: "/verify-email#token=" in production.auth_service.last_output())
    token = production.auth_service.last_output().partition("/verify-email#token=")[2].split()[0]
    assert production.verify(token).status_code == 200
    assert production.sign_in(email).status_code == 200


# --- passwords


async def test_a_reset_password_ends_every_session_and_every_socket(production: Production) -> None:
    email = production.confirmed()
    cookies = [production.session(email) for _ in range(2)]
    async with socket_of(production, cookies[0]) as socket:
        await socket.recv()
        production.post("/request-password-reset", {"email": email.upper()})
        mail = production.mail.wait_for(email, count=2)
        assert mail.link.startswith(f"{PAGE}/reset-password#token=")
        body = {"newPassword": OTHER_PASSWORD, "token": mail.token}
        assert production.post("/reset-password", body).status_code == 200
        assert await close_code(socket) == 4001
    assert [production.me(cookie) for cookie in cookies] == [401, 401]
    assert production.sign_in(email).status_code == 401
    assert production.me(production.session(email, OTHER_PASSWORD)) == 200
    assert production.mail.wait_for(email, count=3).subject == "Your password was changed"
    # A link works once.
    again = production.post("/reset-password", {"newPassword": PASSWORD, "token": mail.token})
    assert (again.status_code, again.json()["code"]) == (400, "INVALID_TOKEN")


def test_a_reset_link_ends_after_an_hour(production: Production) -> None:
    email = production.confirmed()
    production.post("/request-password-reset", {"email": email})
    token = production.mail.wait_for(email, count=2).token
    execute(production.services.dsn, "UPDATE verification SET expires_at = expires_at - interval '61 minutes'")
    late = production.post("/reset-password", {"newPassword": OTHER_PASSWORD, "token": token})
    assert (late.status_code, late.json()["code"]) == (400, "INVALID_TOKEN")
    assert production.me(production.session(email)) == 200


@pytest.mark.parametrize("choice", [{}, {"revokeOtherSessions": False}])
async def test_a_changed_password_ends_the_other_sessions_whatever_the_client_wants(
    production: Production, choice: dict[str, bool]
) -> None:
    email = production.confirmed()
    ours, other = production.session(email), production.session(email)
    body = {"currentPassword": PASSWORD, "newPassword": OTHER_PASSWORD, **choice}
    async with socket_of(production, other) as socket:
        await socket.recv()
        response = production.post("/change-password", body, ours)
        assert response.status_code == 200
        assert await close_code(socket) == 4001
    assert production.me(other) == 401
    assert production.me(cookie_of(response)) == 200
    assert production.mail.wait_for(email, count=2).subject == "Your password was changed"


def test_a_wrong_current_password_changes_nothing(production: Production) -> None:
    email = production.confirmed()
    ours, other = production.session(email), production.session(email)
    body = {"currentPassword": OTHER_PASSWORD, "newPassword": OTHER_PASSWORD}
    assert production.post("/change-password", body, ours).status_code == 400
    assert [production.me(ours), production.me(other)] == [200, 200]
    assert len(production.mail.sent_to(email)) == 1


WEAK = ["password", "P@ssw0rd1", "12345678", "qwertyuiop", "letmein2026", "iloveyou", "aaaaaaaaaaaa", "abcdefghij"]


@pytest.mark.parametrize("password", [*WEAK, "trustno1", "orchestrator1", "p" * 128, "password" * 8])
def test_a_password_that_is_easy_to_guess_is_refused_at_sign_up(production: Production, password: str) -> None:
    response = production.sign_up(new_address(), password)
    assert (response.status_code, response.json()["code"]) == (400, "PASSWORD_TOO_WEAK")
    assert response.json()["message"].endswith(".")


def test_a_password_made_of_ones_own_name_or_address_is_refused(production: Production) -> None:
    email = "grace.brewster@example.com"
    for password in (email, "gracebrewster", "Brewster1906", "hopperhopper"):
        response = production.sign_up(email, password, "Grace Hopper")
        assert (response.status_code, response.json()["code"]) == (400, "PASSWORD_TOO_WEAK"), password


@pytest.mark.parametrize(
    ("password", "code"), [("k9#xQ!", "PASSWORD_TOO_SHORT"), ("k9#xQ! " * 20, "PASSWORD_TOO_LONG")]
)
def test_the_length_of_a_password_is_limited(production: Production, password: str, code: str) -> None:
    response = production.sign_up(new_address(), password)
    assert (response.status_code, response.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    "password", ["correct horse battery", "Ünïcödé шифр 密码", "x7#Kq!2vLm9", "\U0001f511 keys under a mat"]
)
def test_a_good_password_is_accepted_whatever_it_is_made_of(production: Production, password: str) -> None:
    assert production.me(production.session(production.confirmed(password), password)) == 200


def test_a_weak_password_is_refused_at_every_place_that_sets_one(production: Production) -> None:
    email = production.confirmed()
    cookie = production.session(email)
    production.post("/request-password-reset", {"email": email})
    token = production.mail.wait_for(email, count=2).token
    for password in ("password1", email):
        changed = production.post("/change-password", {"currentPassword": PASSWORD, "newPassword": password}, cookie)
        reset = production.post("/reset-password", {"newPassword": password, "token": token})
        assert [response.json()["code"] for response in (changed, reset)] == ["PASSWORD_TOO_WEAK"] * 2
    # The link was not used up.
    assert production.post("/reset-password", {"newPassword": OTHER_PASSWORD, "token": token}).status_code == 200


# --- rate limits


def limited(production: Production, path: str, body: dict[str, Any], address: str) -> httpx.Response:
    """The first response that is 429."""
    for _ in range(12):
        response = production.post(path, body, address=address)
        if response.status_code == 429:
            return response
    raise AssertionError(f"{path} was never limited")


@pytest.mark.parametrize(
    ("path", "body", "seconds"),
    [
        ("/sign-in/email", {"email": "nobody@example.com", "password": "not the password"}, 10),
        ("/sign-up/email", {"name": "Ada", "email": "bad", "password": "bad"}, 10),
        ("/request-password-reset", {"email": "nobody@example.com"}, 60),
        ("/send-verification-email", {"email": "nobody@example.com"}, 60),
        ("/reset-password", {"newPassword": PASSWORD, "token": "made-up"}, 60),
    ],
)
def test_attempts_are_limited_and_the_response_says_when_to_try_again(
    production: Production, path: str, body: dict[str, Any], seconds: int
) -> None:
    address = f"203.0.113.{secrets.randbelow(256)}"
    execute(production.services.dsn, "TRUNCATE rate_limit")
    response = limited(production, path, body, address)
    retry_after = int(response.headers["retry-after"])
    assert 0 < retry_after <= seconds
    assert response.json()["code"] == "TOO_MANY_ATTEMPTS"
    assert response.json()["retryAfter"] == retry_after
    assert response.headers["access-control-allow-origin"] == PAGE
    [(key,)] = fetch(production.services.dsn, "SELECT key FROM rate_limit WHERE key LIKE %s", f"{address}%")
    assert key.endswith(path)
    # The others are not.
    assert production.post(path, body).status_code != 429


def test_links_cannot_be_guessed_without_end(production: Production) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7"}
    url = f"{production.auth_url}/api/auth/verify-email?token=made.up.token"
    statuses = [request("GET", url, headers=headers).status_code for _ in range(12)]
    assert statuses[0] == 401
    assert statuses[-1] == 429


def test_two_processes_share_a_limit_that_survives_a_restart(production: Production, start: Start) -> None:
    execute(production.services.dsn, "TRUNCATE rate_limit")
    body = {"email": "nobody@example.com", "password": "not the password"}
    second = start()
    for service, status in ((production, 401), (second, 401), (production, 401), (second, 429)):
        assert service.post("/sign-in/email", body, address="203.0.113.9").status_code == status
    second.auth_service.stop()
    # As if the window had only begun: how long a start takes is not what is tested.
    execute(second.services.dsn, "UPDATE rate_limit SET last_request = last_request + 60000")
    assert start().post("/sign-in/email", body, address="203.0.113.9").status_code == 429


@pytest.mark.parametrize("spelling", ["//sign-in/email", "/sign-in/email/", "/sign-in//email", "/sign-in/%65mail"])
def test_another_spelling_of_a_path_is_no_fresh_limit(production: Production, spelling: str) -> None:
    body = {"email": "nobody@example.com", "password": "not the password"}
    assert production.post(spelling, body).status_code == 404


# --- sockets


def socket_of(production: Production, cookie: str) -> connect:
    url = f"ws{production.api_url.removeprefix('http')}/ws"
    return connect(url, additional_headers={"Cookie": cookie, "Origin": PAGE}, proxy=None)


async def close_code(socket: Any) -> int | None:
    """With which the backend closes the socket."""
    try:
        while True:
            json.loads(await asyncio.wait_for(socket.recv(), 20))
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code
