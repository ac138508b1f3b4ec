"""JWTs and bearer tokens that real Better Auth servers issue, through every function."""

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket
from starlette.testclient import TestClient
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from auth_middleware import Auth, AuthSettings, AuthUser, ConfigurationError, SchemaError, StoreUnavailable
from auth_middleware._core import Migrations
from dev.better_auth import VERSIONS, BetterAuthServer, Version
from dev.postgres import EmbeddedPostgres, execute, fetch
from tests.support.applications import guarded
from tests.support.issuers import TOKEN, Issuer, OpenIssuer, connection
from tests.support.polling import POLL_SECONDS, TIMEOUT_SECONDS, wait_until
from tests.support.servers import serving


def get(client: TestClient, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    response = client.get(path, headers=headers)
    return response.status_code, response.json()


def test_every_kind_of_credential_identifies_its_user(issuer: Issuer) -> None:
    person = issuer.sign_up()
    with TestClient(guarded(issuer.auth())) as client:
        for kind, headers in person.headers.items():
            assert get(client, "/required", headers) == (200, person.id), kind
            assert get(client, "/optional", headers) == (200, person.id), kind
        assert get(client, "/session", person.headers["cookie"]) == (200, person.id)
        assert get(client, "/session", person.headers["bearer"]) == (200, person.id)
        assert get(client, "/session", person.headers["jwt"])[0] == 401
        assert get(client, "/required", {}) == (401, {"detail": "Not authenticated"})
        bad = {"Authorization": "Bearer a.b.c"}
        assert get(client, "/required", bad) == (401, {"detail": "Invalid or expired session"})
        assert get(client, "/optional", bad) == (200, None)


@pytest.mark.parametrize("alg", ["EdDSA", "ES256", "RS256", "PS256"])
@pytest.mark.parametrize("version", VERSIONS)
def test_tokens_of_every_algorithm_are_accepted_by_served_and_by_stored_keys(
    version: Version, alg: str, open_issuer: OpenIssuer
) -> None:
    options = {} if alg == "EdDSA" else {"jwks": {"keyPairConfig": {"alg": alg}}}
    issuer = open_issuer(version, json.dumps(options))
    person = issuer.sign_up()
    assert json.loads(base64.urlsafe_b64decode(person.jwt.split(".")[0] + "=="))["alg"] == alg
    for auth in (issuer.auth(), issuer.without_database(jwks_url=f"{issuer.api}/jwks"), issuer.without_database()):
        with TestClient(guarded(auth)) as client:
            assert get(client, "/required", person.headers["jwt"]) == (200, person.id)


def test_claims_become_the_user_and_the_row_is_more_current(issuer: Issuer) -> None:
    person = issuer.sign_up("Ada")
    execute(issuer.dsn, f"""UPDATE "user" SET name = 'Lovelace' WHERE id = '{person.id}'""")

    async def users() -> list[AuthUser]:
        found: list[AuthUser] = []
        for auth in (issuer.auth(), issuer.without_database()):
            async with auth.lifespan(None):
                found.append(await auth.current_user(connection(person.headers["jwt"])))
        return found

    row, claims = asyncio.run(users())
    assert (row.name, claims.name) == ("Lovelace", "Ada")
    assert row.model_dump(exclude={"name"}) == claims.model_dump(exclude={"name"})


def test_a_banned_or_deleted_user_is_refused_at_once_by_the_row_and_not_by_the_claims(newest: Issuer) -> None:
    banned, deleted = newest.sign_up(), newest.sign_up()
    with (
        TestClient(guarded(newest.auth())) as by_row,
        TestClient(guarded(newest.without_database())) as by_claims,
        TestClient(guarded(newest.auth(jwt_freshness="claims"))) as by_claims_beside_a_database,
    ):
        for person in (banned, deleted):
            assert get(by_row, "/required", person.headers["jwt"])[0] == 200
        execute(newest.dsn, f"""UPDATE "user" SET banned = true WHERE id = '{banned.id}'""")
        execute(newest.dsn, f"""DELETE FROM "user" WHERE id = '{deleted.id}'""")
        for person in (banned, deleted):
            headers = person.headers["jwt"]
            assert get(by_row, "/required", headers) == (401, {"detail": "Invalid or expired session"})
            assert get(by_row, "/optional", headers) == (200, None)
            assert get(by_claims, "/required", headers) == (200, person.id)
            assert get(by_claims_beside_a_database, "/required", headers) == (200, person.id)


def test_a_token_outlives_the_sign_out_and_a_bearer_token_does_not(newest: Issuer) -> None:
    person = newest.sign_up()
    with TestClient(guarded(newest.auth())) as client:
        execute(newest.dsn, f"""DELETE FROM session WHERE "userId" = '{person.id}'""")
        assert get(client, "/required", person.headers["jwt"]) == (200, person.id)
        assert get(client, "/required", person.headers["bearer"])[0] == 401


def test_a_bearer_token_without_signature_needs_a_setting(newest: Issuer) -> None:
    person = newest.sign_up()
    unsigned = {"Authorization": f"Bearer {person.bearer.split('.')[0]}"}
    for setting, status in ((False, 401), (True, 200)):
        with TestClient(guarded(newest.auth(bearer_unsigned=setting))) as client:
            assert client.get("/required", headers=unsigned).status_code == status


CREDENTIALS = ["none", "good", "bad"]


async def test_the_hand_written_chain_names_nobody_beside_a_bearer_token(newest: Issuer) -> None:
    ada, bob = newest.sign_up("Ada"), newest.sign_up("Bob")
    both = connection({**ada.headers["cookie"], **bob.headers["jwt"]})
    async with newest.auth().lifespan(None):
        assert newest.auth().session_cookie(both) is None
        assert newest.auth(credentials="cookie").session_cookie(both) == ada.cookie
        assert newest.auth(credentials="jwt").session_cookie(connection(ada.headers["cookie"])) is None


async def test_claims_can_be_read(open_issuer: OpenIssuer) -> None:
    issuer = open_issuer(payload="organization")
    person = issuer.sign_up()
    auth = issuer.auth()
    async with auth.lifespan(None):
        claims = await auth.token_claims(connection(person.headers["jwt"]))
        assert claims is not None
        assert claims["sub"] == person.id
        assert claims["o"] == {"id": "org-1", "slug": "acme", "role": "owner"}
        assert await auth.token_claims(connection(person.headers["cookie"])) is None
        assert await auth.token_claims(connection({"Authorization": "Bearer a.b.c"})) is None


async def test_a_fresh_user_is_the_row_and_without_a_database_a_wrong_configuration(newest: Issuer) -> None:
    person = newest.sign_up("Ada")
    execute(newest.dsn, f"""UPDATE "user" SET name = 'Lovelace' WHERE id = '{person.id}'""")
    by_claims = newest.auth(jwt_freshness="claims")
    request = connection(person.headers["jwt"])
    async with by_claims.lifespan(None):
        assert (await by_claims.current_user(request)).name == "Ada"
        assert (await by_claims.fresh_user(request)).name == "Lovelace"
    without = newest.without_database()
    async with without.lifespan(None):
        await without.current_user(request)
        with pytest.raises(ConfigurationError) as raised:
            await without.fresh_user(connection(person.headers["jwt"]))
        assert getattr(raised.value, "status_code", None) == 500


async def test_what_the_claims_lack_is_503_and_one_warning(
    open_issuer: OpenIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    issuer = open_issuer(payload="nothing")
    person = issuer.sign_up()
    with TestClient(guarded(issuer.without_database())) as client:
        for _ in range(3):
            assert client.get("/required", headers=person.headers["jwt"]).status_code == 503
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "email" in warnings[0]
    assert "definePayload" in warnings[0]
    enough = open_issuer(payload="email")
    person = enough.sign_up()
    auth = enough.without_database()
    async with auth.lifespan(None):
        user = await auth.current_user(connection(person.headers["jwt"]))
    assert (user.id, user.email, user.name, user.email_verified, user.created_at) == (
        person.id,
        person.email,
        "",
        False,
        None,
    )


def test_a_new_key_is_picked_up_and_the_old_one_goes_on(open_issuer: OpenIssuer) -> None:
    issuer = open_issuer("1.7.25", "{}", generate_id="uuid")
    old = issuer.sign_up()
    for auth in (issuer.auth(), issuer.without_database()):
        with TestClient(guarded(auth)) as client:
            assert get(client, "/required", old.headers["jwt"]) == (200, old.id)
            execute(issuer.dsn, """UPDATE jwks SET "expiresAt" = now() - interval '1 second'""")
            new = old._replace(jwt=issuer.new_token(old))
            assert new.jwt.split(".")[0] != old.jwt.split(".")[0], "it is signed by another key"
            assert get(client, "/required", new.headers["jwt"]) == (200, old.id)
            assert get(client, "/required", old.headers["jwt"]) == (200, old.id)
    execute(issuer.dsn, """UPDATE jwks SET "expiresAt" = now() - interval '31 days'""")
    for auth in (issuer.auth(), issuer.without_database()):
        with TestClient(guarded(auth)) as client:
            assert get(client, "/required", old.headers["jwt"])[0] == 401


def test_a_neon_shaped_server_needs_one_variable(postgres: EmbeddedPostgres, environment: pytest.MonkeyPatch) -> None:
    dsn = postgres.create_database(f"neon_{secrets.token_hex(4)}")
    execute(dsn, "CREATE SCHEMA neon_auth")
    options: dict[str, Any] = {
        "base_path": "/neondb/auth",
        "generate_id": "uuid",
        "payload": "organization",
        "jwt": {"jwks": {"jwksPath": "/.well-known/jwks.json"}},
    }
    in_schema = f"{dsn}{'&' if '?' in dsn else '?'}options=-c%20search_path%3Dneon_auth"
    with BetterAuthServer(in_schema, secret=secrets.token_urlsafe(32), bearer=True, **options) as server:
        api = f"{server.url}/neondb/auth"
        with httpx.Client(trust_env=False, headers={"Origin": server.url}, timeout=60) as client:
            account = {"email": "ada@example.com", "password": "a long password", "name": "Ada"}
            person = client.post(f"{api}/sign-up/email", json=account).raise_for_status().json()["user"]["id"]
            headers = {"Authorization": f"Bearer {client.get(f'{api}/token').raise_for_status().json()['token']}"}
        environment.setenv("NEON_AUTH_BASE_URL", api)
        with TestClient(guarded(Auth())) as client:
            assert get(client, "/required", headers) == (200, person)
        environment.setenv("DATABASE_URL", dsn)
        with TestClient(guarded(Auth())) as client:
            assert get(client, "/required", headers) == (200, person)
            execute(dsn, """DELETE FROM neon_auth."user" """)
            assert get(client, "/required", headers)[0] == 401


def protocol(token: str) -> Any:
    encoded = base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return Subprotocol(f"base64url.bearer.authorization.better-auth.{encoded}")


def test_a_websocket_may_bring_its_token_as_a_protocol(newest: Issuer) -> None:
    person = newest.sign_up()
    auth = newest.auth()
    app = FastAPI(lifespan=auth.lifespan)

    @app.websocket("/")
    async def stream(websocket: WebSocket) -> None:
        identity = await auth.validate_websocket(websocket)
        if identity is None:
            raise HTTPException(401)
        offered = websocket.scope["subprotocols"]
        await websocket.accept(subprotocol=offered[0] if offered else None)
        await websocket.send_json([identity.user.id, offered])

    token, app_protocol = protocol(person.jwt), Subprotocol("app")
    with serving(app) as url:

        def asks(*protocols: Any, **headers: str) -> Any:
            with connect(
                url.replace("http", "ws"), subprotocols=protocols or None, additional_headers=headers, proxy=None
            ) as socket:
                return json.loads(socket.recv()), socket.subprotocol

        assert asks(app_protocol, token) == ([person.id, ["app"]], "app")
        assert asks(token, app_protocol) == ([person.id, ["app"]], "app")
        assert asks(app_protocol, protocol(person.bearer)) == ([person.id, ["app"]], "app")
        assert asks(Authorization=f"Bearer {person.jwt}") == ([person.id, []], None)
        for protocols, headers in (
            ((app_protocol, token), {"Authorization": f"Bearer {person.jwt}"}),
            ((app_protocol, token, protocol(person.bearer)), {}),
            ((app_protocol, protocol("a.b.c")), {}),
            ((app_protocol,), {}),
        ):
            with pytest.raises(InvalidStatus) as refused:
                asks(*protocols, **headers)
            assert refused.value.response.status_code == 401


def test_the_document_shows_the_locks_of_the_accepted_kinds(newest: Issuer) -> None:
    cookie, bearer = "Better Auth session", "Better Auth token"
    for credentials, locks in (("cookie", [cookie]), ("jwt", [bearer]), ("cookie,jwt", [cookie, bearer])):
        auth = newest.auth(credentials=credentials)
        app = FastAPI()

        @app.get("/me")
        async def me(user: Annotated[AuthUser, Depends(auth.current_user)]) -> str:
            return user.id

        document = TestClient(app).get("/openapi.json").json()
        assert sorted(document["components"]["securitySchemes"]) == locks
        operation = document["paths"]["/me"]["get"]
        assert sorted(name for lock in operation["security"] for name in lock) == locks
        assert "parameters" not in operation
        if bearer in locks:
            scheme = document["components"]["securitySchemes"][bearer]
            assert scheme == {"type": "http", "scheme": "bearer"}


def test_a_refusal_names_the_schemes_that_are_accepted(newest: Issuer) -> None:
    challenges: list[str] = []
    for credentials in ("cookie", "jwt", "cookie,bearer"):
        with TestClient(guarded(newest.auth(credentials=credentials))) as client:
            challenges.append(client.get("/required").headers["WWW-Authenticate"])
    cookie, bearer = 'Cookie realm="better-auth"', 'Bearer realm="better-auth"'
    assert challenges == [cookie, bearer, f"{cookie}, {bearer}"]


async def test_live_rows_come_from_the_cache_until_they_change(newest: Issuer) -> None:
    person = newest.sign_up()
    migrated = await Migrations(newest.dsn, None).apply_live()
    assert migrated in (True, False)
    auth = newest.auth(credentials="jwt", jwt_freshness="live", secret=None)
    headers = person.headers["jwt"]
    async with auth.lifespan(None):
        await settled(lambda: cached(auth, headers))
        execute(newest.dsn, f"""UPDATE "user" SET banned = true WHERE id = '{person.id}'""")
        await settled(lambda: refused(auth, headers))


async def cached(auth: Auth, headers: dict[str, str]) -> bool:
    before = auth.counters["live_cache"]
    await auth.current_user(connection(headers))
    return auth.counters["live_cache"] > before


async def refused(auth: Auth, headers: dict[str, str]) -> bool:
    return await auth.optional_user(connection(headers)) is None


async def settled(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(POLL_SECONDS)


def sign_up_for_cookie(server: BetterAuthServer) -> dict[str, str]:
    """The cookie of a new user of a server that may have no jwt plugin."""
    account = {"email": "a@example.com", "password": secrets.token_urlsafe(16), "name": "Ada"}
    with httpx.Client(trust_env=False, headers={"Origin": server.url}, timeout=60) as client:
        client.post(f"{server.url}/api/auth/sign-up/email", json=account).raise_for_status()
        return {"Cookie": f"{TOKEN}={client.cookies[TOKEN]}"}


async def test_a_missing_key_table_is_waited_for(
    newest: Issuer, postgres: EmbeddedPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = postgres.create_database(f"no_keys_{secrets.token_hex(4)}")
    person = newest.sign_up()
    with BetterAuthServer(dsn, secret=newest.secret) as server:
        auth = newest.auth(database_url=dsn, jwt_freshness="claims")
        with pytest.raises(SchemaError, match="no table jwks"):
            await auth.open(strict=True)
        await auth.close()
        cookie = sign_up_for_cookie(server)
        with TestClient(guarded(auth)) as client:
            for _ in range(3):
                assert client.get("/required", headers=cookie).status_code == 200
                assert client.get("/optional", headers=person.headers["jwt"]).status_code == 503
            [warning] = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
            assert "JWT" in warning
            assert "no table jwks" in warning
            assert client.portal
            with pytest.raises(SchemaError) as caught:
                client.portal.call(auth.current_user, connection(person.headers["jwt"]))
            assert "no table jwks" in str(caught.value.__cause__)

            execute(dsn, 'CREATE TABLE jwks (id text, "publicKey" text, "privateKey" text)')
            for key_id, public_key in fetch(newest.dsn, 'SELECT id, "publicKey" FROM jwks'):
                execute(dsn, f"INSERT INTO jwks VALUES ('{key_id}', '{public_key}', '')")
            wait_until(lambda: client.get("/required", headers=person.headers["jwt"]).status_code == 200)
        # With a URL the table is not read.
        by_url = Auth(
            AuthSettings(
                database_url=dsn,
                base_url=newest.server.base_url,
                credentials="jwt",
                jwks_url=f"{newest.api}/jwks",
            )
        )
        await by_url.open()
        await by_url.close()


async def test_an_endpoint_that_is_down_is_503_and_not_401(newest: Issuer) -> None:
    person = newest.sign_up()
    auth = newest.without_database(jwks_url="http://localhost:1/jwks")
    async with auth.lifespan(None):
        with pytest.raises(StoreUnavailable):
            await auth.current_user(connection(person.headers["jwt"]))
        with pytest.raises(StoreUnavailable):
            await auth.optional_user(connection(person.headers["jwt"]))
        # What can be refused without keys is.
        assert await auth.optional_user(connection({"Authorization": "Bearer a.b.c"})) is None
