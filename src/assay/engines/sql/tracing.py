"""Which columns of a query's result may hold values of sensitive columns under another name.

A query is read for what gives a value a name: each name, and the names that the value behind it is made of. From
the sensitive names others follow, wherever in the query they are. So it errs on the side of too many. The columns
of a star keep their names.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from assay.engines.sql.reader import tree
from assay.plan.graph import Graph, sensitive_in
from assay.sensitive import secret

ANY = ".*"  # the pattern of a query that does not tell under which names values come out
_ROW = "*"  # stands for all columns of a table; no column of a query is called so
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
_TELL_NO_VALUE = {"OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"}


def traced(graph: Graph) -> Graph:
    """Return a graph with what the queries of products call sensitive values by other names."""
    products, found = dict(graph.products), dict[str, frozenset[str]]()
    for name in graph.order:
        product = products[name]
        if (patterns := sensitive_in(product, found)) and product.sql:
            products[name] = product = replace(product, renamed=derived(product.sql, patterns))
            patterns = sensitive_in(product, found)
        if patterns:
            found[name] = patterns
    return Graph(products=products, sources=graph.sources) if found else graph


def derived(sql: str, patterns: Collection[str]) -> tuple[str, ...]:
    """Return patterns of the names that a query gives to values of columns that `patterns` match; sorted."""
    trace = _Trace(tables=set(_tables(tree(sql))))
    trace.look(tree(sql))
    found: set[str] = {_ROW}
    while more := {
        g.name for g in trace.given if g.name not in found and _is_secret(g.reads, found, patterns)
    }:
        found |= more
    if ANY in found:
        return (ANY,)
    return tuple(sorted(re.escape(name) for name in found - {_ROW} if not secret([name], patterns)))


def _is_secret(reads: Collection[str], found: set[str], patterns: Collection[str]) -> bool:
    return not found.isdisjoint(reads) or bool(secret(reads, patterns))


class _Given(Struct, frozen=True):
    """A name that is given to a value, and the names that the value is made of."""

    name: str
    reads: frozenset[str]


class _Trace(Struct):
    """All names that a query gives; `tables` are those of its tables, which stand for whole rows as columns."""

    tables: set[str]
    given: list[_Given] = field(default_factory=list)

    def look(self, node: Any) -> None:
        """Gather the names that are given in a node and all below it."""
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
        """Gather what an item of a select list is called; what has no name is called by the names in it."""
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
        """Gather names that columns get by their places: `t(a, b)`, `with t(a, b) as ...`."""
        names = [*(node.get("column_name_alias") or ()), *(node.get("aliases") or ())]
        if not names or node.get("type") == "RECURSIVE_CTE_NODE":  # what it stands in has the same
            return
        lists = _select_lists(
            node.get("query_node") or (node.get("subquery") or {}).get("node") or {}
        )
        if node.get("type") in {"TABLE_FUNCTION", "EXPRESSION_LIST"}:
            lists = [[node.get("function") or node.get("values")] * len(names)]
        for place, name in enumerate(names):
            plain = all(len(items) > place and not _has_star(items) for items in lists)
            self._give(
                name, [items[place] for items in lists] if lists and plain else {"class": "STAR"}
            )

    def _side_by_side(self, queries: Sequence[Any]) -> None:
        """Gather the names that values of later queries get from the first, by their places."""
        lists = [items for query in queries for items in _select_lists(query)]
        if len({tuple(item.get("class") == "STAR" for item in items) for items in lists}) > 1:
            self.given.append(_Given(ANY, frozenset({_ROW})))
            return
        for first, *others in zip(*lists, strict=True):
            name = first.get("alias") or (first.get("column_names") or ("",))[-1]
            if first.get("class") != "STAR":
                self._give(name or ANY, others)

    def reads(self, node: Any) -> frozenset[str]:
        """Return the names of columns that an expression takes values from."""
        return frozenset(self._reads(node))

    def _reads(self, node: Any) -> Iterator[str]:
        if isinstance(node, list | tuple):
            for item in node:
                yield from self._reads(item)
        if not isinstance(node, dict) or _tells_no_value(node):
            return
        if node.get("class") == "COLUMN_REF":
            names = [str(name).lower() for name in node["column_names"]]
            yield from names[1:] if len(names) > 1 and names[0] in self.tables else names
            yield from {_ROW} if len(names) == 1 and names[0] in self.tables else ()
        elif node.get("class") in {"STAR", "POSITIONAL_REFERENCE"}:
            yield _ROW
        for value in node.values():
            yield from self._reads(value)


def _tells_no_value(node: dict[str, Any]) -> bool:
    counts = (
        node.get("class") in {"FUNCTION", "WINDOW"}
        and str(node.get("function_name")).lower() in _COUNTS
    )
    return (
        counts
        or node.get("type") in _TELL_NO_VALUE
        or node.get("subquery_type") in {"EXISTS", "NOT_EXISTS"}
    )


def _has_star(items: Iterable[Any]) -> bool:
    return any(isinstance(item, dict) and item.get("class") == "STAR" for item in items)


def _select_lists(query: dict[str, Any]) -> list[list[Any]]:
    """Return the select lists of a query: several of one that puts others together."""
    if query.get("type") == "SELECT_NODE":
        rows = query["from_table"].get(
            "values"
        )  # of `values (...)`, which is read as a star over them
        return [list(row) for row in rows] if rows else [list(query["select_list"])]
    inner = query.get("children") or [query[side] for side in ("left", "right") if side in query]
    return [items for one in inner for items in _select_lists(one)] or [[{"class": "STAR"}]]


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield all nodes of a tree."""
    if isinstance(node, dict):
        yield node
    inner: Iterable[Any] = (
        node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    )
    for value in inner:
        yield from _nodes(value)


def _tables(node: Any) -> Iterator[str]:
    for inner in _nodes(node):
        if inner.get("type") in {"BASE_TABLE", "SUBQUERY", "TABLE_FUNCTION", "JOIN"}:
            yield from (
                str(inner[key]).lower() for key in ("alias", "table_name") if inner.get(key)
            )
