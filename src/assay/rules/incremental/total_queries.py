"""Says which totals in a query can be put together from those of a table's parts, and how."""

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from msgspec import Struct, field

from assay.engines.sql import reader
from assay.engines.sql.splitting import aggregates_in, is_settled_node, nodes
from assay.engines.sql.tables import Unreadable

PART, TOTALS = "__part", "__totals"
_Node = dict[str, Any]
_ACROSS = {
    "SUBQUERY",
    "WINDOW",
    "LAMBDA",
    "POSITIONAL_REFERENCE",
    "STAR",
    "PARAMETER",
    "COLLATE",
    "DEFAULT",
}
_NAMES = {"mean": "avg", "countif": "count_if", "count_star": "count", "logical_and": "bool_and"}
# What is asked of each part, and how it is put together; `avg` is a quotient of doubles to DuckDB,
# too.
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
    """Totals of one table: `query` asks `__part` for them."""

    table: str
    query: str


class TotalsQuery(Struct, frozen=True, kw_only=True):
    """A query over what was found in the parts: `__totals0` holds what the first block's query found in each.

    `tables` are those that it reads besides, as they are.
    """

    sql: str
    blocks: tuple[Block, ...]
    tables: frozenset[str]


@lru_cache(maxsize=4096)
def split(sql: str, tables: frozenset[tuple[str, frozenset[str]]]) -> TotalsQuery | None:
    """Return how to ask a query of the parts of some tables (with their columns, in lower case) and put it together.

    None when it has no totals of those, or needs all the rows of `this` besides. When in doubt, it
    does.
    """
    try:
        splitting = _Splitting(dict(tables))
        node = splitting.look(reader.tree(sql))
        if not splitting.blocks:
            return None
        merged = reader.written(node)
        left = frozenset(
            str(table) for table in reader.parse(merged).tables if not table.name.startswith(TOTALS)
        )
    except (Unreadable, _Across):
        return None
    return (
        None
        if "this" in left
        else TotalsQuery(sql=merged, blocks=tuple(splitting.blocks), tables=left)
    )


class _Across(Exception):
    """Something that has to see the rows of all parts."""


class _Splitting:
    """Puts every SELECT of totals in a tree in two."""

    def __init__(self, tables: Mapping[str, frozenset[str]]) -> None:
        self.tables = tables
        self.blocks: list[Block] = []

    def look(self, node: Any) -> Any:
        """Return a tree in which the totals of the tables are taken from what is known of their parts."""
        if isinstance(node, list):
            return [self.look(inner) for inner in node]
        if not isinstance(node, dict):
            return node
        if {entry["key"].lower() for entry in node.get("cte_map", {}).get("map", ())} & set(
            self.tables
        ):
            raise _Across
        node = {key: self.look(value) for key, value in node.items()}
        table = _table(node)
        if table not in self.tables:
            return node
        try:
            part, merged = _Halves(node, table, self.tables[table]).made(
                f"{TOTALS}{len(self.blocks)}"
            )
            self.blocks.append(Block(table=table, query=reader.written(part)))
        except (_Across, Unreadable):
            return node
        return merged


