"""The collector of `prometheus_client`, and the queries and alerts of docs/telemetry.md against what it exposes."""

import asyncio
import base64
import gc
import re
import sys
from collections import defaultdict
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import httpx
import promql_parser
import pytest
import yaml
from fastapi import WebSocket
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import HTTPConnection
from starlette.testclient import TestClient

from auth_middleware import Auth, AuthUser
from auth_middleware.telemetry.metrics import LOOKUP_DURATION, METRICS
from auth_middleware.telemetry.prometheus import AuthCollector
from dev.cookies import SECRET, cookie, new_token
from dev.environment import without_our_settings
from dev.processes import ChildProcess, free_port, is_free
from tests.support.applications import guarded
from tests.support.databases import Database
from tests.support.instances import BASE_URL, MakeAuth, unreachable_dsn
from tests.support.live import MakeLive, migrate_live
from tests.support.polling import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"

Labels = frozenset[tuple[str, str]]
Exposed = dict[tuple[str, Labels], float]


def exposed(text: str | None = None) -> Exposed:
    """The samples of an exposition, by default of this process, without labels that are empty."""
    if text is None:
        registry = CollectorRegistry()
        registry.register(AuthCollector())
        text = generate_latest(registry).decode()
    return {
        (sample.name, frozenset((name, value) for name, value in sample.labels.items() if value)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def increase(before: Exposed, name: str) -> dict[tuple[str, ...], float]:
    """By how much the series of a counter have grown in this process: by the values of their labels, sorted by name."""
    grown = {key: value - before.get(key, 0) for key, value in exposed().items() if key[0] == name}
    return {tuple(value for _, value in sorted(labels)): value for (_, labels), value in grown.items() if value}


def test_every_metric_is_exposed_with_its_help_and_type(auth: Auth) -> None:
    assert auth.counters
    registry = CollectorRegistry()
    registry.register(AuthCollector())
    families = {family.name: family for family in text_string_to_metric_families(generate_latest(registry).decode())}
    for metric in METRICS:
        name = metric.name.replace(".", "_") + ("_bytes" if metric.unit == "By" else "")
        assert (families[name].type, families[name].documentation) == (metric.kind, metric.description)
    assert families[LOOKUP_DURATION.replace(".", "_") + "_seconds"].type == "histogram"
    assert len(families) == len(METRICS) + 1


def test_a_second_collector_is_refused() -> None:
    registry = CollectorRegistry()
    registry.register(AuthCollector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(AuthCollector())
    registry = CollectorRegistry()
    registry.register(AuthCollector())


def test_requests_are_counted_by_outcome_credential_and_reason(auth: Auth, database: Database) -> None:
    ada = database.sign_in()
    before = exposed()
    with TestClient(guarded(auth)) as client:
        for headers in (ada.headers, {}, cookie(new_token()), cookie(new_token(), secret=new_token() * 2)):
            client.get("/required", headers=headers)
    assert increase(before, "auth_middleware_requests_total") == {
        ("cookie", "authenticated"): 1,
        ("anonymous", "no_cookie"): 1,
        ("cookie", "refused", "unknown_session"): 1,
        ("cookie", "refused", "bad_signature"): 1,
    }
    assert increase(before, "auth_middleware_lookup_duration_seconds_count") == {
        ("cookie", "authenticated"): 1,
        ("cookie", "refused"): 1,
    }
    assert increase(before, "auth_middleware_lookup_keys_total") == {(): 2}


class Numbered(AuthUser):
    number: int


def test_503_responses_are_counted_by_their_cause(make_auth: MakeAuth, database: Database) -> None:
    ada = database.sign_in()
    database.execute("""ALTER TABLE "user" ADD number TEXT""")
    before = exposed()
    with TestClient(guarded(make_auth(user_model=Numbered))) as client:
        assert client.get("/required", headers=ada.headers).status_code == 503
    with TestClient(guarded(make_auth())) as client:
        database.execute("ALTER TABLE session RENAME COLUMN token TO gone")
        assert client.get("/required", headers=ada.headers).status_code == 503
    client = TestClient(guarded(make_auth(database_url=unreachable_dsn())))
    assert client.get("/required", headers=ada.headers).status_code == 503
    assert increase(before, "auth_middleware_requests_total") == {
        ("cookie", "unavailable", "row_misfit"): 1,
        ("cookie", "unavailable", "schema_error"): 1,
        ("cookie", "unavailable", "store_unavailable"): 1,
    }


def test_jwts_are_counted_as_such(make_auth: MakeAuth) -> None:
    auth = make_auth(credentials="cookie,jwt", jwks_url=f"http://localhost:{free_port()}/jwks")
    parts = ('{"alg":"EdDSA","kid":"one"}', '{"sub":"one","iss":"http://auth.test","aud":"http://auth.test"}')
    signed = [base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (*parts, "x" * 64)]
    before = exposed()
    client = TestClient(guarded(auth))
    assert client.get("/required", headers={"Authorization": f"Bearer {'.'.join(signed)}"}).status_code == 503
    header = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    unsigned = ".".join([header, *signed[1:]])
    assert client.get("/required", headers={"Authorization": f"Bearer {unsigned}"}).status_code == 401
    counted = increase(before, "auth_middleware_requests_total")
    assert counted[("jwt", "unavailable", "keys_unavailable")] == 1
    assert counted[("jwt", "refused", "bad_token")] == 1


def test_each_dependency_of_a_request_shares_one_recorded_lookup(auth: Auth, database: Database) -> None:
    who, before = database.sign_in(), exposed()

    async def look_up_twice() -> None:
        scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": []}
        scope["headers"] = [(name.lower().encode(), value.encode()) for name, value in who.headers.items()]
        first, second = HTTPConnection(scope), HTTPConnection(scope)
        await asyncio.gather(auth.current_user(first), auth.optional_user(second), auth.current_session(first))

    asyncio.run(look_up_twice())
    assert increase(before, "auth_middleware_lookup_duration_seconds_count") == {("cookie", "authenticated"): 1}
    assert increase(before, "auth_middleware_requests_total") == {("cookie", "authenticated"): 1}


def test_buckets_are_cumulative(auth: Auth, database: Database) -> None:
    before = exposed()
    with TestClient(guarded(auth)) as client:
        for _ in range(3):
            client.get("/required", headers=database.sign_in().headers)
    buckets = defaultdict[str, float](float)
    for (name, labels), value in exposed().items():
        if (
            name == "auth_middleware_lookup_duration_seconds_bucket"
            and ("auth_middleware_outcome", "authenticated") in labels
        ):
            buckets[dict(labels)["le"]] += value - before.get((name, labels), 0)
    counts = [buckets[le] for le in sorted(buckets, key=float)]
    assert counts == sorted(counts)
    assert counts[-1] == 3
    assert len(counts) == 15


async def test_gauges_show_the_pool_and_the_cache_and_the_feed(make_auth: MakeAuth, database: Database) -> None:
    await migrate_live(database.dsn)
    # Gauges are sums over instances: those of earlier tests must not go in the middle of this one.
    gc.collect()
    before = exposed()
    auth = make_auth(freshness="live", pool_size=3)

    def grown(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return exposed()[key] - before.get(key, 0)

    assert grown("auth_middleware_pool_limit") == 3
    assert grown("auth_middleware_feeds", auth_middleware_state="idle") == 1
    await auth.open()
    assert grown("auth_middleware_feeds", auth_middleware_state="live") == 1
    assert grown("auth_middleware_feeds", auth_middleware_state="idle") == 0
    assert await auth.validate_session(database.sign_in().cookie_value)
    assert grown("auth_middleware_cache_sessions") == 1
    assert grown("auth_middleware_cache_size_bytes") > 100
    assert grown("auth_middleware_pool_connections", auth_middleware_state="idle") >= 1
    database.execute("ALTER TABLE session DISABLE TRIGGER ALL")
    await asyncio.to_thread(wait_until, lambda: grown("auth_middleware_feeds", auth_middleware_state="down") == 1)
    assert grown("auth_middleware_cache_sessions") == 0
    await auth.close()
    assert grown("auth_middleware_pool_connections", auth_middleware_state="idle") == 0


async def test_waiting_requests_are_shown(make_auth: MakeAuth, database: Database) -> None:
    auth, before = make_auth(), exposed()
    key = ("auth_middleware_lookup_waiting", frozenset[tuple[str, str]]())
    await auth.open()
    with database.locked():
        value = cookie(new_token())["Cookie"].partition("=")[2]
        waiting = [asyncio.create_task(auth.validate_session(value)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.to_thread(wait_until, lambda: exposed()[key] - before[key] == 5)
    await asyncio.gather(*waiting)
    assert exposed()[key] == before[key]


def test_guarded_connections_are_shown(auth: Auth, database: Database) -> None:
    app, headers = guarded(auth), database.sign_in().headers

    @app.websocket("/guarded")
    async def guarded_socket(websocket: WebSocket) -> None:
        async with auth.guard_websocket(websocket):
            await websocket.send_text("accepted")
            await websocket.receive_text()
        await websocket.close()

    def value() -> float:
        return exposed()[("auth_middleware_guarded_connections", frozenset())]

    before = value()
    with TestClient(app) as client, client.websocket_connect("/guarded", headers=headers) as one:
        one.receive_text()
        with client.websocket_connect("/guarded", headers=headers) as two:
            two.receive_text()
            assert value() - before == 2
            two.send_text("bye")
            two.receive()
        assert value() - before == 1
        one.send_text("bye")
        one.receive()
    assert value() == before


async def test_invalidations_are_counted_also_after_the_cache_is_closed(
    make_auth: MakeAuth, make_live: MakeLive, database: Database
) -> None:
    await migrate_live(database.dsn)
    who, other, live, before = database.sign_in(), database.sign_in(), make_live(), exposed()
    name = "auth_middleware_cache_invalidations_total"
    assert (name, frozenset()) in before
    for expected, person in enumerate((who, other), 1):
        await live.wait_until_cached(person)
        database.execute(f"UPDATE session SET ip_address = '::1' WHERE id = '{person.session_id}'")
        await live.wait_until_evicted(person)
        assert increase(before, name) == {(): expected}
        assert live.auth.counters["live_invalidations"] == expected
        await live.auth.close()
        assert increase(before, name) == {(): expected}
        assert live.auth.counters["live_invalidations"] == expected
    # Entries that end otherwise are no invalidations.
    aged = make_auth(freshness="60")
    assert await aged.validate_session(database.sign_in().cookie_value)
    await aged.close()
    assert increase(before, name) == {(): 2}


# --- docs/telemetry.md


def queries() -> Generator[str]:
    page = PAGE.read_text()
    panels = re.findall(
        r"^\| [^|]+ \| `(.*)` \|$", page.partition("## Panels")[2].partition("## Alerts")[0], re.MULTILINE
    )
    [alerts] = [
        block for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "groups" in block
    ]
    rules = [rule for group in yaml.safe_load(alerts)["groups"] for rule in group["rules"]]
    assert (len(panels), len(rules)) == (5, 4)
    yield from panels
    yield from (rule["expr"] for rule in rules)


def selectors(expression: object) -> Generator[Any]:
    """Every selector in a parsed query."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        yield from selectors(getattr(expression, name)) if hasattr(expression, name) else ()
    for argument in getattr(expression, "args", ()):
        yield from selectors(argument)


@pytest.mark.parametrize("query", list(queries()))
async def test_a_documented_query_finds_series(make_auth: MakeAuth, database: Database, query: str) -> None:
    caching = make_auth(freshness="60")
    assert await caching.validate_session(database.sign_in().cookie_value)
    series = list(exposed())
    found = list(selectors(promql_parser.parse(query)))
    assert found
    for selector in found:
        matching = [dict(labels) for name, labels in series if name == selector.name]
        assert matching, f"no metric {selector.name}"
        for matcher in selector.matchers.matchers:
            values = {labels[matcher.name] for labels in matching if matcher.name in labels}
            wanted = set(matcher.value.split("|"))
            assert wanted <= values, f"{matcher.name} of {selector.name} is never {wanted - values}"
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
    known = {label for name, labels in series for label, _ in labels if any(name == each.name for each in found)}
    assert grouped <= known


def test_the_page_lists_every_metric_and_word() -> None:
    page = PAGE.read_text()
    for metric in METRICS:
        assert f"`{metric.name}`" in page
    for _, labels in exposed():
        for name, value in labels:
            assert name == "le" or f"`{value}`" in page, f"{name} can be {value}"


def snippet_with(text: str) -> str:
    [snippet] = [
        each
        for each in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        if text in each
    ]
    return snippet


@pytest.fixture
def served_by_two_workers(database: Database, tmp_path: Path) -> Generator[tuple[str, int]]:
    """The documented application for several workers: its URL, and its first port for metrics."""
    route = """
from typing import Annotated
from auth_middleware import AuthUser, get_current_user
from fastapi import Depends

@app.get("/me")
async def me(user: Annotated[AuthUser, Depends(get_current_user)]) -> str:
    return user.name
"""
    (tmp_path / "served.py").write_text(snippet_with("start_http_server") + route)
    port = free_port()
    metrics = free_port()
    while port in range(metrics, metrics + 4) or not all(map(is_free, range(metrics, metrics + 4))):
        metrics = free_port()
    environment = {
        **without_our_settings(),
        "DATABASE_URL": database.dsn,
        "BETTER_AUTH_SECRET": SECRET,
        "BETTER_AUTH_URL": BASE_URL,
        "METRICS_PORT": str(metrics),
        "PYTHONPATH": str(tmp_path),
    }
    command = [sys.executable, "-m", "uvicorn", "served:app", "--workers", "2", "--port", str(port)]
    with ChildProcess("uvicorn", command, env=environment) as server:
        for each in (metrics, metrics + 1):
            server.wait_for_url(f"http://127.0.0.1:{each}/metrics")
        server.wait_for_url(f"http://127.0.0.1:{port}/openapi.json")
        yield f"http://127.0.0.1:{port}", metrics


def test_each_of_two_workers_is_scraped_by_its_own_port(
    served_by_two_workers: tuple[str, int], database: Database
) -> None:
    url, port = served_by_two_workers
    headers: Mapping[str, str] = database.sign_in().headers

    def authenticated(port: int) -> float:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        return sum(
            value
            for (name, labels), value in exposed(text).items()
            if name == "auth_middleware_requests_total" and ("auth_middleware_outcome", "authenticated") in labels
        )

    sent = 0
    # A new connection each time, until each worker has answered at least one.
    while sent < 20 or not all(map(authenticated, (port, port + 1))):
        assert httpx.get(f"{url}/me", headers=headers, trust_env=False).json() == "Ada Lovelace"
        sent += 1
        assert sent < 1000
    assert authenticated(port) + authenticated(port + 1) == sent
