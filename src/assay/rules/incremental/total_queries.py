"""Splits a query over a table in parts: totals of each part, and a query that merges them."""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from msgspec import Struct, field

from assay.engines.sql import reader
from assay.engines.sql.splitting import aggregates_in, is_settled_node, nodes
from assay.engines.sql.tables import Unreadable

PART, TOTALS = "__part", "__totals"  # names of tables; that of the totals is followed by a number
_Node = dict[str, Any]
# Kinds of expressions that may read several rows, or whose meaning depends on their place.
_ACROSS_ROWS = {
    "SUBQUERY",
    "WINDOW",
    "LAMBDA",
    "POSITIONAL_REFERENCE",
    "STAR",
    "PARAMETER",
    "COLLATE",
    "DEFAULT",
}
_ALIASES = {"mean": "avg", "countif": "count_if", "count_star": "count", "logical_and": "bool_and"}
# By aggregate: the aggregates of each part, and the SQL that merges them. DuckDB, too, computes
# `avg` as a quotient of doubles.
_MERGED = {
    "count": (["count"], "cast(sum({0}) as bigint)"),
    "count_if": (["count_if"], "sum({0})"),
    "sum": (["sum"], "sum({0})"),
    "min": (["min"], "min({0})"),
    "max": (["max"], "max({0})"),
    "bool_and": (["bool_and"], "bool_and({0})"),
    "bool_or": (["bool_or"], "bool_or({0})"),
    "avg": (["sum", "count"], "cast(sum({0}) as double) / cast(sum({1}) as double)"),
}


class Block(Struct, frozen=True, kw_only=True):
    """Totals of a table in parts: `query` computes them for one part, the table `__part`."""

    table: str
    query: str


class TotalsQuery(Struct, frozen=True, kw_only=True):
    """A query over totals: the table `__totals0` holds those of all parts by the first block.

    `tables` are the other tables that it reads, as a whole.
    """

    sql: str
    blocks: tuple[Block, ...]
    tables: frozenset[str]


@lru_cache(maxsize=4096)
def split(sql: str, tables: frozenset[tuple[str, frozenset[str]]]) -> TotalsQuery | None:
    """Return a query split into totals of parts and a query over them; None if that is impossible.

    `tables` are the tables in parts, each with its columns in lower case. A query without totals of
    these tables, or that may need all rows of `this`, cannot be split.
    """
    try:
        splitter = _Splitter(dict(tables))
        node = splitter.split(reader.tree(sql))
        if not splitter.blocks:
            return None
        merging = reader.written(node)
        tables_read = {str(t) for t in reader.parse(merging).tables if not _is_totals(t.name)}
    except (Unreadable, _NotSplittable):
        return None
    if "this" in tables_read:
        return None
    return TotalsQuery(sql=merging, blocks=tuple(splitter.blocks), tables=frozenset(tables_read))


def _is_totals(table: str) -> bool:
    return table.startswith(TOTALS)


class _NotSplittable(Exception):
    """Part of a query has to read the rows of all parts together."""


class _Splitter:
    """Splits each SELECT with totals in a tree in two, and collects those of the parts."""

    def __init__(self, tables: Mapping[str, frozenset[str]]) -> None:
        self.tables = tables
        self.blocks: list[Block] = []

    def split(self, node: Any) -> Any:
        """Return a tree that reads the totals of parts instead of the tables, where possible."""
        if isinstance(node, list):
            return [self.split(inner) for inner in node]
        if not isinstance(node, dict):
            return node
        ctes = {entry["key"].lower() for entry in node.get("cte_map", {}).get("map", ())}
        if ctes & set(self.tables):
            raise _NotSplittable
        node = {key: self.split(value) for key, value in node.items()}
        table = _table_of(node)
        if table not in self.tables:
            return node
        try:
            select = _TotalsSelect(node, table, self.tables[table])
            of_part, merging = select.split(f"{TOTALS}{len(self.blocks)}")
            self.blocks.append(Block(table=table, query=reader.written(of_part)))
        except (_NotSplittable, Unreadable):
            return node
        return merging


