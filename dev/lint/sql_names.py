"""Does every name in our SQL say its schema?

    python -m dev.lint.sql_names

What does not is looked up along the search path, where another role may have put something that fits better
(CVE-2018-1058). That holds for functions, types, operators and collations, and for every form that looks an operator
up by itself and cannot be told where: `IN`, `LIKE`, `BETWEEN`, `CASE x WHEN` and their kin.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dev.lint.sql_keywords import AFTER_SET, BANNED, BEFORE_TEXT, NO_COLUMNS, NO_FUNCTIONS, TRANSITION_TABLES
from dev.lint.sql_tokens import Source, Token, sources, tokens

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Finding:
    file: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def check(root: Path = ROOT) -> list[Finding]:
    return [finding for source in sources(root) for finding in check_source(source)]


def check_source(source: Source) -> list[Finding]:
    code = Code(tokens(source.text, source.line), source)
    found = [*code.operators(), *code.casts(), *code.calls(), *code.forms()]
    if source.is_certain:
        found += [*code.typed_constants(), *code.declared_types(), *code.relations()]
    return [Finding(source.file, line, what) for line, what in sorted(set(found))]


Findings = Iterator[tuple[int, str]]


class Code:
    """The tokens of one source, and what is wrong with them."""

    def __init__(self, code: list[Token], source: Source) -> None:
        self.code = code
        self.is_certain = source.is_certain
        self.is_migration = source.is_migration
        self.indices = range(len(code))

    def at(self, index: int) -> Token:
        return self.code[index] if 0 <= index < len(self.code) else Token("end", "", 0)

    def upper(self, index: int) -> str:
        return self.at(index).upper

    def starts_name(self, index: int) -> bool:
        """A name is not qualified by a schema before it."""
        return self.at(index).is_name and self.upper(index - 1) != "."

    def is_qualified_type(self, index: int) -> bool:
        return self.at(index).kind == "placeholder" or (self.at(index).is_name and self.upper(index + 1) == ".")

    def words_before(self, index: int, *words: str) -> bool:
        return [self.upper(index - len(words) + step) for step in range(len(words))] == list(words)

    def end_of_group(self, index: int) -> int:
        """The index of the parenthesis that closes the one at `index`."""
        depth = 0
        for end in range(index, len(self.code)):
            depth += (self.upper(end) == "(") - (self.upper(end) == ")")
            if depth == 0:
                return end
        return len(self.code)

    def statement(self, index: int) -> list[str]:
        """The first words of the statement that a token is part of."""
        start = next((at for at in range(index, -1, -1) if self.upper(at) == ";"), -1) + 1
        return [self.upper(start + step) for step in range(3)]

    def operators(self) -> Findings:
        assigning = False
        for index in self.indices:
            token = self.at(index)
            if token.upper == "SET":
                assigning = True
            elif token.upper in AFTER_SET or token.text == ";":
                assigning = False
            if token.kind != "operator" or self._is_named(index) or self._is_no_operator(index):
                continue
            if token.text == "=" and self._is_assignment(index, assigning=assigning):
                continue
            yield token.line, f"the operator {token.text} without OPERATOR(pg_catalog.{token.text})"

    def _is_named(self, index: int) -> bool:
        """Inside of OPERATOR(pg_catalog.…)."""
        return self.words_before(index, "OPERATOR", "(", self.upper(index - 2), ".")

    def _is_no_operator(self, index: int) -> bool:
        text, before, after = self.at(index).text, self.at(index - 1), self.at(index + 1)
        if text == "*":
            return before.upper in ("(", ",", ".", "SELECT", "RETURNING", "")
        if text in ("-", "+") and after.kind == "number":
            is_operand = before.text in (")", "]") or before.kind in ("number", "text", "parameter", "placeholder")
            return not is_operand and not (before.is_name and before.upper not in NO_FUNCTIONS)
        if not self.is_certain and before.kind == "word" and after.kind == "word":
            return True  # a hyphen or a slash in a sentence
        return text == "%" and after.upper in ("TYPE", "ROWTYPE")

    def _is_assignment(self, index: int, *, assigning: bool) -> bool:
        """In SET, in a WITH list of options, and in RAISE … USING, after a single name."""
        introduced = self.upper(index - 2)
        if not self.at(index - 1).is_name:
            return False
        is_raise = "RAISE" in self.statement(index) or introduced == "USING"
        return introduced in ("SET", "LOCAL", "SESSION") or (introduced == "," and (assigning or is_raise)) or is_raise

    def casts(self) -> Findings:
        for index in self.indices:
            token = self.at(index)
            if token.text == "::" and not self.is_qualified_type(index + 1):
                yield token.line, f"a cast to {self.at(index + 1).text or 'nothing'} without its schema"
            is_object = self.at(index - 1).kind == "text" and self.upper(index + 3).startswith("REG")
            if (
                token.text == "::"
                and is_object
                and not self.is_migration
                and "." not in self.at(index - 1).text.split("(")[0]
            ):
                yield token.line, f"the name {self.at(index - 1).text} without its schema"
            if token.upper == "CAST" and self.upper(index + 1) == "(":
                end = self.end_of_group(index + 1)
                target = next((at for at in range(end, index, -1) if self.upper(at) == "AS"), index) + 1
                if not self.is_qualified_type(target):
                    yield token.line, f"a cast to {self.at(target).text} without its schema"
            if token.upper == "COLLATE" and not self.is_qualified_type(index + 1):
                yield token.line, f"the collation {self.at(index + 1).text} without its schema"

    def calls(self) -> Findings:
        for index in self.indices:
            token = self.at(index)
            if not self.starts_name(index) or self.upper(index + 1) != "(":
                continue
            is_keyword = token.upper in NO_FUNCTIONS or token.upper in BANNED or token.upper == "CAST"
            if is_keyword or self._is_list_of_columns(index):
                continue
            if not self.is_certain and not (token.text.islower() or "_" in token.text):
                continue
            yield token.line, f"the function {token.text} without its schema"

    def _is_list_of_columns(self, index: int) -> bool:
        """`INSERT INTO t (`, `REFERENCES t (`, `AS t (`, `WITH t (`: no call."""
        before = self.upper(index - 1)
        if before in ("INTO", "REFERENCES", "TABLE", "AS", "WITH", "RECURSIVE", "COPY", "LOCK"):
            return True
        if before == "EXISTS" and self.words_before(index, "IF", "NOT", "EXISTS"):
            return True
        if before == "ON" and self.statement(index)[0] == "CREATE" and "INDEX" in self.statement(index):
            return True
        end = self.end_of_group(index + 1)
        return before == "," and self.upper(end + 1) == "AS" and self.upper(end + 2) == "("

    def forms(self) -> Findings:
        for index in self.indices:
            token, after = self.at(index), self.at(index + 1)
            word = token.upper if self.upper(index - 1) != "." else ""
            if not self.is_certain and not token.text.isupper():
                continue
            if instead := BANNED.get(word):
                yield token.line, f"{word}: its operators cannot be qualified: {instead}"
            elif (
                word == "IN"
                and (after.text == "(" or (token.text == "IN" and after.kind == "placeholder"))
                and not self._is_lock(index)
            ):
                yield token.line, "IN: its operator cannot be qualified: OPERATOR(pg_catalog.=) ANY (…), or EXISTS"
            elif word == "LIKE" and self.upper(index - 1) not in ("(", ","):
                yield token.line, "LIKE: its operator cannot be qualified: OPERATOR(pg_catalog.~~)"
            elif word == "DISTINCT" and after.upper == "FROM":
                yield token.line, "IS DISTINCT FROM: its operator cannot be qualified: IS NULL, and a comparison"
            elif word == "USING" and after.text == "(" and "POLICY" not in self.statement(index) and self.is_certain:
                yield token.line, "JOIN … USING: its operator cannot be qualified: ON with OPERATOR(pg_catalog.=)"
            elif word == "CASE" and after.upper != "WHEN" and self.upper(index - 1) != "END":
                yield token.line, "CASE x WHEN: its operator cannot be qualified: CASE WHEN x OPERATOR(pg_catalog.=) …"
            elif word == "AT" and after.upper in ("TIME", "LOCAL"):
                yield token.line, "AT TIME ZONE: pg_catalog.timezone(…)"

    def _is_lock(self, index: int) -> bool:
        return self.statement(index)[0] == "LOCK"

    def typed_constants(self) -> Findings:
        for index in self.indices:
            token = self.at(index)
            is_type = self.starts_name(index) and self.at(index + 1).kind == "text"
            if is_type and token.upper not in BEFORE_TEXT and self.upper(index - 1) != "USING":
                yield token.line, f"the type {token.text} of a constant without its schema"

    def declared_types(self) -> Findings:
        """In CREATE TABLE, ALTER TABLE, DECLARE, RETURNS, and in a list of columns with types."""
        for index in self.indices:
            word = self.upper(index)
            if word == "(" and self._opens_columns(index):
                for column in self._entries(index):
                    if self.upper(column) not in NO_COLUMNS:
                        yield from self._declared(column + 1)
            elif word == "DECLARE":
                yield from self._declarations(index + 1)
            elif word == "RETURNS" and self.upper(index + 1) not in ("TABLE", "NULL"):
                yield from self._declared(index + 2 if self.upper(index + 1) == "SETOF" else index + 1)
            elif word in ("COLUMN", "ADD") and "TABLE" in self.statement(index):
                name = index + 4 if self.upper(index + 1) == "IF" else index + 1
                if self.at(name).is_name and self.upper(name) not in NO_COLUMNS | {"COLUMN"} and word == "COLUMN":
                    yield from self._added(name)
            elif word == "TYPE" and self.upper(index - 1) in ("DATA", self.upper(index - 1)) and self._alters(index):
                yield from self._declared(index + 1)

    def _alters(self, index: int) -> bool:
        return self.statement(index)[:2] == ["ALTER", "TABLE"] and "ALTER" in [
            self.upper(index - step) for step in range(2, 6)
        ]

    def _added(self, name: int) -> Findings:
        if self.upper(name - 1) == "COLUMN" and self.upper(name - 2) in ("DROP", "ALTER", "RENAME"):
            return
        if self.upper(name - 1) == "EXISTS" and self.upper(name - 4) == "DROP":
            return
        yield from self._declared(name + 1)

    def _declared(self, index: int) -> Findings:
        if self.at(index).is_name and not self.is_qualified_type(index):
            yield self.at(index).line, f"the type {self.at(index).text} without its schema"

    def _declarations(self, start: int) -> Findings:
        begins = True
        for index in range(start, len(self.code)):
            if self.upper(index) == "BEGIN":
                return
            if begins:
                yield from self._declared(index + 2 if self.upper(index + 1) == "CONSTANT" else index + 1)
            begins = self.upper(index) == ";"

    def _opens_columns(self, index: int) -> bool:
        """Of a new table, or of `AS t (a type, b type)`."""
        name = index - 1
        while self.upper(name - 1) == ".":
            name -= 2
        if self.statement(index)[0] == "CREATE" and "TABLE" in self.statement(index):
            return self.upper(name - 1) == "TABLE" or self.words_before(name, "IF", "NOT", "EXISTS")
        is_alias = self.upper(name - 1) == "AS" and self.at(name).is_name
        return is_alias and any(self.at(column + 1).is_name for column in self._entries(index))

    def _entries(self, index: int) -> Iterator[int]:
        """Where each entry of a parenthesised list begins."""
        depth, end = 0, self.end_of_group(index)
        for at in range(index, end):
            if (at == index or (depth == 1 and self.upper(at) == ",")) and at + 1 < end:
                yield at + 1
            depth += (self.upper(at) == "(") - (self.upper(at) == ")")

    def relations(self) -> Findings:
        """A migration's file may name its own tables as they are; nothing else may, and PostgreSQL's own never."""
        own = {self.upper(self._named_query(index)) for index in self.indices if self.upper(index) == "AS"}
        for index in self.indices:
            word, name = self.upper(index), self.at(index + 1)
            is_from = word in ("FROM", "JOIN") and self.statement(index)[0] not in ("REVOKE", "GRANT")
            is_into = word == "INTO" and self.upper(index - 1) in ("INSERT", "MERGE")
            is_update = word == "UPDATE" and self.upper(index - 1) in ("", ";", "(")
            if not (is_from or is_into or is_update) or not name.is_name or self.upper(index + 2) == ".":
                continue
            if is_from and self.upper(index + 2) == "(":
                continue  # a function
            if (
                name.upper in ("LATERAL", "ONLY", "SELECT", "SET")
                or name.upper in own
                or name.text in TRANSITION_TABLES
            ):
                continue
            if not self.is_migration or name.text.startswith("pg_"):
                yield name.line, f"the table {name.text} without its schema"

    def _named_query(self, index: int) -> int:
        """The index of the name in `WITH name (x) AS (`, at its AS; of nothing elsewhere."""
        if self.upper(index + 1) not in ("(", "MATERIALIZED"):
            return -1
        before = index - 1
        if self.upper(before) == ")":
            before = next(at for at in range(before, -2, -1) if self.upper(at) == "(" or at < 0) - 1
        return before


def main() -> int:
    findings = check()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
