"""Decides whether a query finds in a table what it finds in its parts, one by one."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from assay.engines.sql import reader
from assay.engines.sql.clock import CLOCKS
from assay.engines.sql.tables import Unreadable

# Common functions, so that the list of DuckDB's functions is read only for others: it is slow.
_TOTALS = {"count", "count_star", "count_if", "sum", "avg", "min", "max", "bool_and", "bool_or"}
_PLAIN = {"+", "-", "*", "/", "%", "||", "~~", "!~~"}
_ACROSS_ROWS = {"SUBQUERY", "WINDOW", "LAMBDA", "POSITIONAL_REFERENCE"}


@lru_cache(maxsize=4096)
def partwise(sql: str, split: str) -> bool:
    """Return whether a query over `this` reads single rows, or groups that each lie in one part.

    `split` is the column that gives a row's part, '' if no column does. False if in doubt.
    """
    try:
        node = reader.tree(sql)
    except Unreadable:
        return False
    if node.get("type") != "SELECT_NODE" or not _is_plain(node) or not is_settled_node(node):
        return False
    if _is_grouped(node):
        single = len(node["group_sets"]) <= 1
        return bool(split) and single and any(_is(key, split, node) for key in _keys(node))
    return not node["having"] and not aggregates_in(node)


@lru_cache(maxsize=4096)
def is_settled(condition: str) -> bool:
    """Return whether a condition has the same result for a row at any time; False if in doubt."""
    try:
        return is_settled_node(reader.tree(f"select (\n{condition}\n)"))
    except Unreadable:
        return False


@lru_cache(maxsize=4096)
def has_window(sql: str) -> bool:
    """Return whether a query has window functions (`over (...)`, `qualify`)."""
    try:
        node = reader.tree(sql)
    except Unreadable:
        return False
    return any(inner.get("class") == "WINDOW" for inner in nodes(node))


def is_settled_node(node: Any) -> bool:
    """Return whether a part of a tree has the same result for a row at any time."""
    names = {str(part).lower() for inner in nodes(node) for part in inner.get("column_names", ())}
    called = calls(node) - _TOTALS - _PLAIN
    return not (called and called & reader.functions()[1]) and not names.intersection(CLOCKS)


def _is_plain(node: Mapping[str, Any]) -> bool:
    """Return whether a query reads `this` alone, as a whole, and returns each row once."""
    table = node["from_table"]
    if table.get("type") != "BASE_TABLE" or table["schema_name"]:
        return False
    if str(table["table_name"]).lower() != "this":
        return False
    if table["sample"] or table["column_name_alias"] or node["sample"] or node["qualify"]:
        return False
    if any(modifier["type"] != "ORDER_MODIFIER" for modifier in node["modifiers"]):
        return False
    if node.get("cte_map", {}).get("map"):
        return False
    return not any(inner.get("class") in _ACROSS_ROWS for inner in nodes(node))


def _is_grouped(node: Mapping[str, Any]) -> bool:
    return bool(node["group_expressions"]) or node["aggregate_handling"] == "FORCE_AGGREGATES"


def _keys(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what a query groups by.

    A number stands for an item of the select list. `group by all` groups by all items: those that
    are aggregates are no columns, and do no harm here.
    """
    if not node["group_expressions"]:
        yield from node["select_list"]
    for key in node["group_expressions"]:
        is_constant = key.get("class") == "CONSTANT"
        number = str(key.get("literal", {}).get("text", "")) if is_constant else ""
        if not number:
            yield key
        elif number.isdecimal() and 0 < int(number) <= len(node["select_list"]):
            yield node["select_list"][int(number) - 1]


def _is(key: Mapping[str, Any], column: str, node: Mapping[str, Any]) -> bool:
    """Return whether a key is this column, not a field of the same name in another column."""
    if key.get("class") != "COLUMN_REF":
        return False
    *table, name = (str(part).lower() for part in key["column_names"])
    table_names = {"this", str(node["from_table"]["alias"]).lower()} - {""}
    is_field = bool(table) and (len(table) > 1 or table[0] not in table_names)
    return name == column.lower() and not is_field


def calls(node: Any) -> set[str]:
    """Return the names of the functions that are called in a part of a tree."""
    return {
        str(inner.get("function_name", "")).lower()
        for inner in nodes(node)
        if inner.get("class") == "FUNCTION"
    }


def nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a node of a tree and all nodes below it."""
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
    uncommon = called - _TOTALS - _PLAIN
    return called & _TOTALS | (uncommon & reader.functions()[0] if uncommon else set())
