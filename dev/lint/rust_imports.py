"""Checks which module of src/ may use which other modules, as shown in ARCHITECTURE.md.

    python -m dev.lint.rust_imports

Reads every path that starts with `crate`, `self` or `super`, in `use` declarations and in code, and every use of an
external crate that only one directory may use. Code under `#[cfg(test)]` is exempt.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SRC = Path("src")

# Each module and what it may use. "signature::SessionToken" allows only that item. `lib.rs` may use everything.
MAY_USE: dict[str, set[str]] = {
    "error": set(),
    "uri_component": set(),
    "bounded_cache": set(),
    "sync": set(),
    "settings": {"error", "uri_component"},
    "credentials": {"settings", "uri_component"},
    "origin": {"settings", "credentials"},
    "signature": {"settings"},
    "signature_cache": {"bounded_cache", "credentials", "signature::SessionToken"},
    "identity": {"signature::SessionToken"},
    "json_fields": {"identity"},
    "jwt": {"error", "clock", "settings", "identity", "json_fields", "store"},
    "cookie_cache": {"bounded_cache", "settings", "signature", "identity", "json_fields", "store", "jwt"},
    "refusal": set(),
    "checks": {"refusal"},
    "causes": {
        *("settings", "credentials", "origin", "signature", "refusal", "checks", "diagnosis::Signers"),
        *("diagnosis::ValueVerdict", "jwt::Rejection", "jwt::jwks"),
    },
    "advice": {"settings", "refusal", "origin"},
    "clock": set(),
    "process": set(),
    "completion_queue": {"sync"},
    "counters": {"credentials", "refusal"},
    "live_cache": {
        *("bounded_cache", "error", "clock", "settings", "identity", "signature::SessionToken", "store", "sync"),
    },
    "store": {"error", "clock", "settings", "identity", "signature::SessionToken"},
    "lookup": {"error", "settings", "signature::SessionToken", "store", "sync"},
    "authenticator": {
        *(
            "error",
            "settings",
            "credentials",
            "origin",
            "signature",
            "identity",
            "jwt",
            "cookie_cache",
            "refusal",
            "clock",
            "checks",
            "causes",
        ),
        "signature_cache",
        *("store::LookupKey", "store::LookupResult"),
    },
    "guards": {
        *("error", "clock", "identity", "lookup", "process", "refusal", "settings", "store"),
        "authenticator::Authenticator",
    },
    # Facts for the doctor, by the code that identifies requests.
    "diagnosis": {
        *("error", "settings", "credentials", "signature", "jwt", "uri_component"),
        "store::postgres",
    },
    # What a Better Auth server signs, for applications' own tests.
    "testing": {"error", "settings", "signature", "store::PublicKeyRow"},
    # The whole path: it connects the parts.
    "engine": {
        *("error", "settings", "credentials", "identity", "refusal", "authenticator", "lookup", "clock", "process"),
        *("cookie_cache", "live_cache", "counters", "jwt", "checks", "advice", "causes::is_recent", "guards"),
        *("store::AnyStore", "store::KeyStore", "store::LookupKey", "store::LookupResult", "store::Source"),
        *("store::Connections", "store::Store", "store::memory"),
    },
    "python": {
        "bounded_cache",
        *(
            "error",
            "settings",
            "credentials",
            "diagnosis",
            "identity",
            "refusal",
            "engine",
            "process",
            "completion_queue",
        ),
        *("authenticator::Verdict", "lookup::Lookup", "store::LookupKey", "store::Source"),
        *("counters", "live_cache::FeedState"),
        *("store::postgres", "store::memory", "guards", "clock::Uptime", "testing", "signature::SessionToken"),
    },
}

# External crates, and the only directories that may use each.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "pyo3": ("python",),
    "pyo3_async_runtimes": ("python",),
    "tokio_postgres": ("store/postgres",),
    "tokio_postgres_rustls": ("store/postgres",),
    "deadpool_postgres": ("store/postgres",),
    "rustls": ("store/postgres", "jwt/jwks"),
    "reqwest": ("jwt/jwks",),
}

# Skips the text of comments and strings, so that words in them do not count as names, and tells lifetimes from
# character literals.
TOKEN = re.compile(
    r"""
      (?P<space>\s+ | //[^\n]*)
    | (?P<block>/\*)
    | (?P<text>[bc]?r(?P<hashes>\#*)".*?"(?P=hashes) | [bc]?"(?:\\.|[^"\\])*" | b?'(?:\\.[^'\n]*|[^\\'\n])')
    | (?P<name>(?:r\#)?[A-Za-z_]\w*)
    | (?P<lifetime>'\w+)
    | (?P<mark>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    text: str
    line: int


@dataclass(frozen=True)
class Finding:
    file: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def check(src: Path = SRC) -> list[Finding]:
    sources = {file: without_tests(tokens(file.read_text())) for file in sorted(src.rglob("*.rs"))}
    test_files = {
        tests for file, (_, names) in sources.items() for name in names for tests in files_of(file, src, name)
    }
    return [
        finding
        for file, (code, _) in sources.items()
        if not any(file == tests or file.is_relative_to(tests) for tests in test_files)
        for finding in check_file(file, module_path(file, src), code)
    ]


def check_file(file: Path, module: list[str], code: list[Token]) -> Iterator[Finding]:
    for token in code:
        homes = ONLY_IN.get(token.text)
        if homes and not "/".join([*module, ""]).startswith(tuple(f"{home}/" for home in homes)):
            yield Finding(
                file, token.line, f"uses the crate {token.text}, which only src/{' and src/'.join(homes)} may use"
            )
    if not module:
        return
    own = module[0]
    if own not in MAY_USE:
        yield Finding(file, 1, f"the module {own} is not in the table of {Path(__file__).name}")
        return
    for line, path in sorted(set(paths(code, module))):
        target = path[0]
        if target == own or target in MAY_USE[own] or "::".join(path[:2]) in MAY_USE[own]:
            continue
        if target in MAY_USE:
            yield Finding(file, line, f"{own} may not use {'::'.join(path[:2])}")
        else:
            yield Finding(file, line, f"crate::{target} is not in the table: use the module that defines it")


def tokens(source: str) -> list[Token]:
    found: list[Token] = []
    at, line = 0, 1
    while match := TOKEN.match(source, at):
        at = match.end()
        if match["block"]:
            at = end_of_block_comment(source, at)
        elif match["name"] or match["mark"]:
            found.append(Token(match[0].removeprefix("r#"), line))
        elif match["text"]:
            found.append(Token('""', line))
        line += source.count("\n", match.start(), at)
    return found


def end_of_block_comment(source: str, at: int) -> int:
    depth = 1  # block comments nest in Rust
    for mark in re.finditer(r"/\*|\*/", source[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return at + mark.end()
    return len(source)


def without_tests(code: list[Token]) -> tuple[list[Token], list[str]]:
    """The code without items under `#[cfg(test)]`, and the names of test modules that are separate files."""
    kept: list[Token] = []
    test_modules: list[str] = []
    guard = ["#", "[", "cfg", "(", "test", ")", "]"]
    at = 0
    while at < len(code):
        if [token.text for token in code[at : at + len(guard)]] != guard:
            kept.append(code[at])
            at += 1
            continue
        end = end_of_item(code, at + len(guard))
        item = [token.text for token in code[at + len(guard) : end]]
        if len(item) >= 3 and item[-3] == "mod":
            test_modules.append(item[-2])
        at = end
    return kept, test_modules


def end_of_item(code: list[Token], at: int) -> int:
    """The position after the item's `;` or closing brace. A field or variant ends before the enclosing brace."""
    depth = 0
    while at < len(code):
        text = code[at].text
        depth += (text in "([{") - (text in ")]}")
        if depth < 0:
            return at
        at += 1
        if depth == 0 and text in (";", "}"):
            return at
    return at


def paths(code: list[Token], module: list[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields each path into this crate, relative to its root; `*` is the root itself."""
    inner: list[str | None] = []  # for each open brace, the name of the module that it opens, or None
    for at, token in enumerate(code):
        before = [earlier.text for earlier in code[max(at - 2, 0) : at]]
        if token.text == "{":
            inner.append(before[1] if before[:1] == ["mod"] else None)
        elif token.text == "}" and inner:
            inner.pop()
        inside = before[-1:] == ["::"] or before == ["(", "in"]  # part of a longer path, or of `pub(in crate::…)`
        if token.text in ("crate", "self", "super") and not inside and texts(code, at + 1, 1) == ["::"]:
            here = module + [name for name in inner if name]
            for line, path in leaves(code, at, [])[0]:
                yield line, tuple(resolve(path, here)) or ("*",)


Leaves = list[tuple[int, list[str]]]


def leaves(code: list[Token], at: int, prefix: list[str]) -> tuple[Leaves, int]:
    """The paths of the use tree that begins at `at`, and its end. A path in code is a tree with one leaf."""
    line, path = code[at].line, list(prefix)
    while True:
        text = code[at].text
        if text == "{":
            return group(code, at + 1, path)
        if not re.fullmatch(r"\w+", text):  # `*`, or the `<` of a turbofish
            return [(line, path)], at + (text == "*")
        path.append(text)
        at += 1
        if texts(code, at, 1) != ["::"]:
            return [(line, path)], at
        at += 1


def group(code: list[Token], at: int, prefix: list[str]) -> tuple[Leaves, int]:
    found: Leaves = []
    while code[at].text != "}":
        if re.fullmatch(r"\w+|\*|\{", code[at].text):
            more, at = leaves(code, at, prefix)
            found += more
            if texts(code, at, 1) == ["as"]:
                at += 2
        else:
            at += 1
    return found, at + 1


def resolve(path: list[str], here: list[str]) -> list[str]:
    absolute = [] if path[0] == "crate" else list(here)
    for name in path:
        if name == "super":
            absolute = absolute[:-1]
        elif name not in ("crate", "self"):
            absolute.append(name)
    return absolute


def texts(code: list[Token], at: int, count: int) -> list[str]:
    return [token.text for token in code[at : at + count]]


def module_path(file: Path, src: Path) -> list[str]:
    parts = list(file.relative_to(src).with_suffix("").parts)
    return parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts


def files_of(file: Path, src: Path, module: str) -> list[Path]:
    """The file, or the directory, that `mod module;` in `file` refers to."""
    folder = src.joinpath(*module_path(file, src))
    return [folder / f"{module}.rs", folder / module]


def main() -> int:
    findings = check()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
