"""Memory and file descriptors of the workers, sampled while they run."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dev.soak.modes import MODES
from dev.soak.servers import Servers

SAMPLE_SECONDS = 5.0


class Sample(NamedTuple):
    """One worker at one moment."""

    pid: int
    resident_mib: float
    descriptors: int


class Resources:
    """Samples of each API's workers."""

    def __init__(self, servers: Servers) -> None:
        self.samples: defaultdict[str, list[Sample]] = defaultdict(list)
        self._servers = servers

    async def run(self) -> None:
        """Samples until it is cancelled."""
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            for mode in MODES:
                self.samples[mode.name] += self._sample(mode.name)

    def _sample(self, name: str) -> Sequence[Sample]:
        try:
            return [_of_process(pid) for pid in self._servers.workers(name)]
        except (OSError, ValueError, IndexError):
            return []  # it is being restarted

    def first_and_last(self, name: str) -> tuple[float, float, int, int]:
        """Resident MiB and descriptors of the worker with most samples: in its first samples and in its last ones."""
        by_pid: defaultdict[int, list[Sample]] = defaultdict(list)
        for sample in self.samples[name]:
            by_pid[sample.pid].append(sample)
        longest = max(by_pid.values(), key=len)
        early, late = longest[len(longest) // 4], longest[-1]
        return early.resident_mib, late.resident_mib, early.descriptors, late.descriptors


def _of_process(pid: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    kib = int(status.partition("VmRSS:")[2].split()[0])
    return Sample(pid, kib / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir())))