class _Halves(Struct):
    """One SELECT of totals: what is asked of each part, and of all that was found."""

    node: _Node
    table: str
    columns: frozenset[str]
    keys: list[_Node] = field(default_factory=list)
    asked: list[_Node] = field(default_factory=list)

    def made(self, name: str) -> tuple[_Node, _Node]:
        """Return the query of a part, and the one of what was found in all, which is a table of this name."""
        known = str(
            self.node["from_table"]["alias"] or self.node["from_table"]["table_name"]
        ).lower()
        if known in self.columns:
            raise _Across
        named = [{**item, "alias": _name(item)} for item in self.node["select_list"]]
        node = _unqualified({**self.node, "select_list": named}, known)
        self.keys = list(self._keys(node))
        for key in self.keys:
            _check_row(key)
            if not any(inner.get("class") == "COLUMN_REF" for inner in nodes(key)):
                raise _Across
        _check_row(node["where_clause"])
        aliases = {item["alias"].lower() for item in named} - self.columns
        select = [self._outside(item, frozenset()) for item in node["select_list"]]
        having = self._outside(node["having"], frozenset(aliases))
        orders = self._outside(node["modifiers"], frozenset(aliases))
        if not self.asked:
            raise _Across
        return self._part(node), self._merged(
            node, name, select_list=select, having=having, modifiers=orders
        )

    def _keys(self, node: _Node) -> Iterator[_Node]:
        """Yield what is grouped by: as named, by number, by the alias of a column, or all that are no totals."""
        items = node["select_list"]
        if node["aggregate_handling"] == "FORCE_AGGREGATES" and not node["group_expressions"]:
            yield from (item for item in items if not aggregates_in(item))
        elif len(node["group_sets"]) > 1:
            raise _Across
        for key in node["group_expressions"]:
            number = (
                str(key.get("literal", {}).get("text", ""))
                if key.get("class") == "CONSTANT"
                else ""
            )
            name = str(key["column_names"][-1]).lower() if key.get("class") == "COLUMN_REF" else ""
            if number.isdecimal() and 0 < int(number) <= len(items):
                yield items[int(number) - 1]
            elif name and name not in self.columns:
                yield from [item for item in items if item["alias"].lower() == name][:1]
            else:
                yield key

    def _part(self, node: _Node) -> _Node:
        keys = [{**key, "alias": f"__key{n}"} for n, key in enumerate(self.keys)]
        asked = [{**one, "alias": f"__value{n}"} for n, one in enumerate(self.asked)]
        found = {"select_list": [*keys, *asked], "having": None, "modifiers": []}
        return self._merged(node, PART, **found) | {
            "where_clause": node["where_clause"],
            "group_expressions": [{**key, "alias": ""} for key in self.keys],
        }

    def _merged(self, node: _Node, name: str, **given: Any) -> _Node:
        table = reader.tree(f"from {name}")["from_table"]
        grouped = [_column(f"__key{n}") for n in range(len(self.keys))]
        sets = [list(range(len(grouped)))] if grouped else []
        plain = {"where_clause": None, "aggregate_handling": "STANDARD_HANDLING"}
        return {
            **node,
            **plain,
            "from_table": table,
            "group_expressions": grouped,
            "group_sets": sets,
            **given,
        }

    def _outside(self, node: Any, aliases: frozenset[str]) -> Any:
        """Return an expression over totals as one over what was found in the parts."""
        if isinstance(node, list):
            return [self._outside(inner, aliases) for inner in node]
        if not isinstance(node, dict):
            return node
        same = [n for n, key in enumerate(self.keys) if _same(key, node)]
        if same:
            return _column(f"__key{same[0]}") | {"alias": node["alias"]}
        kind = node.get("class")
        if kind == "SUBQUERY":
            return node  # it was looked at on its own; what it names of this table is not there any more
        if kind == "COLUMN_REF" and (
            len(node["column_names"]) > 1 or node["column_names"][0].lower() not in aliases
        ):
            raise _Across
        if kind in _ACROSS - {"PARAMETER", "COLLATE"}:
            raise _Across
        if kind == "FUNCTION" and str(node["function_name"]).lower() in aggregates_in(node):
            return self._total(node) | {"alias": node["alias"]}
        return {key: self._outside(value, aliases) for key, value in node.items()}

    def _total(self, node: _Node) -> _Node:
        """Return one aggregate as one of what it is in each part."""
        name = str(node["function_name"]).lower()
        name = _NAMES.get(name, name)
        wanted = len(node["arguments"]) == 1 or (name == "count" and not node["arguments"])
        if (
            name not in _MERGED
            or not wanted
            or node["distinct"]
            or node["schema"]
            or node["order_bys"]["orders"]
        ):
            raise _Across
        if node["export_state"] or any(argument["name"] for argument in node["arguments"]):
            raise _Across
        _check_row([node["arguments"], node["filter"]])
        of_part, merged = _MERGED[name]
        columns = [self._column_of({**node, **_function(one, node)}) for one in of_part]
        return dict(_expression(merged.format(*columns)))

    def _column_of(self, asked: _Node) -> str:
        found = next((n for n, one in enumerate(self.asked) if _same(one, asked)), len(self.asked))
        self.asked += [asked] if found == len(self.asked) else []
        return f"__value{found}"


def _table(node: _Node) -> str:
    """Return the table that a node takes all it finds from, in the shape in which totals could be taken; else ''."""
    if node.get("type") != "SELECT_NODE" or node["from_table"].get("type") != "BASE_TABLE":
        return ""
    table = node["from_table"]
    odd = (
        table["sample"] or table["column_name_alias"] or table["at_clause"] or table["catalog_name"]
    )
    odd = odd or node["sample"] or node["qualify"] or node["cte_map"]["map"]
    if odd or any(modifier["type"] != "ORDER_MODIFIER" for modifier in node["modifiers"]):
        return ""
    return ".".join(
        str(part) for part in (table["schema_name"], table["table_name"]) if part
    ).lower()


def _check_row(node: Any) -> None:
    """Refuse what is not about one row, or can say something else of it tomorrow."""
    if any(inner.get("class") in _ACROSS for inner in nodes(node)) or aggregates_in(node):
        raise _Across
    if not is_settled_node(node):
        raise _Across


def _unqualified(node: Any, table: str) -> Any:
    """Return a node that calls the columns of its one table by their names alone; queries inside it stay."""
    if isinstance(node, list):
        return [_unqualified(inner, table) for inner in node]
    if not isinstance(node, dict) or node.get("class") == "SUBQUERY":
        return node
    if node.get("class") == "COLUMN_REF":
        names = node["column_names"]
        plain = names[1:] if len(names) == 2 and str(names[0]).lower() == table else names
        return {**node, "column_names": plain}
    return {key: _unqualified(value, table) for key, value in node.items()}


def _name(item: _Node) -> str:
    """Return what DuckDB calls an item of a select list."""
    if item["alias"] or item.get("class") == "COLUMN_REF":
        return str(item["alias"] or item["column_names"][-1])
    node = {**reader.tree("select 1"), "select_list": [item]}
    return reader.written(node).removeprefix("SELECT ")


def _function(name: str, node: _Node) -> _Node:
    """Return what makes a call one of another function."""
    called = "count_star" if name == "count" and not node["arguments"] else name
    return {"function_name": called, "qualified_name": {"path": [called]}, "alias": ""}


def _same(one: _Node, other: _Node) -> bool:
    return _told(one) == _told(other)


def _told(node: Any) -> str:
    return json.dumps(reader.placeless({**node, "alias": ""}), sort_keys=True)


def _column(name: str) -> _Node:
    return dict(_expression(name))


@cache
def _expression(text: str) -> Mapping[str, Any]:
    return dict(reader.tree(f"select {text}")["select_list"][0])
