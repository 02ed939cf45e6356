"""What changed between two queries, in words."""

from typing import TYPE_CHECKING

from assay.engines.sql.changes.comparison import Comparison, unwrapped
from assay.engines.sql.changes.exact import has_same_rows, is_same
from assay.engines.sql.changes.expressions import QUERIES
from assay.engines.sql.changes.lines import line_changes
from assay.engines.sql.changes.words import Words, bounded
from assay.engines.sql.sqlglot import library
from assay.engines.sql.tables import Unreadable
from assay.errors import UsageError

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_LONGEST = 100_000  # characters of a query that is compared by its syntax
_MOST_LINES = 8  # lines that are listed if a query cannot be compared by its syntax
FORMATTING_ONLY = "formatting only"


def query_changes(before: str, after: str) -> tuple[str, ...]:
    """Return how one DuckDB query differs from another, in words, most local parts named.

        query_changes("select sum(net) as r from lines", "select sum(gross) as r from lines")
        # ("sum(net) -> sum(gross) as r",)

    Nothing is returned for two equal texts, "formatting only" if DuckDB reads both as the same
    query, and "order only: …" if they differ in nothing but how the whole result is sorted: these
    are certain. The others list what differs as the library sqlglot reads it. Where it reads no
    difference, cannot read a query, or is not installed, the first text says so, and the lines that
    differ follow. At most 21 texts, of at most 200 characters.
    """
    if before == after:
        return ()
    try:
        if is_same(before, after):
            return (FORMATTING_ONLY,)
        sorts_only = has_same_rows(before, after)
    except (Unreadable, RecursionError):
        sorts_only = False
    words = Words()
    try:
        Comparison(words).queries(_read(before, "old"), _read(after, "new"))
    except _NotCompared as reason:
        return _by_line(f"the query changed ({reason})", before, after)
    except RecursionError:
        return _by_line("the query changed (it is nested too deeply to be compared)", before, after)
    if not words:
        said = "the query is written differently; what that changes is not recognised"
        return _by_line(said, before, after)
    changes = words.bounded()
    return tuple(f"order only: {text}" for text in changes) if sorts_only else changes


def _by_line(said: str, before: str, after: str) -> tuple[str, ...]:
    lines = bounded([*line_changes(before, after)], most=_MOST_LINES)
    return (*bounded([said]), *lines)


class _NotCompared(Exception):
    """Why two queries cannot be compared by their syntax."""


def _read(text: str, label: str) -> "Expr":
    """Return a query as the library reads it; raises _NotCompared if it does not."""
    try:
        sqlglot = library("telling its difference in words")
    except UsageError as error:
        raise _NotCompared(f"{error.what}: {error.hint}") from None
    if len(text) > _LONGEST:
        raise _NotCompared(f"the {label} one is longer than {_LONGEST:,} characters")
    try:
        node: Expr = unwrapped(sqlglot.parse_one(text, dialect="duckdb"))
    except RecursionError:
        raise
    except Exception as error:  # its parser fails in more ways than it documents
        [first, *_] = getattr(error, "errors", None) or [{}]
        at = f" at line {first['line']} column {first['col']}" if first.get("line") else ""
        raise _NotCompared(f"sqlglot cannot read the {label} one{at}") from None
    if node.key not in QUERIES:
        raise _NotCompared(f"sqlglot reads the {label} one as something else than a query")
    return node
