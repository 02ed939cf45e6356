"""Translates queries of other dialects to DuckDB's, or says why that cannot be done."""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.sql import reader
from assay.engines.sql.other_meanings import other_numbers, with_whole_divisions
from assay.engines.sql.parser import PARSER
from assay.engines.sql.sqlglot import library
from assay.engines.sql.tables import Unreadable
from assay.text import clean

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

OURS = "duckdb"
_MOST = 10  # reasons that are given for one query
_LONGEST = 100_000  # characters of a query: the library takes a second for so many
_QUERIES = {"select", "union", "intersect", "except", "subquery", "values"}
_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"<Token .*?text: (.*?), line: .*>")
_MISSING = re.compile(r"Required keyword: '\w+' missing for <class '.*\.(\w+)'>")


class Refusal(Struct, frozen=True):
    """Why a query cannot be translated; `line` and `column` count from 1, 0 where not known."""

    what: str
    line: int = 0
    column: int = 0


class Translation(Struct, frozen=True):
    """A query in DuckDB's dialect; or '' and the reasons why it cannot be written in it."""

    sql: str
    refusals: tuple[Refusal, ...] = ()


def dialects(purpose: str) -> list[str]:
    """Return the names of the dialects that can be read; raise UsageError without the library."""
    return sorted(name for name in library(purpose).Dialect.classes if name)


@lru_cache(maxsize=1024)
def translate(sql: str, dialect: str) -> Translation:
    """Return a query of a dialect, one of `dialects()`, as DuckDB's, on several lines.

    Raises UsageError without the library.
    """
    sqlglot = library(f"dialect={dialect!r}")
    if len(sql) > _LONGEST:
        return _refused([Refusal(f"it is longer than {_LONGEST:,} characters")])
    try:
        statements = [node for node in _parsed(sqlglot, sql, dialect) if node is not None]
        if len(statements) != 1:
            return _refused([Refusal(f"this is {len(statements)} statements; give one query")])
        if statements[0].key not in _QUERIES:
            return _refused([Refusal("this is not a query: give one SELECT")])
        return _written(sqlglot, statements[0], sql, dialect)
    except sqlglot.errors.ParseError as error:
        return _refused([_syntax_error(found) for found in error.errors])
    except sqlglot.errors.TokenError:
        return _refused([Refusal(f"this cannot be read as {dialect}: a quote may not be closed")])
    except RecursionError:
        return _refused([Refusal("this is nested too deeply")])


def place_in_source(text: str, dialect: str, sql: str, offset: int) -> int:
    """Return where in `text` (in bytes) that is which is at an offset (in bytes) of its translation.

    It is found by the word there, if that is as often in `text` as in `sql`. -1 if it is not, and
    if `text` is not translated to `sql`. Raises UsageError without the library.
    """
    if reader.bare(translate(text, dialect).sql) != sql:
        return -1
    before = sql.encode()[:offset].decode(errors="ignore")
    if (word := _WORD.match(sql, len(before))) is None:
        return -1
    pattern = re.compile(rf"\b{re.escape(word[0])}\b", re.IGNORECASE)
    starts = [match.start() for match in pattern.finditer(sql)]
    places = [match.start() for match in pattern.finditer(text)]
    if len(starts) != len(places) or len(before) not in starts:
        return -1
    return len(text[: places[starts.index(len(before))]].encode())


def _refused(refusals: list[Refusal]) -> Translation:
    ordered = sorted(dict.fromkeys(refusals), key=lambda refusal: (refusal.line, refusal.column))
    return Translation("", tuple(ordered[:_MOST]))


def _parsed(sqlglot: ModuleType, sql: str, dialect: str) -> "list[Expr | None]":
    try:
        nodes: list[Expr | None] = sqlglot.parse(
            sql, dialect=dialect, error_level=sqlglot.ErrorLevel.RAISE
        )
    except (sqlglot.errors.SqlglotError, RecursionError):
        raise
    except Exception as error:  # its parser fails in more ways than it documents
        raise sqlglot.errors.TokenError(str(error)) from None
    return nodes


