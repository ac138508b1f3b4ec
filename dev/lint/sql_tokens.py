"""SQL as tokens, and where SQL stands in this project: `.sql` files, string literals in Rust and in Python."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.lint import rust_imports

# A `{placeholder}` is what `format!` fills in: a name or an expression that is built, and checked, elsewhere.
TOKEN = re.compile(
    r"""
      (?P<space>\s+ | --[^\n]* | /\*.*?\*/)
    | (?P<body>\$(?P<tag>\w*)\$(?P<inner>.*?)\$(?P=tag)\$)
    | (?P<text>(?:[EeBbXxNn]|[Uu]&)?'(?:''|\\.|[^'])*'?)
    | (?P<quoted>"(?:""|[^"])*")
    | (?P<placeholder>\{[^{}]*\})
    | (?P<number>\d[\w.]*)
    | (?P<parameter>\$\d+)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<mark>::|:=|=>)
    | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    line: int

    @property
    def upper(self) -> str:
        """A keyword in upper case; a quoted name is none."""
        return self.text.upper() if self.kind == "word" else self.text

    @property
    def is_name(self) -> bool:
        return self.kind in ("word", "quoted")


@dataclass(frozen=True)
class Source:
    """A piece of SQL. `is_certain`: it is SQL from its first word on, and not a sentence that quotes some."""

    file: Path
    line: int
    text: str
    is_certain: bool = True
    # A migration's file runs with the target schema as its search path, and makes its tables there.
    is_migration: bool = False


def tokens(sql: str, line: int = 1) -> list[Token]:
    """The body of a dollar-quoted string is SQL too, between two semicolons."""
    found: list[Token] = []
    for match in TOKEN.finditer(sql):
        kind = str(match.lastgroup)
        if match["body"] is not None:
            inner = line + match[0][: match.start("inner") - match.start()].count("\n")
            found += [Token("other", ";", line), *tokens(match["inner"], inner), Token("other", ";", line)]
        elif match["space"] is None:
            found.append(Token(kind, match[0], line))
        line += match[0].count("\n")
    return found


# How a statement begins, or a part of one that is put together from several strings.
BEGINNING = re.compile(
    r"\s*(?:(?:\{\w*\})+\n\s*)*(?:--[^\n]*\n\s*)*(?:SELECT|WITH|VALUES|INSERT|UPDATE|DELETE|MERGE|CREATE|ALTER|DROP|LOCK|SET|RESET|LISTEN|UNLISTEN"
    r"|NOTIFY|GRANT|REVOKE|DO|CALL|TRUNCATE|COMMENT|COPY|PERFORM|DECLARE|BEGIN|FROM|WHERE|JOIN|LEFT|RIGHT|INNER|CROSS|ON"
    r"|AND|OR|NOT|IF|CASE|WHEN|EXISTS|ORDER|GROUP|HAVING|LIMIT|RETURNING|UNION|IN|LIKE|BETWEEN|IS|COALESCE|NULLIF|CAST)\b"
)
# What no sentence has: a cast, a call without a space, an operator beside a placeholder or a literal.
FRAGMENT = re.compile(
    r"::|\bpg_catalog\b|\bOPERATOR\(|[a-z]\w*\([^)\s]|[a-z]\w*\(\)"
    r"|(?:\{\w*\}|'|\$\d) *(?:[-+*/<>=~!@#%^&|]+|(?:NOT )?(?:IN|I?LIKE|BETWEEN|SIMILAR TO)|IS (?:NOT )?DISTINCT FROM)"
    r" *(?:\{(?!\{)|'|\$\d|\()"
)


def sources(root: Path) -> Iterator[Source]:
    """All SQL that the module can send."""
    for file in sorted([*root.glob("src/**/*.sql"), *root.glob("python/**/*.sql")]):
        text = file.read_text()
        # The template of a `format!`: a brace of its own is doubled.
        is_template = re.search(r"\{\w+\}", text) is not None
        undoubled = text.replace("{{", "").replace("}}", "") if is_template else text
        yield Source(file, 1, undoubled, is_migration="migrations" in file.parts)
    for file in sorted(root.glob("src/**/*.rs")):
        for line, text in rust_strings(file.read_text()):
            yield from _in_string(file, line, text.replace("{{", "").replace("}}", ""))
    for file in sorted(root.glob("python/**/*.py")):
        for line, text in python_strings(file.read_text()):
            yield from _in_string(file, line, text)


def _in_string(file: Path, line: int, text: str) -> Iterator[Source]:
    if BEGINNING.match(text) and len(text.split()) > 1:
        yield Source(file, line, text)
    elif "postgres" in file.parts and FRAGMENT.search(text):
        yield Source(file, line, text, is_certain=False)


def rust_strings(source: str) -> Iterator[tuple[int, str]]:
    """String literals outside of tests, their escapes resolved."""
    at, line = 0, 1
    tests = source.find("#[cfg(test)]\nmod ")
    while (tests < 0 or at < tests) and (match := rust_imports.TOKEN.match(source, at)):
        at = match.end()
        if match["block"]:
            at = rust_imports.end_of_block_comment(source, at)
        text = match["text"] or ""
        if text.startswith(("r", "br", "cr")):
            yield line, text[text.index('"') + 1 : text.rindex('"')]
        elif text.endswith('"'):
            yield line, _unescaped(text[text.index('"') + 1 : -1])
        line += source.count("\n", match.start(), at)


def _unescaped(text: str) -> str:
    # A line that goes on is still another line to report.
    text = re.sub(r"\\\n\s*", "\n", text)
    return re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), text)


def python_strings(source: str) -> Iterator[tuple[int, str]]:
    """String literals that are not docstrings; what an f-string fills in is a placeholder."""
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            pieces = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield node.lineno, "".join(pieces)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts | docstrings:
            yield node.lineno, node.value
