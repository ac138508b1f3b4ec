"""JWTs of real Better Auth servers that are configured in another way, with keys over HTTP and from the table."""

import base64
import json
import secrets
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from auth_middleware import Auth
from dev.better_auth import VERSIONS, Version
from dev.postgres import execute, fetch
from tests.support.applications import guarded
from tests.support.issuers import Issuer, OpenIssuer, Person, connection

ISSUER, AUDIENCES = "https://issuer.example", ["my-api", "https://other.example"]


def status(auth: Auth, person: Person) -> int:
    with TestClient(guarded(auth)) as client:
        return client.get("/required", headers=person.headers["jwt"]).status_code


def by_every_way(issuer: Issuer, **settings: Any) -> Sequence[Auth]:
    """By the table and the row, by the endpoint and the row, and by the endpoint and the claims."""
    return [
        issuer.auth(**settings),
        issuer.auth(jwks_url=f"{issuer.api}/jwks", **settings),
        issuer.without_database(**settings),
    ]


@pytest.mark.parametrize("version", VERSIONS)
async def test_custom_issuer_audiences_and_payload_are_accepted_if_the_settings_say_so(
    version: Version, open_issuer: OpenIssuer
) -> None:
    options = {"jwt": {"issuer": ISSUER, "audience": AUDIENCES}}
    issuer = open_issuer(version, json.dumps(options), payload="organization")
    person = issuer.sign_up()
    for audience in AUDIENCES:
        for auth in by_every_way(issuer, jwt_issuer=ISSUER, jwt_audience=audience):
            async with auth.lifespan(None):
                request = connection(person.headers["jwt"])
                assert (await auth.current_user(request)).id == person.id
                claims = await auth.token_claims(request)
                assert claims is not None
                assert claims["o"] == {"id": "org-1", "slug": "acme", "role": "owner"}
    for settings in (
        {},
        {"jwt_issuer": ISSUER},
        {"jwt_audience": AUDIENCES[0]},
        {"jwt_issuer": f"{ISSUER}/", "jwt_audience": AUDIENCES[0]},
        {"jwt_issuer": ISSUER, "jwt_audience": ",".join(AUDIENCES)},
        {"jwt_issuer": ISSUER, "jwt_audience": "MY-API"},
    ):
        assert [status(auth, person) for auth in by_every_way(issuer, **settings)] == [401, 401, 401], settings


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payload_of_little_more_than_the_subject_is_enough_where_the_row_is_read(
    version: Version, open_issuer: OpenIssuer
) -> None:
    issuer = open_issuer(version, payload="nothing")
    person = issuer.sign_up()
    assert [status(auth, person) for auth in by_every_way(issuer)] == [200, 200, 503]


@pytest.mark.parametrize("version", VERSIONS)
def test_keys_are_rotated(version: Version, open_issuer: OpenIssuer) -> None:
    # An issuer of its own, whose keys no other test uses.
    issuer = open_issuer(version, json.dumps({"jwt": {"expirationTime": "21m"}}))
    old = issuer.sign_up()
    auths = by_every_way(issuer)
    assert [status(auth, old) for auth in auths] == [200, 200, 200]
    execute(issuer.dsn, """UPDATE jwks SET "expiresAt" = now() - interval '1 second'""")
    new = old._replace(jwt=issuer.new_token(old))
    assert key_id(new.jwt) != key_id(old.jwt)
    for person in (old, new):
        assert [status(auth, person) for auth in by_every_way(issuer)] == [200, 200, 200]
    execute(issuer.dsn, f"""UPDATE jwks SET "expiresAt" = now() - interval '31 days' WHERE id = '{key_id(old.jwt)}'""")
    assert [status(auth, new) for auth in by_every_way(issuer)] == [200, 200, 200]
    assert [status(auth, old) for auth in by_every_way(issuer)] == [401, 401, 401]


def key_id(token: str) -> str:
    return json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "=="))["kid"]


@pytest.fixture(params=VERSIONS)
def unusable(request: pytest.FixtureRequest, open_issuer: OpenIssuer) -> Issuer:
    """It signs with ES512."""
    return open_issuer(request.param, json.dumps({"jwks": {"keyPairConfig": {"alg": "ES512"}}}))


def test_a_key_that_cannot_be_used_is_named_in_one_warning(unusable: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    person = unusable.sign_up()
    [(identifier,)] = fetch(unusable.dsn, "SELECT id FROM jwks")
    for auth in by_every_way(unusable):
        caplog.clear()
        with TestClient(guarded(auth)) as client:
            for _ in range(3):
                assert client.get("/required", headers=person.headers["jwt"]).status_code == 401
            for number in range(3):
                unknown = {"Authorization": f"Bearer {with_key_id(person.jwt, f'unknown {number}')}"}
                assert client.get("/required", headers=unknown).status_code == 401
        # Others say what is wrong with the tokens.
        messages = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        warnings = [message for message in messages if identifier in message]
        assert len(warnings) == 1, messages
        assert "ES512" in warnings[0] or "P-521" in warnings[0]
        assert "EdDSA, ES256, RS256, PS256 can be verified" in warnings[0]


def with_key_id(token: str, identifier: str) -> str:
    _, payload, signature = token.split(".")
    header = json.dumps({"alg": "EdDSA", "kid": identifier + secrets.token_hex(4)}).encode()
    return f"{base64.urlsafe_b64encode(header).decode().rstrip('=')}.{payload}.{signature}"
