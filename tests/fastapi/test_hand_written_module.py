"""An application that replaced a hand-written module keeps working, with a plain and with a secure cookie name."""

from collections.abc import Generator
from typing import NamedTuple

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from dev.cookies import COOKIE_NAME, SECRET, SECURE_COOKIE_NAME, cookie, new_token
from dev.postgres import EmbeddedPostgres
from tests.support.applications import TLS, connect_websocket
from tests.support.databases import Database
from tests.support.hand_written import hand_written


class Site(NamedTuple):
    url: str
    cookie_name: str
    database: Database


@pytest.fixture(scope="module", params=["http", "https"])
def site(request: pytest.FixtureRequest, postgres: EmbeddedPostgres, template: str) -> Generator[Site]:
    """A process and a database for each cookie name."""
    name = f"hand_written_{request.param}"
    database = Database(postgres.create_database(name, template))
    settings = {
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": f"{request.param}://auth.test",
    }
    with hand_written(settings) as url:
        yield Site(url, SECURE_COOKIE_NAME if request.param == "https" else COOKIE_NAME, database)
    postgres.drop_database(name)


def get(site: Site, path: str, token: str | None) -> httpx.Response:
    headers = cookie(token, name=site.cookie_name) if token else {}
    return httpx.get(site.url + path, headers=headers, trust_env=False, verify=TLS)


def test_the_cookie_name_follows_from_the_base_url(site: Site) -> None:
    assert get(site, "/health", None).json() == {"cookie": site.cookie_name}


def test_a_dependency_returns_the_user_with_all_fields(site: Site) -> None:
    who = site.database.sign_in()
    for path in ("/api/me", "/api/awaited"):
        user = get(site, path, who.token).json()["user"]
        assert (user["id"], user["email"], user["name"]) == (who.user_id, who.email, "Ada Lovelace")
        assert user.keys() == {"id", "name", "email", "email_verified", "image", "created_at", "updated_at"}
        for token in (None, new_token()):
            assert get(site, path, token).status_code == 401


def test_an_optional_user_may_be_none(site: Site) -> None:
    who = site.database.sign_in()
    assert get(site, "/api/greeting", who.token).json() == {"hello": "Ada Lovelace"}
    assert get(site, "/api/greeting", None).json() == {"hello": "stranger"}
    assert get(site, "/api/greeting", new_token()).json() == {"hello": "stranger"}


def test_the_cookie_can_be_read_and_validated_in_two_steps(site: Site) -> None:
    who = site.database.sign_in()
    assert get(site, "/api/chained", who.token).json() == {"session": who.session_id, "user": who.user_id}
    assert get(site, "/api/chained", None).json() == {"detail": "no cookie"}
    assert get(site, "/api/chained", new_token()).json() == {"detail": "no session"}


def test_a_websocket_reads_the_cookie(site: Site) -> None:
    who = site.database.sign_in()
    response = connect_websocket(f"{site.url}/ws", cookie(who.token, name=site.cookie_name))
    assert response.body == {"user": who.user_id}
    for headers in ({}, cookie(new_token(), name=site.cookie_name)):
        with connect(f"ws{site.url.removeprefix('http')}/ws", additional_headers=headers, proxy=None) as socket:
            with pytest.raises(ConnectionClosed):
                socket.recv()
            assert socket.close_code == 4401


def test_a_cookie_with_the_other_name_is_refused(site: Site) -> None:
    who = site.database.sign_in()
    other = COOKIE_NAME if site.cookie_name == SECURE_COOKIE_NAME else SECURE_COOKIE_NAME
    response = httpx.get(f"{site.url}/api/me", headers=cookie(who.token, name=other), trust_env=False, verify=TLS)
    assert response.status_code == 401