class _TotalsSelect(Struct):
    """One SELECT of totals, with the keys and the aggregates that are computed in each part."""

    node: _Node
    table: str
    columns: frozenset[str]
    keys: list[_Node] = field(default_factory=list)
    aggregates: list[_Node] = field(default_factory=list)

    def split(self, totals: str) -> tuple[_Node, _Node]:
        """Return the query of a part, and the query that merges the table of this name."""
        source = self.node["from_table"]
        alias = str(source["alias"] or source["table_name"]).lower()
        if alias in self.columns:
            raise _NotSplittable
        named = [{**item, "alias": _name(item)} for item in self.node["select_list"]]
        node = _unqualified({**self.node, "select_list": named}, alias)
        self.keys = list(self._keys(node))
        for key in self.keys:
            _check_row(key)
            if not any(inner.get("class") == "COLUMN_REF" for inner in nodes(key)):
                raise _NotSplittable
        _check_row(node["where_clause"])
        aliases = frozenset({item["alias"].lower() for item in named} - self.columns)
        select = [self._merging(item, frozenset()) for item in node["select_list"]]
        having = self._merging(node["having"], aliases)
        orders = self._merging(node["modifiers"], aliases)
        if not self.aggregates:
            raise _NotSplittable
        merging = self._select(node, totals, select_list=select, having=having, modifiers=orders)
        return self._of_part(node), merging

    def _keys(self, node: _Node) -> Iterator[_Node]:
        """Yield the expressions to group by, where the query names them by number or alias, too."""
        items = node["select_list"]
        if node["aggregate_handling"] == "FORCE_AGGREGATES" and not node["group_expressions"]:
            yield from (item for item in items if not aggregates_in(item))
        elif len(node["group_sets"]) > 1:
            raise _NotSplittable
        for key in node["group_expressions"]:
            number = name = ""
            if key.get("class") == "CONSTANT":
                number = str(key.get("literal", {}).get("text", ""))
            elif key.get("class") == "COLUMN_REF":
                name = str(key["column_names"][-1]).lower()
            if number.isdecimal() and 0 < int(number) <= len(items):
                yield items[int(number) - 1]
            elif name and name not in self.columns:
                yield from [item for item in items if item["alias"].lower() == name][:1]
            else:
                yield key

    def _of_part(self, node: _Node) -> _Node:
        """Return the query of the keys and aggregates of a part."""
        keys = [{**key, "alias": f"__key{n}"} for n, key in enumerate(self.keys)]
        values = [{**value, "alias": f"__value{n}"} for n, value in enumerate(self.aggregates)]
        select = self._select(node, PART, select_list=[*keys, *values], having=None, modifiers=[])
        return select | {
            "where_clause": node["where_clause"],
            "group_expressions": [{**key, "alias": ""} for key in self.keys],
        }

    def _select(self, node: _Node, table: str, **clauses: Any) -> _Node:
        """Return a SELECT from a table with these clauses, grouped by the columns of the keys."""
        grouped = [_column(f"__key{n}") for n in range(len(self.keys))]
        return {
            **node,
            "where_clause": None,
            "aggregate_handling": "STANDARD_HANDLING",
            "from_table": reader.tree(f"from {table}")["from_table"],
            "group_expressions": grouped,
            "group_sets": [list(range(len(grouped)))] if grouped else [],
            **clauses,
        }

    def _merging(self, node: Any, aliases: frozenset[str]) -> Any:
        """Return an expression over rows of a group as one over the totals of the parts."""
        if isinstance(node, list):
            return [self._merging(inner, aliases) for inner in node]
        if not isinstance(node, dict):
            return node
        for number, key in enumerate(self.keys):
            if _is_same(key, node):
                return _column(f"__key{number}") | {"alias": node["alias"]}
        kind = node.get("class")
        if kind == "SUBQUERY":
            return node  # split already; if it names a column of this table, the query fails
        if kind == "COLUMN_REF":
            names = node["column_names"]
            if len(names) > 1 or names[0].lower() not in aliases:
                raise _NotSplittable
        if kind in _ACROSS_ROWS - {"PARAMETER", "COLLATE"}:
            raise _NotSplittable
        if kind == "FUNCTION" and str(node["function_name"]).lower() in aggregates_in(node):
            return self._merged(node) | {"alias": node["alias"]}
        return {key: self._merging(value, aliases) for key, value in node.items()}

    def _merged(self, node: _Node) -> _Node:
        """Return the expression that merges an aggregate of the parts."""
        name = str(node["function_name"]).lower()
        name = _ALIASES.get(name, name)
        arguments = node["arguments"]
        if name not in _MERGED or node["distinct"] or node["schema"] or node["export_state"]:
            raise _NotSplittable
        if len(arguments) != 1 and (name != "count" or arguments):
            raise _NotSplittable
        if node["order_bys"]["orders"] or any(argument["name"] for argument in arguments):
            raise _NotSplittable
        _check_row([arguments, node["filter"]])
        functions, merging = _MERGED[name]
        columns = [self._column_of({**node, **_function(f, node)}) for f in functions]
        return dict(_expression(merging.format(*columns)))

    def _column_of(self, aggregate: _Node) -> str:
        """Return the column of an aggregate in the totals of a part; add it if it is new."""
        for number, existing in enumerate(self.aggregates):
            if _is_same(existing, aggregate):
                return f"__value{number}"
        self.aggregates.append(aggregate)
        return f"__value{len(self.aggregates) - 1}"


