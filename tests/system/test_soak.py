"""The soak test for less than a minute, and its model, which must find what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from dev.soak.model import Credential, Invalid, Kind, Person, Promise, Response, Verdict, Window, judge

ROOT = Path(__file__).parents[2]
NOW, CACHED = Promise(0.0), Promise(5.0)
ENDED = Invalid(Window(10.0, 11.0))
BANNED_FOR_A_WHILE = Invalid(Window(10.0, 11.0), Window(20.0, 21.0))


def ada(*, ended: Invalid | None = None, banned: Invalid | None = None) -> Credential:
    person = Person("ada", "ada@example.com", "", roles=[("user", Window(0.0, 1.0)), ("owner", Window(5.0, 6.0))])
    person.invalid = [banned] if banned else []
    return Credential(Kind.COOKIE, {}, person, invalid=[ended] if ended else [])


def response(status: int, begin: float, *, user: str = "ada", role: str = "owner") -> Response:
    return Response(status, user if status == 200 else None, role if status == 200 else None, begin, begin + 0.5)


@pytest.mark.parametrize(
    ("credential", "promise", "given", "verdict"),
    [
        (ada(), NOW, response(200, 8), Verdict.RIGHT),
        (ada(), NOW, response(200, 8, user="eve"), Verdict.WRONG_USER),
        (ada(), NOW, response(200, 8, role="user"), Verdict.WRONG_ROLE),
        (ada(), CACHED, response(200, 8, role="user"), Verdict.RIGHT),
        (ada(), CACHED, response(200, 12, role="user"), Verdict.WRONG_ROLE),
        (ada(), NOW, response(200, 5.2, role="user"), Verdict.RIGHT),
        (ada(), NOW, response(401, 8), Verdict.REFUSED_GOOD),
        (ada(), NOW, response(500, 8), Verdict.OTHER),
        (Credential(Kind.COOKIE, {}, None), NOW, response(200, 8), Verdict.ACCEPTED_FORGERY),
        (Credential(Kind.COOKIE, {}, None), NOW, response(401, 8), Verdict.RIGHT),
        (ada(ended=ENDED), NOW, response(200, 10.2), Verdict.RIGHT),
        (ada(ended=ENDED), NOW, response(401, 10.2), Verdict.RIGHT),
        (ada(ended=ENDED), NOW, response(200, 11.1), Verdict.STALE),
        (ada(ended=ENDED), CACHED, response(200, 15.9), Verdict.RIGHT),
        (ada(ended=ENDED), CACHED, response(200, 16.1), Verdict.STALE),
        (ada(ended=ENDED), NOW, response(401, 9), Verdict.REFUSED_GOOD),
        (ada(banned=BANNED_FOR_A_WHILE), NOW, response(200, 15), Verdict.STALE),
        (ada(banned=BANNED_FOR_A_WHILE), NOW, response(200, 22), Verdict.RIGHT),
        (ada(banned=BANNED_FOR_A_WHILE), NOW, response(401, 22), Verdict.REFUSED_GOOD),
        (ada(banned=Invalid(Window(10.0, float("inf")))), NOW, response(200, 99), Verdict.RIGHT),
    ],
)
def test_the_model_says_what_is_wrong(
    credential: Credential, promise: Promise, given: Response, verdict: Verdict
) -> None:
    assert judge(credential, promise, given, []) is verdict


def test_a_503_needs_a_fault() -> None:
    assert judge(ada(), NOW, response(503, 8), []) is Verdict.UNAVAILABLE
    assert judge(ada(), NOW, response(503, 8), [Window(8.2, 9.0)]) is Verdict.RIGHT
    assert judge(ada(), NOW, response(503, 8), [Window(1.0, 7.9)]) is Verdict.UNAVAILABLE


def test_a_row_does_not_count_for_claims() -> None:
    claims = Promise(0.0, sees_user=False)
    credential = ada(banned=BANNED_FOR_A_WHILE)
    credential.claimed_role = "user"
    assert judge(credential, claims, response(200, 15, role="user"), []) is Verdict.RIGHT
    assert judge(credential, claims, response(200, 15, role="owner"), []) is Verdict.WRONG_ROLE


def test_everything_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dev.soak", "--seconds", "40", "--actors", "12"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = dict(line.split("  ", 1) for line in done.stdout.splitlines() if "  " in line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(counts["responses"]) > 200
    assert int(counts["sockets opened"]) > 10
    assert counts["faults"].strip()
