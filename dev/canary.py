"""Prepares `make canary VERSION=1.7.25`, which checks that a release of better-auth behaves as we expect.

    python -m dev.canary VERSION

Installs the release into target/canary/VERSION and records its behaviour there. `make canary` then runs the recorded
cases (tests/vectors) and the live agreement test against it.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from dev import node
from dev.better_auth import VERSIONS, package

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "target" / "canary"


def install(version: str) -> Path:
    """Installs this release. `latest` and ranges are refused, because they do not say which release was checked."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", version):
        raise SystemExit(
            f"make canary needs an exact version of better-auth, such as VERSION={VERSIONS[-1]}; got {version!r}"
        )
    folder = FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    # The same pg driver as for the locked releases.
    pinned = json.loads((package(VERSIONS[-1]) / "package.json").read_text())["dependencies"]
    manifest = {"private": True, "type": "module", "dependencies": {**pinned, "better-auth": version}}
    (folder / "package.json").write_text(json.dumps(manifest, indent=2))
    node.npm("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", package_dir=folder)
    return folder


def main() -> int:
    folder = install(sys.argv[1] if len(sys.argv) > 1 else "")
    newest = package(VERSIONS[-1])
    node.install(newest)
    vectors = ROOT / "tests" / "vectors"
    for arguments in (
        [vectors / "generate.mjs", folder, folder / "vectors.json", newest],
        [vectors / "generate_jwt.mjs", folder / "jwt-vectors.json", folder],
    ):
        done = subprocess.run([node.node(), *arguments], check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
