"""JWTs: requests that present one, and what the first look at a token costs beside the bare signature."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from benches.figures import TokenFigures
from benches.scenarios import requests
from benches.scenarios.setup.environment import Environment
from benches.scenarios.setup.machine import commit
from benches.scenarios.setup.rounds import Lengths
from benches.scenarios.steps import result

# Contenders with similar figures stand next to each other. `always` looks up a cookie, for comparison.
CONTENDERS = ("empty_dependency_jwt", "jwt_claims", "jwt_always", "always", "jwks", "bridge_jwt")

TITLES: Mapping[str, str] = {
    "jwt_bare_signature": "the signature alone, with `ed25519-dalek`",
    "jwt_first_seen": "a token that was not seen before",
    "jwt_again": "a token that was seen before",
}


# As many as jwt.rs runs.
STEP_ROUNDS = 5


def measure(env: Environment, lengths: Lengths) -> TokenFigures:
    """Runs jwt.rs, then one competition for each number of connections."""
    _, load_average, _ = os.getloadavg()
    steps = measure_steps()
    # Started last: the tokens are valid for 15 minutes.
    with requests.serving(env, CONTENDERS) as servers:
        competitions = requests.compete(servers, lengths)
    return TokenFigures(
        date=datetime.now(UTC).date().isoformat(),
        commit=commit(),
        lengths=f"{lengths.rounds} rounds of {lengths.http_seconds} s each, alternating",
        load_average=load_average,
        cpus=os.cpu_count() or 1,
        requests=competitions,
        steps=steps,
    )


def measure_steps() -> Mapping[str, Sequence[float]]:
    """Nanoseconds, the median of each round."""
    subprocess.run(["cargo", "bench", "--quiet", "--locked", "--bench", "jwt"], check=True)
    return {name: [result(f"{name}_{number}").median for number in range(STEP_ROUNDS)] for name in TITLES}
