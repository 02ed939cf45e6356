"""Finds the columns of a query's result that may hold sensitive values under another name.

A query is read for every name that it gives to a value, and for the names that the value is
computed from. Starting with the sensitive columns, all names that are computed from them are found,
wherever in the query they are; so more columns may be found than hold such values. Columns of a
star keep their names.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.engines.sql.reader import tree
from assay.plan.graph import Graph, sensitive_in
from assay.sensitive import secret

ANY = ".*"  # the pattern for a query of which the names of the result cannot be read
_ROW = "*"  # stands for all columns of a table; no column has this name
_COUNTS = {
    "count",
    "count_star",
    "count_if",
    "approx_count_distinct",
    "regr_count",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
}
_NULL_TESTS = {"OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"}


def traced(graph: Graph) -> Graph:
    """Return the graph with `renamed` set: the names that queries give to sensitive values."""
    products, patterns_of = dict(graph.products), graph.sensitive_sources
    for name in graph.order:
        product = products[name]
        patterns = sensitive_in(product, patterns_of)
        if patterns and product.sql:
            products[name] = product = replace(product, renamed=derived(product.sql, patterns))
            patterns = sensitive_in(product, patterns_of)
        if patterns:
            patterns_of[name] = patterns
    return replace(graph, products=products) if patterns_of else graph


def derived(sql: str, patterns: Collection[str]) -> tuple[str, ...]:
    """Return patterns of the names that a query gives to values of sensitive columns; sorted."""
    trace = _Trace(tables=set(_tables(tree(sql))))
    trace.look(tree(sql))
    names: set[str] = {_ROW}
    while True:
        added = {
            given.name
            for given in trace.given
            if given.name not in names and _is_secret(given.reads, names, patterns)
        }
        if not added:
            break
        names |= added
    if ANY in names:
        return (ANY,)
    return tuple(sorted(re.escape(name) for name in names - {_ROW} if not secret([name], patterns)))


def _is_secret(reads: Collection[str], names: set[str], patterns: Collection[str]) -> bool:
    return not names.isdisjoint(reads) or bool(secret(reads, patterns))


class _Given(Struct, frozen=True):
    """A name that a query gives to a value, and the names that the value is computed from."""

    name: str
    reads: frozenset[str]


class _Trace(Struct):
    """All names that a query gives to values; as a column, a name of `tables` is a whole row."""

    tables: set[str]
    given: list[_Given] = field(default_factory=list)

    def look(self, node: Any) -> None:
        """Collect the names that are given in a node and all nodes below it."""
        for inner in _nodes(node):
            for item in inner.get("select_list") or ():
                self._item(item)
            self._aliases(inner)
            match inner.get("type"):
                case "SET_OPERATION_NODE" if inner.get("setop_type") != "UNION_BY_NAME":
                    self._side_by_side(inner.get("children") or ())
                case "RECURSIVE_CTE_NODE":
                    self._side_by_side([inner["left"], inner["right"]])
                case "PIVOT":
                    self._give(ANY, [value for key, value in inner.items() if key != "source"])
                case "SHOW_REF":
                    self.given.append(_Given(ANY, frozenset({_ROW})))
                case "TABLE_FUNCTION":
                    name = str(inner.get("alias") or inner["function"].get("function_name", ""))
                    self._give(name, inner["function"])

    def _give(self, name: str, value: Any) -> None:
        if reads := self.reads(value):
            self.given.append(_Given(name.lower(), reads))

    def _item(self, item: dict[str, Any]) -> None:
        """Collect the name of an item of a select list; without an alias, its text is its name."""
        if item.get("class") == "STAR":
            self._star(item)
        elif alias := item.get("alias"):
            self._give(alias, item)
        elif item.get("class") == "COLUMN_REF":
            self._give(item["column_names"][-1], item)
        elif _ROW in self.reads(item) or item.get("function_name") == "unnest":
            self._give(ANY, item)

    def _star(self, item: dict[str, Any]) -> None:
        for entry in item.get("replace_list") or ():
            self._give(entry["key"], entry["value"])
        for entry in item.get("rename_list") or ():
            self.given.append(
                _Given(entry["value"].lower(), frozenset({str(entry["key"]["column"]).lower()}))
            )
        relation = str(item.get("relation_name") or "").lower()
        if relation and relation not in self.tables:  # the fields of a struct
            self.given.append(_Given(ANY, frozenset({relation})))
        if item.get("columns") and item.get("alias"):
            self.given.append(_Given(ANY, frozenset({_ROW})))

    def _aliases(self, node: dict[str, Any]) -> None:
        """Collect names that columns get by position: `t(a, b)`, `with t(a, b) as ...`."""
        names = [*(node.get("column_name_alias") or ()), *(node.get("aliases") or ())]
        # The node around a recursive query has the same names.
        if not names or node.get("type") == "RECURSIVE_CTE_NODE":
            return
        query = node.get("query_node") or (node.get("subquery") or {}).get("node") or {}
        lists = _select_lists(query)
        if node.get("type") in {"TABLE_FUNCTION", "EXPRESSION_LIST"}:
            lists = [[node.get("function") or node.get("values")] * len(names)]
        for place, name in enumerate(names):
            plain = all(len(items) > place and not _has_star(items) for items in lists)
            values = [items[place] for items in lists] if lists and plain else {"class": "STAR"}
            self._give(name, values)

    def _side_by_side(self, queries: Sequence[Any]) -> None:
        """Collect the names that values of later queries get from the first query, by position."""
        lists = [items for query in queries for items in _select_lists(query)]
        if len({tuple(item.get("class") == "STAR" for item in items) for items in lists}) > 1:
            self.given.append(_Given(ANY, frozenset({_ROW})))
            return
        for first, *later in zip(*lists, strict=True):
            name = first.get("alias") or (first.get("column_names") or ("",))[-1]
            if first.get("class") != "STAR":
                self._give(name or ANY, later)

    def reads(self, node: Any) -> frozenset[str]:
        """Return the names of columns that an expression takes values from."""
        return frozenset(self._reads(node))

    def _reads(self, node: Any) -> Iterator[str]:
        if isinstance(node, list | tuple):
            for item in node:
                yield from self._reads(item)
        if not isinstance(node, dict) or _is_no_value(node):
            return
        if node.get("class") == "COLUMN_REF":
            names = [str(name).lower() for name in node["column_names"]]
            yield from names[1:] if len(names) > 1 and names[0] in self.tables else names
            yield from {_ROW} if len(names) == 1 and names[0] in self.tables else ()
        elif node.get("class") in {"STAR", "POSITIONAL_REFERENCE"}:
            yield _ROW
        for value in node.values():
            yield from self._reads(value)


def _is_no_value(node: dict[str, Any]) -> bool:
    """Return whether an expression shows no value: a count, a rank, a test for null or rows."""
    is_call = node.get("class") in {"FUNCTION", "WINDOW"}
    is_count = is_call and str(node.get("function_name")).lower() in _COUNTS
    is_existence = node.get("subquery_type") in {"EXISTS", "NOT_EXISTS"}
    return is_count or is_existence or node.get("type") in _NULL_TESTS


def _has_star(items: Iterable[Any]) -> bool:
    return any(isinstance(item, dict) and item.get("class") == "STAR" for item in items)


def _select_lists(query: dict[str, Any]) -> list[list[Any]]:
    """Return the select lists of a query: one of each part of a UNION."""
    if query.get("type") == "SELECT_NODE":
        rows = query["from_table"].get("values")  # `values (...)` is read as a star over its rows
        return [list(row) for row in rows] if rows else [list(query["select_list"])]
    parts = query.get("children") or [query[side] for side in ("left", "right") if side in query]
    return [items for part in parts for items in _select_lists(part)] or [[{"class": "STAR"}]]


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield all nodes of a tree."""
    inner: Iterable[Any] = ()
    if isinstance(node, dict):
        yield node
        inner = node.values()
    elif isinstance(node, list):
        inner = node
    for value in inner:
        yield from _nodes(value)


def _tables(node: Any) -> Iterator[str]:
    """Yield the names and aliases of tables, in lower case."""
    for inner in _nodes(node):
        if inner.get("type") in {"BASE_TABLE", "SUBQUERY", "TABLE_FUNCTION", "JOIN"}:
            names = [inner.get("alias"), inner.get("table_name")]
            yield from (str(name).lower() for name in names if name)
