"""Metrics and spans as an OpenTelemetry SDK exports them, each time in a process of its own."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from dev.cookies import COOKIE_NAME, SECRET, cookie, new_token, signed
from dev.environment import without_our_settings
from tests.support.databases import Database
from tests.support.instances import BASE_URL, unreachable_dsn

ROOT = Path(__file__).parents[2]
OUTCOMES = {"authenticated", "anonymous", "refused", "unavailable"}
CREDENTIALS = {"cookie", "bearer", "jwt"}

Request = tuple[str, str, Mapping[str, str]]
Exported = dict[str, dict[str, Any]]
Export = Callable[..., Exported]


@pytest.fixture
def export(database: Database) -> Export:
    """Serves requests in another process, and returns what that exported, by the name of the process."""

    def export(scenario: str, requests: Sequence[Request], **settings: str) -> Exported:
        environment = {
            **without_our_settings(),
            "DATABASE_URL": database.dsn,
            "BETTER_AUTH_SECRET": SECRET,
            "BETTER_AUTH_URL": BASE_URL,
            **settings,
        }
        command = [sys.executable, "-W", "error", "-m", "tests.support.programs.exports", scenario]
        given = json.dumps([(method, path, list(headers.items())) for method, path, headers in requests])
        done = subprocess.run(
            command, cwd=ROOT, env=environment, input=given, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return {shown.pop("process"): shown for shown in map(json.loads, done.stdout.splitlines())}

    return export


def counts(exported: Mapping[str, Any], name: str = "auth_middleware.requests") -> Counter[tuple[str | None, ...]]:
    """The values of a metric that are not 0, by outcome, credential and error type."""
    keys = ("auth_middleware.outcome", "auth_middleware.credential", "error.type")
    points = [point for point in exported["metrics"] if point["name"] == name and point["value"]]
    return Counter({tuple(point["attributes"].get(key) for key in keys): point["value"] for point in points})


def value(exported: Mapping[str, Any], name: str, **attributes: str) -> int:
    [found] = [
        point["value"]
        for point in exported["metrics"]
        if point["name"] == name and attributes.items() <= point["attributes"].items()
    ]
    return found


def our_spans(exported: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [span for span in exported["spans"] if span["is_ours"]]


ANONYMOUS = ("anonymous", None, "no_cookie")
AUTHENTICATED = ("authenticated", "cookie", None)


@pytest.mark.parametrize("scenario", ["before_import", "after_use"])
def test_requests_are_counted_whenever_the_providers_are_set(export: Export, database: Database, scenario: str) -> None:
    ada, expired = database.sign_in(), database.sign_in(expires_at="2020-01-01T00:00:00Z")
    requests: list[Request] = [
        ("GET", "/required", ada.headers),
        ("GET", "/optional", {}),
        ("GET", "/required", {}),
        ("GET", "/required", expired.headers),
        ("GET", "/required", cookie(new_token(), secret=new_token() * 2)),
        ("POST", "/required", ada.headers | {"Origin": "https://evil.example"}),
        ("GET", "/optional", ada.headers),
    ]
    exported = export(scenario, requests)["parent"]
    assert exported["statuses"] == [200, 200, 401, 401, 401, 403, 200]
    assert counts(exported) == {
        AUTHENTICATED: 2,
        ANONYMOUS: 2,
        ("refused", "cookie", "expired"): 1,
        ("refused", "cookie", "bad_signature"): 1,
        ("refused", "cookie", "origin"): 1,
    }
    assert {name: count for name, count in exported["counters"].items() if count} == {
        "identified": 2,
        "no_cookie": 2,
        "expired": 1,
        "bad_signature": 1,
        "origin": 1,
    }
    assert value(exported, "auth_middleware.lookup.keys") == 3
    assert value(exported, "auth_middleware.lookup.batches") == 3
    assert value(exported, "auth_middleware.pool.limit") == 2


def test_without_an_sdk_nothing_is_exported_and_everything_is_counted(export: Export, database: Database) -> None:
    exported = export("never", [("GET", "/required", database.sign_in().headers)])["parent"]
    assert exported["statuses"] == [200]
    assert exported["metrics"] == exported["spans"] == []
    assert exported["counters"]["identified"] == 1


def test_every_credential_and_error_type_has_its_own_count(export: Export, database: Database) -> None:
    ada = database.sign_in()
    bearer = {"Authorization": f"Bearer {signed(ada.token)}"}
    forged = {"Authorization": f"Bearer {ada.token}.{'A' * 43}="}
    jwt = {"Authorization": "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"}
    requests = [("GET", "/required", headers) for headers in (ada.headers, bearer, forged, jwt, {})]
    exported = export("before_import", requests, AUTH_MIDDLEWARE_CREDENTIALS="cookie,bearer")["parent"]
    assert exported["statuses"] == [200, 200, 401, 401, 401]
    assert counts(exported)[AUTHENTICATED] == counts(exported)[("authenticated", "bearer", None)] == 1
    assert sum(counts(exported)[key] for key in counts(exported) if key[:2] == ("refused", "bearer")) == 2
    assert counts(exported)[ANONYMOUS] == 1


def test_an_unavailable_store_is_counted_by_its_error_type(export: Export, database: Database) -> None:
    who = database.sign_in()
    requests = [("GET", "/optional", who.headers)] * 2
    exported = export("before_import", requests, DATABASE_URL=unreachable_dsn())["parent"]
    assert exported["statuses"] == [503, 503]
    # One more at start, which no request has sent.
    assert counts(exported) == {
        ("unavailable", "cookie", "store_unavailable"): 2,
        ("unavailable", None, "store_unavailable"): 1,
    }
    assert {tuple(span["status"]) for span in our_spans(exported)} == {("ERROR", None)}


def test_a_lookup_is_a_histogram_and_a_child_of_the_requests_span(export: Export, database: Database) -> None:
    ada = database.sign_in()
    requests: list[Request] = [
        ("GET", "/required", ada.headers),
        ("GET", "/required", cookie(new_token())),
        ("GET", "/required", {}),
    ]
    exported = export("before_import", requests)["parent"]
    found, refused = our_spans(exported)
    assert found["name"] == refused["name"] == "auth_middleware.lookup"
    assert found["attributes"] == {"auth_middleware.outcome": "authenticated", "auth_middleware.credential": "cookie"}
    assert refused["attributes"]["error.type"] == "unknown_session"
    assert found["status"] == refused["status"] == ["UNSET", None]
    spans = {span["id"]: span for span in exported["spans"]}
    for span in (found, refused):
        root = span
        while root["parent"] is not None:
            root = spans[root["parent"]]
        assert root["name"] == "GET /required"
        assert not root["is_ours"]
        assert 0 < span["seconds"] < root["seconds"]
    assert found["trace"] != refused["trace"]
    assert counts(exported, "auth_middleware.lookup.duration") == {
        ("authenticated", "cookie", None): 1,
        ("refused", "cookie", None): 1,
    }
    [histogram, *_] = [point for point in exported["metrics"] if point["name"] == "auth_middleware.lookup.duration"]
    assert histogram["unit"] == "s"
    assert histogram["sum"] == pytest.approx(found["seconds"], abs=1e-6)
    assert histogram["bounds"][0] == 0.0005


def test_a_cache_hit_is_counted_and_nothing_else_is_recorded(export: Export, database: Database) -> None:
    requests = [("GET", "/required", database.sign_in().headers)] * 5
    exported = export("before_import", requests, AUTH_MIDDLEWARE_FRESHNESS="60")["parent"]
    assert counts(exported) == {AUTHENTICATED: 5}
    assert value(exported, "auth_middleware.cache.hits", **{"auth_middleware.cache": "live_cache"}) == 4
    assert exported["counters"]["live_cache"] == 4
    assert len(our_spans(exported)) == 1
    assert counts(exported, "auth_middleware.lookup.duration") == {AUTHENTICATED: 1}


def test_instances_are_added_and_keep_their_counts_when_they_are_garbage(export: Export, database: Database) -> None:
    requests: list[Request] = [("GET", "/required", database.sign_in().headers), ("GET", "/required", {})]
    exported = export("several_instances", requests, AUTH_MIDDLEWARE_FRESHNESS="60")
    for number, process in enumerate(("one", "two", "three"), 1):
        assert counts(exported[process]) == {AUTHENTICATED: number, ANONYMOUS: number}
        assert exported[process]["counters"]["identified"] == 1
    assert counts(exported["none"]) == {AUTHENTICATED: 3, ANONYMOUS: 3}
    assert value(exported["none"], "auth_middleware.cache.sessions") == 0
    assert value(exported["none"], "auth_middleware.pool.limit") == 0


def test_a_forked_child_counts_from_zero(export: Export, database: Database) -> None:
    requests = [("GET", "/required", database.sign_in().headers)] * 3
    exported = export("forked", requests)
    assert counts(exported["parent"]) == {AUTHENTICATED: 3}
    assert counts(exported["child"]) == {AUTHENTICATED: 1}
    assert exported["child"]["counters"]["identified"] == 1
    assert value(exported["child"], "auth_middleware.lookup.keys") == 1


def test_no_attribute_has_anything_that_a_request_has_chosen(export: Export, database: Database) -> None:
    ada, expired = database.sign_in(), database.sign_in(expires_at="2020-01-01T00:00:00Z")
    evil = "evil-" + new_token()
    jwt = f"eyJhbGciOiJub25lIn0.{evil}.{evil}"
    hostile: list[Mapping[str, str]] = [
        ada.headers,
        expired.headers,
        ada.headers | {"Origin": f"https://{evil}.example"},
        ada.headers | {"Host": f"{evil}.example", "Sec-Fetch-Site": evil},
        {"Cookie": f"{COOKIE_NAME}={evil}.{evil}"},
        {"Cookie": f"__Secure-{COOKIE_NAME}={evil}"},
        {"Cookie": f"{COOKIE_NAME}={evil}", "traceparent": evil, "baggage": f"auth_middleware.outcome={evil}"},
        {"Authorization": f"Bearer {evil}"},
        {"Authorization": f"Bearer {jwt}"},
        {"Authorization": f"Bearer {signed(ada.token)}"},
        cookie(evil),
        {"X-Forwarded-For": evil, "User-Agent": evil},
    ]
    requests = [
        (method, f"/{path}?{evil}={evil}", headers)
        for headers in hostile
        for method in ("GET", "POST")
        for path in ("required", "session")
    ]
    exported = export("before_import", requests, AUTH_MIDDLEWARE_CREDENTIALS="cookie,bearer")["parent"]
    assert set(exported["statuses"]) == {200, 401, 403}
    shown = [*exported["metrics"], *our_spans(exported)]
    assert sum(counts(exported).values()) == len(requests)
    secrets = (evil, "evil", ada.token, expired.token, ada.user_id, ada.session_id, ada.email, SECRET, database.name)
    for each in shown:
        assert not any(secret in json.dumps(each) for secret in secrets)
        attributes = each["attributes"]
        assert attributes.get("auth_middleware.outcome", "refused") in OUTCOMES
        assert attributes.get("auth_middleware.credential", "cookie") in CREDENTIALS
        assert set(attributes) <= {
            *("auth_middleware.outcome", "auth_middleware.credential", "auth_middleware.cache"),
            *("auth_middleware.state", "error.type"),
        }
    for span in our_spans(exported):
        assert span["events"] == []
        assert span["status"][1] is None
