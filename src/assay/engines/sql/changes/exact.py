"""What is certain about two queries, since DuckDB itself reads the same from both."""

from collections.abc import Iterator
from typing import Any

from assay.engines.sql.reader import placeless, tree

_TABLES = {"BASE_TABLE", "SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "JOIN", "EMPTY"}
# Tables whose columns are named by more than what they contain: letter case may count.
_NAMING = {"PIVOT", "SHOW_REF", "COLUMN_DATA", "BOX_RENDERER"}


def is_same(before: str, after: str) -> bool:
    """Return whether two queries are the same but for layout, comments and the case of names of tables and types.

    Raises Unreadable for a text that is no query which only reads.
    """
    return _same(tree(before), tree(after))


def has_same_rows(before: str, after: str) -> bool:
    """Return whether two queries differ only in how they sort their whole result, by its columns.

    An expression in ORDER BY is not taken for harmless: an aggregate there makes one row of all.
    Raises Unreadable for a text that is no query which only reads.
    """
    first, second = tree(before), tree(after)
    if _decides_on_rows(first) or _decides_on_rows(second):
        return False
    return _same(_unsorted(first), _unsorted(second))


def _same(before: dict[str, Any], after: dict[str, Any]) -> bool:
    before, after = placeless(before), placeless(after)
    return before == after or _folded(before) == _folded(after)


def _decides_on_rows(node: dict[str, Any]) -> bool:
    """Return whether the order of a query may decide on its rows, as with LIMIT or DISTINCT ON."""
    for modifier in node.get("modifiers", ()):
        if modifier.get("type") == "ORDER_MODIFIER":
            keys = [order.get("expression") or {} for order in modifier.get("orders", ())]
            if not {key.get("class") for key in keys} <= {"COLUMN_REF", "CONSTANT"}:
                return True
        elif modifier.get("type") != "DISTINCT_MODIFIER" or modifier.get("distinct_on_targets"):
            return True
    return False


def _unsorted(node: dict[str, Any]) -> dict[str, Any]:
    kept = [m for m in node.get("modifiers", ()) if m.get("type") != "ORDER_MODIFIER"]
    return {**node, "modifiers": kept}


def _folded(node: Any) -> Any:
    """Return a tree with the names of tables and types in lower case, where no column's name is made of one.

    The names of columns stay: those of a result are part of it. A column without an alias is named
    after its whole expression, with the tables in it, so that this stays, too.
    """
    if any(kind in _NAMING for kind in _kinds(node)):
        return node
    return _fold(node)


def _kinds(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _kinds(item)
    elif isinstance(node, dict):
        yield str(node.get("type"))
        for value in node.values():
            yield from _kinds(value)


def _fold(node: Any) -> Any:
    if isinstance(node, list):
        return [_fold(item) for item in node]
    if not isinstance(node, dict):
        return node
    folded = {
        key: [item if _names_itself(item) else _fold(item) for item in value]
        if key == "select_list"
        else _fold(value)
        for key, value in node.items()
    }
    if node.get("class") == "COLUMN_REF":
        *tables, column = node["column_names"]
        folded["column_names"] = [*(name.lower() for name in tables), column]
    elif node.get("type") in _TABLES and "class" not in node:
        for key in ("alias", "table_name", "schema_name", "catalog_name"):
            if key in node:
                folded[key] = node[key].lower()
        if "qualified_name" in node:
            folded["qualified_name"] = str(node["qualified_name"]).lower()
    elif "type_name" in node:
        folded["type_name"] = str(node["type_name"]).lower()
        folded["qualified_name"] = str(node.get("qualified_name")).lower()
    elif "key" in node and "query_node" in (node.get("value") or ()):
        folded["key"] = node["key"].lower()
    return folded


def _names_itself(item: Any) -> bool:
    """Return whether a column of a result is named after its expression."""
    return not item.get("alias") and item.get("class") not in {"COLUMN_REF", "STAR"}
