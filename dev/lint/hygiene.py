"""Finds files and text that must not be committed.

    python -m dev.lint.hygiene

Reads every file that git tracks or would add: looks for download addresses in lockfiles, paths of one machine, keys,
credentials and build output.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePath

# Names of files or directories.
UNWANTED_NAMES = {
    "build output": [
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
    "installed packages": ["node_modules", ".venv", "*.egg-info"],
    "settings of one machine; commit only .env.example": [".env", ".env.*"],
    "a key or a certificate; tests create their own": ["*.pem", "*.key", "*.p12", "id_rsa*", "id_ed25519*"],
}
WANTED_NAMES = {".env.example"}

# Text. Each pattern is written so that it does not match itself.
UNWANTED_TEXTS = {
    "a download address in a lockfile; set omit-lockfile-registry-resolved=true in .npmrc": r'"resolved"\s*:',
    "the address of a registry": r"(?:registry\.npmjs|files\.pythonhosted|static\.crates|deb\.debian)\.(?:org|io)\b",
    "a registry of one machine": r"(?:--(?:extra-)?index-url|--find-links|--registry)[ =]",
    "a path of one machine": r"(?<![\w.)}>*-])/(?:home|root|work|Users)/\w",
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE[ ]KEY-----",
    "a Neon password": r"\bnpg_[A-Za-z0-9]{6,}",
    "a token": r"\b(?:ghp|gho|ghs|github_pat|pypi|npm|sk_live|AKIA)[_-]?[A-Za-z0-9]{20,}",
}

PINNED = re.compile(r"(?:[A-Za-z0-9._-]+==[A-Za-z0-9.]+)?\s*(?:#.*)?")


def files() -> list[Path]:
    """Files that are tracked, or neither tracked nor ignored, and that exist."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [path for name in sorted(set(listed.split("\0"))) if name and (path := Path(name)).is_file()]


def findings(file: Path) -> Iterator[tuple[int, str]]:
    if reason := unwanted_name(file):
        yield 1, reason
    content = file.read_bytes()
    if b"\0" in content:
        return  # binary: only its name is checked
    for number, line in enumerate(content.decode(errors="replace").splitlines(), 1):
        for reason, pattern in UNWANTED_TEXTS.items():
            if match := re.search(pattern, line):
                yield number, f"{reason}: {match[0][:40]}"
        if fnmatch(file.name, "requirements*.txt") and not PINNED.fullmatch(line):
            yield number, "expected name==version"


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
