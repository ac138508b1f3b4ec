import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from dev.soak import report
from dev.soak.checks import Checks
from dev.soak.faults import RECOVERY_SECONDS, Faults
from dev.soak.people import Actor
from dev.soak.resources import Resources
from dev.soak.servers import Servers


async def run(seconds: float, actors: int, seed: int, page: Path | None) -> bool:
    """Whether everything was as promised."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        async with Servers(Path(directory)) as servers:
            faults = Faults(servers, chance)
            checks = Checks(servers, faults, chance)
            resources = Resources(servers)
            background = [asyncio.create_task(resources.run()), asyncio.create_task(servers.keep_auth_service())]
            until = asyncio.get_running_loop().time() + seconds
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(faults.run(until))
                for _ in range(actors):
                    tasks.create_task(Actor(servers, faults, checks, chance).run(until))
            for task in background:
                task.cancel()
            await checks.close()
        lines = report.counts(checks, faults, resources, report.leaks(Path(directory), checks.secrets))
    print(f"seed {seed}", report.text(lines), *checks.examples, sep="\n", flush=True)
    if page:
        report.write(page, lines, seconds, RECOVERY_SECONDS)
    zeros = ("wrong", "stale", "sockets survived", "sockets closed wrongly", "tokens and secrets in logs")
    return not any(lines[name] for name in zeros)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dev.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="how long people act")
    parser.add_argument("--actors", type=int, default=24, help="how many people act at once")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of what happens when")
    parser.add_argument("--report", type=Path, metavar="PAGE", help="write a page of the documentation")
    args = parser.parse_args()
    sys.exit(0 if asyncio.run(run(args.seconds, args.actors, args.seed, args.report)) else 1)


if __name__ == "__main__":
    main()
