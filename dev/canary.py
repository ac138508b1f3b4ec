"""Does a release of better-auth do what we expect of it? `make canary VERSION=1.7.25`

    python -m dev.canary VERSION

Installs the release into target/canary/VERSION and records there what it does, for the two tests that `make canary`
runs then: of the vectors, and of the live agreement.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from dev import node
from dev.better_auth import END_TO_END, VERSIONS

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "target" / "canary"


def install(version: str) -> Path:
    """The folder that has this release; `latest` and ranges would not say what was checked."""
    if not re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", version):
        raise SystemExit(f"make canary needs one release of better-auth, as VERSION={VERSIONS[-1]}; not {version!r}")
    folder = FOLDER / version
    folder.mkdir(parents=True, exist_ok=True)
    # The driver that the locked releases are tested with.
    pinned = json.loads((locked(VERSIONS[-1]) / "package.json").read_text())["dependencies"]
    package = {"private": True, "type": "module", "dependencies": {**pinned, "better-auth": version}}
    (folder / "package.json").write_text(json.dumps(package, indent=2))
    node.npm("install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock", package_dir=folder)
    return folder


def locked(version: str) -> Path:
    return END_TO_END / f"better_auth_{version.replace('.', '_')}"


def main() -> int:
    folder = install(sys.argv[1] if len(sys.argv) > 1 else "")
    newest = locked(VERSIONS[-1])
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
