"""The lint that keeps names without a schema out of our SQL is itself seen to find them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.lint.sql_names import ROOT, check, check_source
from dev.lint.sql_tokens import Source, sources

UNQUALIFIED = [
    # operators
    "SELECT a.x = 1 FROM pg_catalog.pg_class AS a",
    "SELECT 1 WHERE a.x <> 'b'",
    "SELECT a.x != 1",
    "SELECT a.x || 'b'",
    "SELECT a.x + 1",
    "SELECT 1 -2",
    "SELECT a.x - 1",
    "SELECT (a.x) - 1",
    "SELECT - a.x",
    "SELECT a.x * 2",
    "SELECT a.x / 2, a.x % 2",
    "SELECT a.x ->> 'key'",
    "SELECT a.x @> b.x",
    "SELECT a.x ~ 'b'",
    "SELECT a.x = ANY ($1)",
    "SELECT a.x <> ALL ($1)",
    "SELECT a.x = SOME ($1)",
    "SELECT ROW(a.x, a.y) = ROW(1, 2)",
    "SELECT (a.x, a.y) < (1, 2)",
    "SELECT a.x >= 1 ORDER BY a.x USING >",
    "UPDATE app.t SET x = pg_catalog.now() WHERE y = 1",
    "UPDATE app.t SET x = y = 1",
    "UPDATE app.t SET x = 1, y = x > 2",
    "DO $$ BEGIN IF a > 1 THEN RETURN; END IF; END $$",
    "DO $outer$ BEGIN EXECUTE $inner$SELECT a = 1$inner$; END $outer$",
    "SELECT a.x /* a comment */ = /* OPERATOR(pg_catalog.=) */ 1",
    "SELECT x OPERATOR(=) 1",
    # functions
    "SELECT count(*)",
    "SELECT now()",
    "SELECT lower(a.x)",
    "SELECT lower (a.x)",
    'SELECT "lower"(a.x)',
    "SELECT Lower(a.x)",
    "SELECT pg_catalog.lower(btrim(a.x))",
    "SELECT 1 FROM unnest($1) AS a(x)",
    "SELECT 1 FROM app.t JOIN unnest($1) AS a(x) ON true",
    "SELECT substring(a.x FROM 1)",
    "SELECT trim(a.x)",
    "SELECT position(a.x IN a.y)",
    "SELECT extract(year FROM a.x)",
    "SELECT first_value(a.x) OVER (ORDER BY a.x)",
    "CREATE TRIGGER t AFTER UPDATE ON app.t FOR EACH STATEMENT EXECUTE FUNCTION f()",
    "CREATE TABLE app.t (x pg_catalog.timestamptz DEFAULT now())",
    "CREATE INDEX ON app.t (lower(x))",
    "DROP FUNCTION IF EXISTS f() CASCADE",
    # types
    "SELECT $1::text",
    "SELECT $1::integer",
    'SELECT $1::"char"',
    "SELECT $1::text[]",
    "SELECT CAST($1 AS text)",
    "SELECT CAST(pg_catalog.lower($1) AS character varying(3))",
    "SELECT regclass 'app.t'",
    "SELECT 'pg_class'::pg_catalog.regclass",
    "SELECT 'f(text)'::pg_catalog.regprocedure",
    "SELECT interval '1 day'",
    "SELECT date '2020-01-01'",
    "CREATE TABLE t (x text, y pg_catalog.text)",
    "CREATE TABLE IF NOT EXISTS t (x pg_catalog.text, y TIMESTAMPTZ NOT NULL)",
    "CREATE TABLE app.t (x pg_catalog.text, CHECK (true), y bool)",
    "ALTER TABLE app.t ADD COLUMN x text",
    "ALTER TABLE app.t ADD COLUMN IF NOT EXISTS x text",
    "ALTER TABLE app.t ALTER COLUMN x TYPE text",
    "ALTER TABLE app.t ALTER x SET DATA TYPE text",
    "DO $$ DECLARE x text; BEGIN END $$",
    "DO $$ DECLARE x pg_catalog.text := 'a'; y CONSTANT int := 1; BEGIN END $$",
    "CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE FUNCTION app.f() RETURNS SETOF text LANGUAGE sql AS 'SELECT 1'",
    "SELECT 1 FROM pg_catalog.json_to_recordset($1) AS a (x text, y pg_catalog.int4)",
    # collations
    'SELECT a.x COLLATE "C"',
    # relations
    "SELECT 1 FROM pg_class AS a",
    "SELECT 1 FROM pg_catalog.pg_class AS a JOIN pg_namespace AS n ON true",
    "INSERT INTO record (name) VALUES ($1)",
    "UPDATE record SET name = $1",
    "DELETE FROM record",
    # forms that look an operator up by themselves
    "SELECT a.x IN (1, 2)",
    "SELECT a.x NOT IN (SELECT 1)",
    "SELECT (a.x, a.y) IN ((1, 2))",
    "SELECT a.x IS DISTINCT FROM 1",
    "SELECT a.x IS NOT DISTINCT FROM 1",
    "SELECT a.x BETWEEN 1 AND 2",
    "SELECT a.x NOT BETWEEN SYMMETRIC 1 AND 2",
    "SELECT NULLIF(a.x, 1)",
    "SELECT a.x LIKE 'b%'",
    "SELECT a.x NOT LIKE 'b%'",
    "SELECT a.x ILIKE 'b%'",
    "SELECT a.x SIMILAR TO 'b'",
    "SELECT (a.x, a.y) OVERLAPS (b.x, b.y)",
    "SELECT 1 FROM app.a JOIN app.b USING (x)",
    "SELECT 1 FROM app.a NATURAL JOIN app.b",
    "SELECT CASE a.x WHEN 1 THEN 2 END",
    "SELECT CASE pg_catalog.lower(a.x) WHEN 'b' THEN 2 END",
    "SELECT a.x AT TIME ZONE 'UTC'",
    "SELECT a.x AT LOCAL",
    "SELECT case a.x when 1 then 2 end",
    "SELECT a.x in (1, 2)",
]

QUALIFIED = [
    "SELECT a.x OPERATOR(pg_catalog.=) 1::pg_catalog.int4, a.*, * FROM app.t AS a",
    "SELECT a.x OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])",
    "SELECT pg_catalog.count(*), pg_catalog.lower('b = c')",
    "SELECT - 1, 2, (-3), -4.5",
    "SELECT COALESCE(a.x, 'b'), GREATEST(1, 2), ARRAY[1], EXISTS (SELECT 1), ROW(1)",
    "SELECT CASE WHEN a.x THEN (1) ELSE (2) END",
    "SELECT CAST($1 AS pg_catalog.text)",
    "SELECT pg_catalog.regclass 'app.t'",
    'SELECT $1::pg_catalog."char"',
    'SELECT a.x COLLATE pg_catalog."C"',
    "SELECT 1 FROM app.t AS a JOIN LATERAL (SELECT 1) AS b (x) ON (true)",
    "WITH RECURSIVE a (x) AS (SELECT 1), b (x) AS (SELECT 2), c AS (SELECT 3) SELECT 1 FROM a CROSS JOIN b, c",
    "SET LOCAL lock_timeout = '5s'; SET search_path = app",
    "UPDATE app.t SET x = 1, y = pg_catalog.now() WHERE true",
    "INSERT INTO app.t (x) VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 2",
    "CREATE TABLE app.t (x pg_catalog.text REFERENCES u (id), PRIMARY KEY (x), CHECK (true))",
    "CREATE TABLE app.t (LIKE app.u)",
    "CREATE INDEX IF NOT EXISTS i ON app.t (x, y)",
    "CREATE UNIQUE INDEX i ON t (x)",
    "CREATE POLICY p ON app.t FOR SELECT USING (true)",
    "ALTER TABLE app.t DROP COLUMN x",
    "ALTER TABLE app.t RENAME COLUMN x TO y",
    "LOCK TABLE app.t IN SHARE ROW EXCLUSIVE MODE",
    "DO $$ BEGIN RAISE EXCEPTION 'x = %', 1 USING HINT = 'a' 'b', ERRCODE = 'P0001'; END $$",
    "DO $$ DECLARE x pg_catalog.text := 'a'; y app.t.x%TYPE; BEGIN SELECT 1 INTO x; END $$",
    "CREATE FUNCTION app.f() RETURNS pg_catalog.trigger LANGUAGE plpgsql SET search_path = a AS $x$BEGIN END$x$",
    "REVOKE ALL ON FUNCTION {function}() FROM PUBLIC",
    "SELECT {columns}, s.{name} FROM {table} AS s WHERE {left} OPERATOR(pg_catalog.=) {right}{cast}",
    "SELECT 1 -- x = 2\n/* lower(x) */",
]


def findings(sql: str) -> list[str]:
    return [str(finding) for finding in check_source(Source(Path("some.sql"), 1, sql))]


@pytest.mark.parametrize("sql", UNQUALIFIED)
def test_a_name_without_its_schema_is_found(sql: str) -> None:
    assert findings(sql)


@pytest.mark.parametrize("sql", QUALIFIED)
def test_qualified_names_pass(sql: str) -> None:
    assert findings(sql) == []


def test_a_finding_says_where_and_what() -> None:
    sql = "SELECT 1,\n  lower(x)\nFROM app.t\nWHERE x = 2"
    assert findings(sql) == [
        "some.sql:2: the function lower without its schema",
        "some.sql:4: the operator = without OPERATOR(pg_catalog.=)",
    ]


RUST = {
    "statement": 'let a = 1;\nlet sql = "SELECT now()";',
    "raw string": 'let a = 1;\nlet sql = r#"SELECT "now"()"#;',
    "over several lines": 'let sql = "SELECT 1, \\\n    now()";',
    "format": 'let a = 1;\nlet sql = format!("SELECT {a} = {b}");',
    "cast in a fragment": 'let a = 1;\nformat!("{column}::text")',
    "function in a fragment": 'let a = 1;\nformat!("lower({column})")',
    "function without arguments in a fragment": 'let a = 1;\nformat!(", now()")',
    "operator in a fragment": 'let a = 1;\nformat!("{left} = {right}")',
    "operator before a literal": "let a = 1;\nformat!(\"{left} || 'x'\")",
    "join": 'let a = 1;\nformat!("LEFT JOIN {a} ON s.token = asked.token")',
    "list in a fragment": 'let a = 1;\nformat!("{left} IN ({right})")',
    "distinct in a fragment": 'let a = 1;\nformat!("{left} IS DISTINCT FROM {right}")',
    "pattern in a fragment": "let a = 1;\nformat!(\"{left} NOT LIKE 'x'\")",
    "case": 'let a = 1;\nformat!("CASE {a} WHEN 1 THEN 2 END")',
    "doubled braces": "let a = 1;\nformat!(\"SELECT '{{a}}'::text\")",
    "catalog in a fragment": 'let a = 1;\nformat!("pg_catalog.lower(x) = y")',
}


@pytest.mark.parametrize("kind", RUST)
def test_a_name_in_a_rust_string_is_found(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "src" / "store" / "postgres" / "some.rs"
    file.parent.mkdir(parents=True)
    file.write_text(RUST[kind])
    assert [(finding.file, finding.line) for finding in check(tmp_path)] == [(file, 2)]


@pytest.mark.parametrize(
    "text",
    [
        'let a = "Give DATABASE_URL a role that owns both tables (GRANT CREATE ON SCHEMA … TO it); it needs SELECT.";',
        '// SELECT now()\nlet a = "x"; /* "SELECT now()" */',
        'let a = format!("{setting}={{\\"{field}\\": \\"…\\"}}: read/write, e.g. -c search_path=auth");',
        '#[cfg(test)]\nmod tests { const A: &str = "SELECT now()"; }',
        "let a = 'a'; let b: &'static str = \"it's\";",
    ],
)
def test_sentences_comments_and_tests_are_no_sql(tmp_path: Path, text: str) -> None:
    file = tmp_path / "src" / "store" / "postgres" / "some.rs"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert check(tmp_path) == []


def test_a_name_in_a_python_string_or_an_sql_file_is_found(tmp_path: Path) -> None:
    package = tmp_path / "python" / "some"
    package.mkdir(parents=True)
    (package / "a.py").write_text('"""SELECT now() is in a docstring."""\nA = "SELECT now()"\n')
    (package / "b.py").write_text('def f(x):\n    """SELECT now()"""\n    return f"SELECT {x} = 1"\n')
    (package / "c.sql").write_text("SELECT\n\n1 IN (2)")
    assert [(finding.file.name, finding.line) for finding in check(tmp_path)] == [
        ("c.sql", 3),
        ("a.py", 2),
        ("b.py", 3),
    ]


def test_there_is_none_in_this_project() -> None:
    assert check() == []


def without_one_schema() -> Iterator[Source]:
    """Our own SQL, again and again, each time with one schema left out."""
    for source in sources(ROOT):
        if len(source.text.split()) == 1:
            continue  # a name by itself
        for schema in re.finditer(r"OPERATOR\(pg_catalog\.([^)]+)\)|\bpg_catalog\.", source.text):
            if source.text[: schema.start()].endswith(("'pg_catalog.pg_notify(", "pg_notify(pg_catalog.text,")):
                continue  # the types of its arguments, in a literal
            if schema[1]:
                text = source.text[: schema.start()] + schema[1] + source.text[schema.end() :]
            else:
                text = source.text[: schema.start()] + source.text[schema.end() :]
            yield Source(source.file, source.line, text, source.is_certain, source.is_migration)


def test_each_schema_that_our_sql_says_would_be_missed() -> None:
    changed = list(without_one_schema())
    assert len(changed) > 200
    missed = [source for source in changed if not check_source(source)]
    assert [f"{source.file}:{source.line}: {source.text[:200]}" for source in missed] == []
