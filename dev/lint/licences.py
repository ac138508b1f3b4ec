"""Are the licences of all that is shipped, or installed with it, ones we may pass on?

    .venv/bin/python -m dev.lint.licences

Rust: every crate that the wheel is built from, on every platform, development's own left out. Python: what
`pip install` brings along, read from the packages installed beside this script.
"""

import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Iterator

OURS = "auth-middleware"

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",  # copyleft file by file, and we change none of theirs
    "PSF-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}

# Older metadata says it in words.
CLASSIFIERS = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def may_be_used(expression: str) -> bool:
    """SPDX: of an OR one side will do, an AND needs both and binds tighter. Older crates write OR as `/`."""
    words = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))
    answer, rest = either(words)
    return answer and not rest


def either(words: list[str]) -> tuple[bool, list[str]]:
    answer, words = both(words)
    while words[:1] == ["OR"]:
        other, words = both(words[1:])
        answer = answer or other
    return answer, words


def both(words: list[str]) -> tuple[bool, list[str]]:
    answer, words = one(words)
    while words[:1] == ["AND"]:
        other, words = one(words[1:])
        answer = answer and other
    return answer, words


def one(words: list[str]) -> tuple[bool, list[str]]:
    if not words:
        return False, []
    if words[0] == "(":
        answer, rest = either(words[1:])
        return answer and rest[:1] == [")"], rest[1:]
    name, rest = words[0], words[1:]
    if rest[:1] == ["WITH"]:
        name, rest = " ".join([name, *rest[:2]]), rest[2:]
    return name in ALLOWED, rest


def rust_licences() -> Iterator[tuple[str, str]]:
    """Each crate we are built from, and what it says."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting, seen = [metadata["resolve"]["root"]], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [
            dependency["pkg"]
            for dependency in nodes[name]["deps"]
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
        ]
        package = packages[name]
        yield f"crate {package['name']} {package['version']}", package["license"] or ""


def python_licences() -> Iterator[tuple[str, str]]:
    """Each package that installing ours brings along on this machine, and what it says."""
    waiting, seen = [OURS], set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name == OURS:
                raise
            continue  # its marker is for another platform or an older Python
        waiting += [normal_name(text) for text in found.requires or [] if not re.search(r"\bextra\s*==", text)]
        yield f"package {name} {found.version}", python_licence(found.metadata)


def python_licence(metadata: importlib.metadata.PackageMetadata) -> str:
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [line.split(" :: ") for line in metadata.get_all("Classifier") or []]
    named = [words[-1] for words in classifiers if words[0] == "License" and words[-1] != "OSI Approved"]
    if named:
        return " AND ".join(CLASSIFIERS.get(words, "LicenseRef") for words in named)
    return metadata["License"].strip() if "License" in metadata else ""


def normal_name(requirement: str) -> str:
    """PyPI's rule: `Pydantic_Core[x]>=2` is pydantic-core."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def main() -> int:
    shipped = sorted({*rust_licences(), *python_licences()})
    refused = [(what, says) for what, says in shipped if not may_be_used(says)]
    for what, says in refused:
        file = "Cargo.lock" if what.startswith("crate") else "pyproject.toml"
        print(f"{file}:1: {what}: {says or 'no licence'} is not on the list in dev/lint/licences.py")
    print(f"licences: {len(shipped)} read, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
