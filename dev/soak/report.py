"""The counts of a run, for a terminal and for a page."""

import platform
import statistics
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from dev.soak.checks import Checks
from dev.soak.faults import Faults
from dev.soak.model import Verdict
from dev.soak.modes import MODES
from dev.soak.resources import Resources

PAGE = """# Soak test

A real Better Auth server, PostgreSQL with a standby behind one address, and one API with two workers for each mode of
freshness. People sign up, sign in and out, are banned and deleted, and present forged, expired and ended credentials of
every kind, while faults are injected one after another. A model knows what each response may be.

Written by `python -m dev.soak --seconds {seconds} --report docs/soak.md` on {date:%Y-%m-%d}, {machine}. `make test`
runs the same for less than a minute.

```
{counts}
```

- *Wrong*: another user, a role that the user did not have, an accepted forgery, a refused valid session, or a 503
  outside of a fault and the {recovery:.0f} s after it.
- *Stale*: an ended session that was valid for longer than its mode promises ([freshness](freshness.md)), with 2 s of
  tolerance for whole seconds and a busy machine; `always` and `get_fresh_user` have none.
- *Survived*: a guarded socket that was open later than its promise and 8 s.
- The durations are those of responses with status 200. They include requests that waited during a fault.
"""


def counts(checks: Checks, faults: Faults, resources: Resources, leaked: int) -> Mapping[str, object]:
    """What is printed."""
    wrong = sum(checks.verdicts[verdict] for verdict in Verdict if verdict not in (Verdict.RIGHT, Verdict.STALE))
    lines: dict[str, object] = {
        "responses": sum(checks.verdicts.values()),
        "of these 200 / 401 / 503": " / ".join(str(checks.statuses[status]) for status in (200, 401, 503)),
        "wrong": wrong,
        "stale": checks.verdicts[Verdict.STALE],
        "sockets opened": checks.sockets["opened"],
        "sockets survived": checks.sockets["survived"],
        "sockets closed wrongly": checks.sockets["closed wrongly"] + checks.sockets["of another user"],
        "sockets ended with their session": checks.sockets["closed with 4001"],
        "tokens and secrets in logs": leaked,
        "connections lost while an API restarted": checks.disconnects,
        "faults": ", ".join(f"{name} {count}" for name, count in sorted(faults.counts.items())),
    }
    for mode in MODES:
        times = sorted(checks.milliseconds[mode.name]) or [0.0]
        early_mib, late_mib, early_fds, late_fds = resources.first_and_last(mode.name)
        lines[mode.name] = (
            f"p50 {statistics.median(times):.1f} ms, p99 {times[int(len(times) * 0.99)]:.1f} ms, "
            f"memory {early_mib:.0f} -> {late_mib:.0f} MiB, descriptors {early_fds} -> {late_fds}"
        )
    return lines


def text(lines: Mapping[str, object]) -> str:
    width = max(map(len, lines))
    return "\n".join(f"{name:{width}}  {value}" for name, value in lines.items())


def write(page: Path, lines: Mapping[str, object], seconds: float, recovery: float) -> None:
    """Writes the page of the documentation."""
    machine = f"{_cores()} cores, {platform.system()} {platform.machine()}, CPython {platform.python_version()}"
    page.write_text(
        PAGE.format(
            seconds=f"{seconds:g}", date=datetime.now(UTC), machine=machine, counts=text(lines), recovery=recovery
        )
    )


def _cores() -> int:
    return Path("/proc/cpuinfo").read_text().count("processor\t")


def leaks(logs: Path, secrets: set[str]) -> int:
    """How many tokens and secrets are in the logs, whole or without their signatures."""
    text = "\n".join(path.read_text(errors="replace") for path in logs.glob("*.log"))
    wanted = secrets | {secret.partition(".")[0] for secret in secrets if secret.count(".") == 1}
    return sum(1 for secret in wanted if secret in text)
