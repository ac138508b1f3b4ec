"""Is there anything in the repository that should not be?

    python -m dev.lint.hygiene

Reads every file that git tracks, or would after `git add --all`: addresses that a lockfile need not have, paths of
one machine, keys and credentials, what a build made.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePath

# By name, of a folder or a file.
UNWANTED_NAMES = {
    "made by a build": [
        "*.so",
        "*.pyd",
        "*.dylib",
        "*.dll",
        "*.whl",
        "*.pyc",
        "*.rlib",
        "dist",
        "target",
        "__pycache__",
    ],
    "made by an install": ["node_modules", ".venv", "*.egg-info"],
    "the settings of one machine; only .env.example belongs here": [".env", ".env.*"],
    "a key or a certificate: tests make their own": ["*.pem", "*.key", "*.p12", "id_rsa*", "id_ed25519*"],
}
WANTED_NAMES = {".env.example"}

# By text. Each pattern is written so that it does not find itself.
UNWANTED_TEXTS = {
    "a lockfile's address; .npmrc needs omit-lockfile-registry-resolved=true": r'"resolved"\s*:',
    "a registry's address": r"(?:registry\.npmjs|files\.pythonhosted|static\.crates|deb\.debian)\.(?:org|io)\b",
    "a registry of one machine": r"(?:--(?:extra-)?index-url|--find-links|--registry)[ =]",
    "a path of one machine": r"(?<![\w.)}>*-])/(?:home|root|work|Users)/\w",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE[ ]KEY-----",
    "a Neon password": r"\bnpg_[A-Za-z0-9]{6,}",
    "a token": r"\b(?:ghp|gho|ghs|github_pat|pypi|npm|sk_live|AKIA)[_-]?[A-Za-z0-9]{20,}",
}

PINNED = re.compile(r"(?:[A-Za-z0-9._-]+==[A-Za-z0-9.]+)?\s*(?:#.*)?")


def files() -> list[Path]:
    """Tracked, or neither tracked nor ignored; not what is deleted already."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [path for name in sorted(set(listed.split("\0"))) if name and (path := Path(name)).is_file()]


def findings(file: Path) -> Iterator[tuple[int, str]]:
    if reason := unwanted_name(file):
        yield 1, reason
    content = file.read_bytes()
    if b"\0" in content:
        return  # a picture or the like: its name was looked at
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        for reason, pattern in UNWANTED_TEXTS.items():
            if match := re.search(pattern, line):
                yield number, f"{reason}: {match[0][:40]}"
        if fnmatch(file.name, "requirements*.txt") and not PINNED.fullmatch(line):
            yield number, "not of the form name==version"


def unwanted_name(file: PurePath) -> str | None:
    if file.name in WANTED_NAMES:
        return None
    for reason, patterns in UNWANTED_NAMES.items():
        if any(fnmatch(part, pattern) for part in file.parts for pattern in patterns):
            return reason
    return None


def main() -> int:
    found = [(file, number, what) for file in files() for number, what in findings(file)]
    for file, number, what in found:
        print(f"{file}:{number}: {what}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