def _syntax_error(found: dict[str, Any]) -> Refusal:
    """Return what the library's parser says, without its own terms."""
    token = str(found.get("highlight") or "")
    what = _TOKEN.sub(r"\1", str(found.get("description") or "syntax error"))
    what = _MISSING.sub(lambda match: f"{match[1].lower()} is not complete", what)
    if what.startswith("Invalid expression"):
        what = f"syntax error at or near {token!r}"
    column = int(found.get("col") or 0) - max(len(token) - 1, 0)
    return Refusal(clean(what[:1].lower() + what[1:]), int(found.get("line") or 0), max(column, 1))


def _written(sqlglot: ModuleType, node: "Expr", sql: str, dialect: str) -> Translation:
    """Return a query as DuckDB's; or what DuckDB has not got, each with its place in `sql`."""
    node, unlike = with_whole_divisions(sqlglot, node, dialect)
    unlike += other_numbers(node, dialect)
    problem = _unsupported(sqlglot, node)
    refusals = [*_culprits(sqlglot, node, sql, problem)] if problem else []
    text = ""
    with suppress(Exception):  # it failed above, too
        text = node.sql(
            dialect=OURS,
            pretty=True,
            comments=False,
            unsupported_level=sqlglot.ErrorLevel.IGNORE,
        )
    refusals += [_unknown(name, node, sql) for name in _unknown_functions(text)]
    refusals += [Refusal(what, *_place(inner, sql)) for inner, what in unlike]
    return _refused(refusals) if refusals else Translation(text)


def _unsupported(sqlglot: ModuleType, node: "Expr") -> str:
    """Return why a node cannot be written for DuckDB; '' if it can."""
    try:
        node.sql(dialect=OURS, unsupported_level=sqlglot.ErrorLevel.RAISE)
    except RecursionError:
        raise
    except Exception as error:  # UnsupportedError, and what its generator fails with
        message = clean(str(error).partition("\n")[0].strip().rstrip("."))
        return message or f"{node.key} cannot be translated"
    return ""


def _culprits(sqlglot: ModuleType, node: "Expr", sql: str, problem: str) -> Iterator[Refusal]:
    """Yield the smallest parts of a node that cannot be written for DuckDB."""
    inner = [
        (child, message)
        for child in node.iter_expressions()
        if (message := _unsupported(sqlglot, child))
    ]
    for child, message in inner:
        yield from _culprits(sqlglot, child, sql, message)
    if not inner:
        yield Refusal(problem, *_place(node, sql))


def _place(node: "Expr", sql: str) -> tuple[int, int]:
    """Return line and column of the first part of a node that has a place; zeros for none."""
    starts = [inner.meta["start"] for inner in node.walk() if "start" in inner.meta]
    if not starts:
        return 0, 0
    before = sql[: min(starts)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


# --------------------------------------------------------------------------------------- functions


def _unknown_functions(sql: str) -> list[str]:
    """Return the functions that a query calls and DuckDB does not have.

    None for a query that DuckDB cannot parse: its problem is reported where it is parsed.
    """
    try:
        return sorted(name for name in set(_called(reader.tree(sql))) if _is_missing(name))
    except Unreadable:
        return []


def _called(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _called(item)
    elif isinstance(node, dict):
        if node.get("class") in {"FUNCTION", "WINDOW"} and not node.get("is_operator"):
            yield str(node.get("function_name"))
        for value in node.values():
            yield from _called(value)


@lru_cache(maxsize=1024)
def _is_missing(name: str) -> bool:
    """Return whether DuckDB has no function of a name, as it is when no extension is loaded."""
    import duckdb

    quoted = '"' + name.replace('"', '""') + '"'
    try:
        PARSER.ask(f"explain select {quoted}()")
    except duckdb.CatalogException as error:
        return "does not exist" in str(error) or "extension" in str(error)
    except duckdb.Error:
        return False  # it has it, and wants arguments
    return False


def _unknown(name: str, node: "Expr", sql: str) -> Refusal:
    """Return that DuckDB does not have a function, with its place in the text that calls it."""
    what = f"DuckDB has no function {clean(name)}"
    for inner in node.walk():
        if inner.key == "anonymous" and inner.name.lower() == name.lower():
            return Refusal(what, *_place(inner, sql))
    written = re.search(rf"\b{re.escape(name)}\s*\(", sql, re.IGNORECASE)
    if written is None:
        return Refusal(f"{what}, which the translation calls")
    before = sql[: written.start()]
    return Refusal(what, before.count("\n") + 1, len(before) - before.rfind("\n"))
