"""Checks the licences of the Python packages that `pip install` of our wheel brings along.

    .venv/bin/python -m dev.lint.python_licences

cargo-deny checks the Rust crates (deny.toml). This check reads the packages installed in this environment.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator

OURS = "auth-middleware"

ALLOWED = {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "PSF-2.0"}

# Older metadata has a trove classifier instead of an SPDX expression.
CLASSIFIERS = {
    "MIT License": "MIT",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def is_allowed(expression: str) -> bool:
    """Whether every licence in an SPDX expression is allowed. For `A OR B`, that is stricter than necessary."""
    names = set(re.findall(r"[^\s()]+", expression)) - {"AND", "OR"}
    return bool(names) and names <= ALLOWED


def installed_licences() -> Iterator[tuple[str, str]]:
    """Yields each package that ours depends on, directly or indirectly, and its licence."""
    pending, seen = [OURS], set[str]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if name == OURS:
                raise
            continue  # required on another platform or an older Python only
        pending += [normal_name(text) for text in distribution.requires or [] if not re.search(r"\bextra\s*==", text)]
        yield f"{name} {distribution.version}", licence(distribution.metadata)


def licence(metadata: importlib.metadata.PackageMetadata) -> str:
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [line.split(" :: ") for line in metadata.get_all("Classifier") or []]
    names = [words[-1] for words in classifiers if words[0] == "License" and words[-1] != "OSI Approved"]
    if names:
        return " AND ".join(CLASSIFIERS.get(name, "LicenseRef") for name in names)
    return metadata["License"].strip() if "License" in metadata else ""


def normal_name(requirement: str) -> str:
    """Normalises names as PyPI does: `Pydantic_Core[x]>=2` is pydantic-core."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement, maxsplit=1)[0]).lower()


def main() -> int:
    packages = sorted({*installed_licences()})
    refused = [(package, licence) for package, licence in packages if not is_allowed(licence)]
    for package, name in refused:
        print(f"pyproject.toml:1: {package}: {name or 'no licence'} is not in ALLOWED in dev/lint/python_licences.py")
    print(f"licences: checked {len(packages)} Python packages, {len(refused)} refused")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
