"""What sqlglot hands over to DuckDB unchanged although DuckDB answers something else to it.

A few cases, which are common and would go unnoticed: a query with one of them is refused.
"""

from collections.abc import Iterator
from contextlib import suppress
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_INTEGERS = {"TINYINT", "SMALLINT", "INT", "BIGINT", "INT128", "UTINYINT", "USMALLINT", "UINT"}
_INTEGERS |= {"UBIGINT", "MEDIUMINT", "UMEDIUMINT", "UINT128"}
_DIVISION = (
    "{dialect} drops the remainder when it divides whole numbers, and DuckDB does not; whether these"
    " are whole numbers is not known: cast one of them (to a decimal type, or both to integers)"
)
_WEEKDAY = "{dialect} numbers the days of the week from 1, and DuckDB from 0 (Sunday)"
_WEEK = "{dialect} numbers weeks in another way than DuckDB, which counts ISO weeks"
# Dialects with Sunday as day 1, and with weeks that do not begin on Monday or are not those of ISO.
_FROM_ONE = {"bigquery", "databricks", "doris", "fabric", "hive", "mysql", "oracle", "singlestore"}
_FROM_ONE |= {"spark", "spark2", "starrocks", "tsql"}
_OTHER_WEEKS = {
    "bigquery",
    "doris",
    "fabric",
    "mysql",
    "oracle",
    "singlestore",
    "starrocks",
    "tsql",
}
_DAYS = {"DAYOFWEEK", "DOW", "WEEKDAY", "DW"}


def with_whole_divisions(
    sqlglot: ModuleType, node: "Expr", dialect: str
) -> "tuple[Expr, list[tuple[Expr, str]]]":
    """Return a query with divisions of whole numbers written as such, and those that are unclear.

    Each of the latter comes with what is unclear about it.
    """
    typed = [inner for inner in node.walk() if inner.key == "div" and inner.args.get("typed")]
    if not typed:
        return node, []
    with suppress(Exception):  # the types stay unknown, and the divisions unclear
        node = sqlglot.optimizer.annotate_types.annotate_types(node, dialect=dialect)
    unclear: list[tuple[Expr, str]] = []
    for inner in list(node.walk()):
        if inner.key != "div" or not inner.args.get("typed"):
            continue
        types = [_type(inner.args[side]) for side in ("this", "expression")]
        if all(name in _INTEGERS for name in types):
            inner.set("typed", False)
            whole = sqlglot.exp.IntDiv(this=inner.this, expression=inner.args["expression"])
            if inner is node:
                node = whole
            else:
                inner.replace(whole)
        elif all(name in {*_INTEGERS, "UNKNOWN"} for name in types):
            unclear.append((inner, _DIVISION.format(dialect=dialect)))
    return node, unclear


def _type(node: "Expr") -> str:
    kind = node.type
    return kind.this.name if kind is not None else "UNKNOWN"


def other_numbers(node: "Expr", dialect: str) -> "Iterator[tuple[Expr, str]]":
    """Yield the parts of a query that number weeks or their days otherwise, and how."""
    for inner in node.walk():
        unit = inner.name.upper() if inner.key == "extract" else ""
        if dialect in _FROM_ONE and (inner.key == "dayofweek" or unit in _DAYS):
            yield inner, _WEEKDAY.format(dialect=dialect)
        if dialect in _OTHER_WEEKS and (inner.key == "week" or unit == "WEEK"):
            yield inner, _WEEK.format(dialect=dialect)
