"""The cost of each step of request inspection, from the headers to the verdict, measured with criterion."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benches.figures import Step

CRITERION = Path("target", "criterion")

TITLES: Mapping[str, str] = {
    "credentials": "1 credentials: read the headers",
    "origin": "2 origin: check a WebSocket handshake against a trusted pattern",
    "signature": "3 signature: decode and verify",
    "cookie_cache_compact": "4 cookie cache, compact",
    "cookie_cache_jwt": "4 cookie cache, jwt",
    "cookie_cache_jwe": "4 cookie cache, jwe",
    "cookie_cache_seen": "4 cookie cache, cookie seen before",
    "live_cache": "5 live cache: hit among 50,000 entries",
    "inspect_to_token": "steps 1–3: a token to look up",
    "inspect_to_seen_token": "the same, cookie verified before",
    "inspect_to_user_compact": "steps 1–4: a user from the cookie cache, compact, seen before",
    "inspect_to_user_jwt": "the same, jwt",
    "inspect_to_user_jwe": "the same, jwe",
    "inspect_forged": "a forged cookie: refused",
}


def measure() -> Sequence[Step]:
    """Runs steps.rs."""
    shutil.rmtree(CRITERION, ignore_errors=True)
    subprocess.run(["cargo", "bench", "--quiet", "--locked", "--bench", "steps"], check=True)
    return [result(name) for name in TITLES]


def result(name: str) -> Step:
    """What the last run of this criterion benchmark measured."""
    median = json.loads((CRITERION / name / "new" / "estimates.json").read_text())["median"]
    interval = median["confidence_interval"]
    return Step(name=name, median=median["point_estimate"], low=interval["lower_bound"], high=interval["upper_bound"])
