"""Says whether what a query finds in a table is what it finds in each of its parts, put together."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from assay.engines.sql import reader
from assay.engines.sql.clock import CLOCKS
from assay.engines.sql.tables import Unreadable

# What is called most need not be asked about, which takes DuckDB as long as a small query.
_TOTALS = {"count", "count_star", "count_if", "sum", "avg", "min", "max", "bool_and", "bool_or"}
_PLAIN = {"+", "-", "*", "/", "%", "||", "~~", "!~~"}
_ACROSS_ROWS = {"SUBQUERY", "WINDOW", "LAMBDA", "POSITIONAL_REFERENCE"}


@lru_cache(maxsize=4096)
def partwise(sql: str, split: str) -> bool:
    """Say whether a query over `this` looks at rows one by one, or at groups that each are in one part.

    `split` is the column by whose values the parts are told apart, '' when rows do not say. When in doubt, it is not.
    """
    try:
        node = reader.tree(sql)
    except Unreadable:
        return False
    if node.get("type") != "SELECT_NODE" or not _is_plain(node) or not is_settled_node(node):
        return False
    if _is_grouped(node):
        return (
            bool(split)
            and len(node["group_sets"]) <= 1
            and any(_is(key, split, node) for key in _keys(node))
        )
    return not node["having"] and not aggregates_in(node)


@lru_cache(maxsize=4096)
def is_settled(condition: str) -> bool:
    """Say whether a condition says tomorrow of the same row what it says today; when in doubt, it does not."""
    try:
        return is_settled_node(reader.tree(f"select (\n{condition}\n)"))
    except Unreadable:
        return False


@lru_cache(maxsize=4096)
def has_window(sql: str) -> bool:
    """Say whether a query looks at other rows than its own (`over (...)`, `qualify`)."""
    try:
        node = reader.tree(sql)
    except Unreadable:
        return False
    return any(inner.get("class") == "WINDOW" for inner in nodes(node))


def is_settled_node(node: Any) -> bool:
    """Say whether a part of a tree says tomorrow of the same row what it says today."""
    names = {str(part).lower() for inner in nodes(node) for part in inner.get("column_names", ())}
    called = calls(node) - _TOTALS - _PLAIN
    return not (called and called & reader.functions()[1]) and not names.intersection(CLOCKS)


def _is_plain(node: Mapping[str, Any]) -> bool:
    """Say whether a query reads `this` and nothing else, all of it, and gives every row that it finds once."""
    table = node["from_table"]
    if (
        table.get("type") != "BASE_TABLE"
        or str(table["table_name"]).lower() != "this"
        or table["schema_name"]
    ):
        return False
    if table["sample"] or table["column_name_alias"] or node["sample"] or node["qualify"]:
        return False
    if node.get("cte_map", {}).get("map") or any(
        m["type"] != "ORDER_MODIFIER" for m in node["modifiers"]
    ):
        return False
    return not any(inner.get("class") in _ACROSS_ROWS for inner in nodes(node))


def _is_grouped(node: Mapping[str, Any]) -> bool:
    return bool(node["group_expressions"]) or node["aggregate_handling"] == "FORCE_AGGREGATES"


def _keys(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a query groups by: columns by name, by their number in the select list, or all that are no totals."""
    if not node["group_expressions"]:
        yield from node["select_list"]
    for key in node["group_expressions"]:
        number = (
            str(key.get("literal", {}).get("text", "")) if key.get("class") == "CONSTANT" else ""
        )
        if not number:
            yield key
        elif number.isdecimal() and 0 < int(number) <= len(node["select_list"]):
            yield node["select_list"][int(number) - 1]


def _is(key: Mapping[str, Any], column: str, node: Mapping[str, Any]) -> bool:
    """Say whether a key is this column, and no field of another that is called so."""
    if key.get("class") != "COLUMN_REF":
        return False
    *table, name = (str(part).lower() for part in key["column_names"])
    known = {"this", str(node["from_table"]["alias"]).lower()} - {""}
    return name == column.lower() and (not table or (len(table) == 1 and table[0] in known))


def calls(node: Any) -> set[str]:
    """Return the names of the functions that are called in a part of a tree."""
    return {
        str(inner.get("function_name", "")).lower()
        for inner in nodes(node)
        if inner.get("class") == "FUNCTION"
    }


def nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a part of a tree, and all parts of it."""
    if isinstance(node, Mapping):
        yield node
        for inner in node.values():
            yield from nodes(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from nodes(inner)


def aggregates_in(node: Any) -> set[str]:
    """Return the names of the aggregates that are called in a part of a tree."""
    called = calls(node)
    others = called - _TOTALS - _PLAIN
    return called & _TOTALS | (others & reader.functions()[0] if others else set())
