"""Queries as they are pleasant to read."""

from collections.abc import Iterator

from assay.engines.sql.changes.exact import is_same
from assay.engines.sql.sqlglot import library
from assay.engines.sql.tables import Unreadable
from assay.errors import UsageError


def formatted(sql: str) -> str:
    """Return a query of DuckDB over several lines; as it is if it cannot be formatted.

    It is not changed without the library sqlglot, and where DuckDB would read another query from
    what that writes.
    """
    try:
        return next((text for text in _written(sql) if is_same(sql, text)), sql)
    except (UsageError, Unreadable):
        return sql
    except Exception:  # the library's parser fails in more ways than it documents
        return sql


def _written(sql: str) -> Iterator[str]:
    """Yield a query as the library writes it, and then with numbers in place of texts in intervals."""
    node = library("formatting a query").parse_one(sql, dialect="duckdb")
    yield str(node.sql(dialect="duckdb", pretty=True))
    for inner in node.walk():
        length = inner.this if inner.key == "interval" else None
        if length is not None and length.key == "literal" and length.name.isdigit():
            length.set("is_string", False)
    yield str(node.sql(dialect="duckdb", pretty=True))