def _table_of(node: _Node) -> str:
    """Return the only table of a SELECT in a form that may be split; '' for any other node."""
    if node.get("type") != "SELECT_NODE" or node["from_table"].get("type") != "BASE_TABLE":
        return ""
    table = node["from_table"]
    if any(table[key] for key in ("sample", "column_name_alias", "at_clause", "catalog_name")):
        return ""
    if node["sample"] or node["qualify"] or node["cte_map"]["map"]:
        return ""
    if any(modifier["type"] != "ORDER_MODIFIER" for modifier in node["modifiers"]):
        return ""
    names = (table["schema_name"], table["table_name"])
    return ".".join(str(name) for name in names if name).lower()


def _check_row(node: Any) -> None:
    """Raise _NotSplittable for an expression that reads several rows, or is not deterministic."""
    if any(inner.get("class") in _ACROSS_ROWS for inner in nodes(node)) or aggregates_in(node):
        raise _NotSplittable
    if not is_settled_node(node):
        raise _NotSplittable


def _unqualified(node: Any, table: str) -> Any:
    """Return a node without the name of its table before columns; subqueries stay as they are."""
    if isinstance(node, list):
        return [_unqualified(inner, table) for inner in node]
    if not isinstance(node, dict) or node.get("class") == "SUBQUERY":
        return node
    if node.get("class") == "COLUMN_REF":
        names = node["column_names"]
        if len(names) == 2 and str(names[0]).lower() == table:
            names = names[1:]
        return {**node, "column_names": names}
    return {key: _unqualified(value, table) for key, value in node.items()}


def _name(item: _Node) -> str:
    """Return the name that DuckDB gives to an item of a select list."""
    if item["alias"] or item.get("class") == "COLUMN_REF":
        return str(item["alias"] or item["column_names"][-1])
    node = {**reader.tree("select 1"), "select_list": [item]}
    return reader.written(node).removeprefix("SELECT ")


def _function(name: str, node: _Node) -> _Node:
    """Return the fields that turn a call into a call of another function."""
    name = "count_star" if name == "count" and not node["arguments"] else name
    return {"function_name": name, "qualified_name": {"path": [name]}, "alias": ""}


def _is_same(first: _Node, second: _Node) -> bool:
    """Return whether two expressions are equal but for their places and aliases."""
    return _canonical(first) == _canonical(second)


def _canonical(node: Any) -> str:
    return json.dumps(reader.placeless({**node, "alias": ""}), sort_keys=True)


def _column(name: str) -> _Node:
    return dict(_expression(name))


@cache
def _expression(text: str) -> Mapping[str, Any]:
    return dict(reader.tree(f"select {text}")["select_list"][0])
