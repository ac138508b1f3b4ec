"""Guarded sockets that were opened with JWTs and bearer tokens of real Better Auth servers."""

import json
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from auth_middleware import Auth
from dev.better_auth import VERSIONS
from dev.postgres import execute
from tests.support.guarded_sockets import Client, application
from tests.support.issuers import Issuer, OpenIssuer
from tests.support.servers import serving

SESSION_ENDED = (4001, "session ended")
NEVER: dict[str, Any] = {"recheck_seconds": 3600}
SOON: dict[str, Any] = {"recheck_seconds": 0.2}


@contextmanager
def served(*instances: Auth[Any, Any]) -> Generator[list[str]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(application(auth))) for auth in instances]


def test_a_socket_ends_with_its_token(open_issuer: OpenIssuer) -> None:
    issuer = open_issuer(VERSIONS[-1], json.dumps({"jwt": {"expirationTime": "5s"}}))
    person = issuer.sign_up()
    instances = issuer.auth(**NEVER), issuer.auth(jwt_freshness="claims", **NEVER), issuer.without_database(**NEVER)
    with served(*instances) as urls:
        token = issuer.new_token(person)
        for url in urls:
            socket = Client(f"{url}/echo", {"Authorization": f"Bearer {token}"})
            socket.echo("hello")
            if url == urls[-1]:
                assert socket.closed() == SESSION_ENDED
        stays = Client(f"{urls[0]}/echo", person.headers["cookie"])
        stays.echo("a session lasts longer")


@pytest.mark.parametrize("end", ["banned", "deleted"])
def test_a_socket_ends_with_its_user_unless_the_claims_are_the_user(newest: Issuer, end: str) -> None:
    person = newest.sign_up()
    with served(newest.auth(**SOON), newest.auth(jwt_freshness="claims", **SOON)) as [by_row, by_claims]:
        ends = [Client(f"{by_row}/echo", headers) for headers in person.headers.values()]
        stays = Client(f"{by_claims}/echo", person.headers["jwt"])
        if end == "banned":
            execute(newest.dsn, f"""UPDATE "user" SET banned = true WHERE id = '{person.id}'""")
        else:
            execute(newest.dsn, f"""DELETE FROM "user" WHERE id = '{person.id}'""")
        assert [socket.closed() for socket in ends] == [SESSION_ENDED] * 3
        stays.echo("still there")


def test_a_sign_out_ends_the_sockets_of_the_session_and_not_those_of_its_token(newest: Issuer) -> None:
    person = newest.sign_up()
    with served(newest.auth(**SOON)) as [url]:
        [cookie, bearer, jwt] = [Client(f"{url}/echo", headers) for headers in person.headers.values()]
        execute(newest.dsn, f"""DELETE FROM "session" WHERE "userId" = '{person.id}'""")
        assert cookie.closed() == bearer.closed() == SESSION_ENDED
        jwt.echo("still there")
