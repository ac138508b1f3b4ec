"""What each step from the headers to the verdict costs: criterion's findings."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from benches.figures import Step

CRITERION = Path("target", "criterion")

TITLES: Mapping[str, str] = {
    "credentials": "1 credentials: the headers read",
    "origin": "2 origin: a WebSocket handshake from a trusted pattern",
    "signature": "3 signature: decoded and checked",
    "cookie_cache_compact": "4 cookie cache, compact",
    "cookie_cache_jwt": "4 cookie cache, jwt",
    "cookie_cache_jwe": "4 cookie cache, jwe",
    "cookie_cache_again": "4 cookie cache, a cookie that was read before",
    "live_cache": "5 live cache: found among 50,000",
    "inspect_to_token": "all of it, to a token for the store (1–3)",
    "inspect_to_known_token": "the same, the cookie verified before",
    "inspect_to_user_compact": "all of it, to a user by the cookie cache, compact, read before (1–4)",
    "inspect_to_user_jwt": "the same, jwt",
    "inspect_to_user_jwe": "the same, jwe",
    "inspect_forged": "all of it, to the refusal of a forged cookie",
}


def measure() -> Sequence[Step]:
    """Runs benches/steps.rs."""
    shutil.rmtree(CRITERION, ignore_errors=True)
    subprocess.run(["cargo", "bench", "--quiet", "--locked", "--bench", "steps"], check=True)
    return [_found(name) for name in TITLES]


def _found(name: str) -> Step:
    median = json.loads((CRITERION / name / "new" / "estimates.json").read_text())["median"]
    interval = median["confidence_interval"]
    return Step(name=name, median=median["point_estimate"], low=interval["lower_bound"], high=interval["upper_bound"])
