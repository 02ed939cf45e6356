"""Rewrites a query so that it computes many parts at once: each row names the part that it is of.

Tables in parts have a column `__part`, the number of a row's part. The rewritten query groups and
joins by it, and returns it last, so that its rows with one number are those that the query returns
for that part alone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from assay.engines.sql import reader
from assay.engines.sql.splitting import aggregates_in, calls, is_settled_node, nodes
from assay.engines.sql.tables import Unreadable

PART = "__part"  # the number of the part of a row
_Node = dict[str, Any]
# Expressions that may read rows of other parts, or the added column.
_UNFIT = {"WINDOW", "POSITIONAL_REFERENCE", "PARAMETER", "DEFAULT"}
# Aggregates with one result whatever the order of rows; the last ones, of exact numbers only.
_EXACT = {"count", "count_star", "count_if", "countif", "min", "max", "bool_and", "bool_or"}
_EXACT |= {"bit_and", "bit_or", "bit_xor", "logical_and", "logical_or"}
_EXACT_SUMS = {"sum", "avg", "mean"}
_FLOATS = {"FLOAT", "DOUBLE"}


class Batched(Struct, frozen=True):
    """A query of many parts, and whether a part without rows in its result is not known to have none.

    That is so for totals without `group by`: one row is computed of no rows.
    """

    sql: str
    has_totals: bool


class _Unfit(Exception):
    """A query has to be computed part by part."""


@lru_cache(maxsize=4096)
def batched(sql: str, tables: frozenset[str]) -> Batched | None:
    """Return a query rewritten for many parts of `tables` (lower case); None if that is impossible."""
    if PART in sql.lower():
        return None
    try:
        tree = reader.tree(sql)
        if not is_settled_node(tree):
            return None
        rewriter = _Rewriter()
        node, has_part = rewriter.query(tree, dict.fromkeys(tables, True), is_last=True)
        return Batched(reader.written(node), rewriter.has_totals) if has_part else None
    except (_Unfit, Unreadable, RecursionError):
        return None


def order_counts(plan: str) -> bool:
    """Return whether a bound plan, as DuckDB's JSON, has aggregates that depend on the order of rows.

    True if in doubt: sums of floating-point numbers are among them, which differ in their last digit.
    """
    tree = json.loads(plan)
    return bool(tree.get("error")) or not all(
        _is_exact(node) for node in nodes(tree) if node.get("type") == "BOUND_AGGREGATE"
    )


def _is_exact(aggregate: Mapping[str, Any]) -> bool:
    name = aggregate["qname"]["path"][-1]
    types = [argument["id"] for argument in aggregate["arguments"]]
    if len(types) > 1:
        return False
    return name in _EXACT or (name in _EXACT_SUMS and not _FLOATS.intersection(types))


_Scope = Mapping[str, bool]  # tables by name in lower case: whether their rows name their part


class _Rewriter:
    """Adds the part to each SELECT that reads a table in parts."""

    def __init__(self) -> None:
        self.has_totals = False

    def query(self, node: _Node, scope: _Scope, *, is_last: bool = False) -> tuple[_Node, bool]:
        """Return a query rewritten, and whether its rows name their part (in the last column)."""
        if any(modifier["type"] == "LIMIT_MODIFIER" for modifier in node["modifiers"]):
            raise _Unfit
        node, scope = self._with_ctes(node, scope)
        if node["type"] == "SET_OPERATION_NODE":
            return self._set_operation(node, scope)
        if node["type"] != "SELECT_NODE":
            raise _Unfit
        return self._select(node, scope, is_last=is_last)

    def _with_ctes(self, node: _Node, scope: _Scope) -> tuple[_Node, _Scope]:
        entries = []
        for entry in node["cte_map"]["map"]:
            cte = entry["value"]
            if cte["key_targets"] or cte["query_node"]["type"] == "RECURSIVE_CTE_NODE":
                raise _Unfit
            inner, has_part = self.query(cte["query_node"], scope)
            aliases = [*cte["aliases"], PART] if cte["aliases"] and has_part else cte["aliases"]
            entries.append({**entry, "value": {**cte, "query_node": inner, "aliases": aliases}})
            scope = {**scope, str(entry["key"]).lower(): has_part}
        return {**node, "cte_map": {"map": entries}}, scope

    def _set_operation(self, node: _Node, scope: _Scope) -> tuple[_Node, bool]:
        children = [self.query(child, scope) for child in node["children"]]
        have_part = {has_part for _, has_part in children}
        if len(have_part) != 1:
            raise _Unfit  # rows of a table without parts would be in every part
        if True in have_part and any(m["type"] != "ORDER_MODIFIER" for m in node["modifiers"]):
            raise _Unfit
        return {**node, "children": [child for child, _ in children]}, have_part.pop()

    def _select(self, node: _Node, scope: _Scope, *, is_last: bool) -> tuple[_Node, bool]:
        table, refs = self._from(node["from_table"], scope)
        clauses = ("select_list", "where_clause", "group_expressions", "having", "qualify")
        inside = [node[clause] for clause in (*clauses, "modifiers")]
        _check_subqueries(inside, scope)
        if not refs:
            return {**node, "from_table": table}, False
        if node["sample"] or node["qualify"]:
            raise _Unfit
        _check_expressions(inside, refs)
        if any(m.get("distinct_on_targets") for m in node["modifiers"]):
            raise _Unfit
        part = _column(refs[0], PART)
        grouped = self._grouped(node, part, is_last=is_last)
        items = [_without_part(item, refs) for item in node["select_list"]]
        select = [*items, {**part, "alias": PART}]
        return {**node, **grouped, "from_table": table, "select_list": select}, True

    def _grouped(self, node: _Node, part: _Node, *, is_last: bool) -> _Node:
        """Return the clauses that group the rows of each part by themselves."""
        keys, sets = node["group_expressions"], node["group_sets"]
        computed = [_without_subqueries(node[clause]) for clause in ("select_list", "having")]
        is_by_all = node["aggregate_handling"] == "FORCE_AGGREGATES"
        if keys:
            if not all(sets):
                self._total(is_last=is_last)
            return {
                "group_expressions": [*keys, part],
                "group_sets": [[*of_set, len(keys)] for of_set in sets],
            }
        if is_by_all:  # groups by the part, which is selected
            if not any(_is_key(item) for item in computed[0]):
                self._total(is_last=is_last)
            return {}
        if aggregates_in(computed) or node["having"]:
            self._total(is_last=is_last)
            return {"group_expressions": [part], "group_sets": [[0]]}
        if aggregates_in(node["select_list"]):
            raise _Unfit  # of a subquery, which may compute a total of the rows around it
        return {}

    def _total(self, *, is_last: bool) -> None:
        """Note that a part without rows has one row of totals, which only the last SELECT may have."""
        if not is_last:
            raise _Unfit
        self.has_totals = True

    # ------------------------------------------------------------------------------ tables

    def _from(self, table: _Node, scope: _Scope) -> tuple[_Node, list[str]]:
        """Return a FROM clause rewritten, and the names of its tables whose rows name their part."""
        if table.get("sample"):
            raise _Unfit
        match table["type"]:
            case "BASE_TABLE":
                return table, self._named(table, scope)
            case "SUBQUERY":
                inner, has_part = self.query(table["subquery"]["node"], scope)
                table = {**table, "subquery": {**table["subquery"], "node": inner}}
                if has_part and (not table["alias"] or table["column_name_alias"]):
                    raise _Unfit
                return table, [str(table["alias"])] if has_part else []
            case "JOIN":
                return self._join(table, scope)
            case "EMPTY" | "EXPRESSION_LIST" | "TABLE_FUNCTION":
                _check_subqueries(table, scope)
                return table, []
        raise _Unfit

    def _named(self, table: _Node, scope: _Scope) -> list[str]:
        names = (table["schema_name"], table["table_name"])
        if not scope.get(".".join(str(name) for name in names if name).lower()):
            return []
        if table["column_name_alias"] or table["at_clause"] or table["catalog_name"]:
            raise _Unfit
        return [str(table["alias"] or table["table_name"])]

    def _join(self, table: _Node, scope: _Scope) -> tuple[_Node, list[str]]:
        left, left_refs = self._from(table["left"], scope)
        right, right_refs = self._from(table["right"], scope)
        table = {**table, "left": left, "right": right}
        _check_subqueries([table["condition"]], scope)
        refs = [*left_refs, *right_refs]
        if not refs:
            return table, []
        kind, is_cross = table["join_type"], table["ref_type"] == "CROSS"
        if table["ref_type"] not in {"REGULAR", "CROSS"}:
            raise _Unfit
        if kind not in {"INNER", "LEFT", "SEMI", "ANTI"} or (kind != "INNER" and not left_refs):
            raise _Unfit
        if left_refs and right_refs:
            if is_cross:
                raise _Unfit
            table = _by_part(table, left_refs[0], right_refs[0])
        return table, left_refs if kind in {"SEMI", "ANTI"} else refs


def _by_part(join: _Node, left: str, right: str) -> _Node:
    """Return a join of two tables in parts that joins rows of the same part."""
    if join["using_columns"]:
        return {**join, "using_columns": [*join["using_columns"], PART]}
    if join["condition"] is None:
        raise _Unfit
    equal = _expression(f"a.{PART} = b.{PART}")
    equal |= {"left": _column(left, PART), "right": _column(right, PART)}
    condition = join["condition"]
    is_all = condition.get("type") == "CONJUNCTION_AND"  # DuckDB reads all of them as one
    both = _expression("a and b") | {
        "children": [*(condition["children"] if is_all else [condition]), equal]
    }
    return {**join, "condition": both}


def _check_subqueries(inside: Any, scope: _Scope) -> None:
    """Raise _Unfit for a subquery in an expression that reads a table in parts."""
    for node in nodes(inside):
        if node.get("class") == "SUBQUERY" and any(map(scope.get, _tables(node))):
            raise _Unfit


def _tables(node: Any) -> Iterator[str]:
    for inner in nodes(node):
        if inner.get("type") == "BASE_TABLE":
            names = (inner["schema_name"], inner["table_name"])
            yield ".".join(str(name) for name in names if name).lower()


def _check_expressions(inside: Any, refs: Iterable[str]) -> None:
    """Raise _Unfit for an expression that reads other rows, or all columns of a table as one value."""
    names = {ref.lower() for ref in refs}
    for node in nodes(inside):
        if node.get("class") in _UNFIT:
            raise _Unfit
        is_name = node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1
        if is_name and str(node["column_names"][0]).lower() in names:
            raise _Unfit
    if calls(inside) & {"grouping", "grouping_id"}:
        raise _Unfit


def _without_part(item: _Node, refs: Iterable[str]) -> _Node:
    """Return an item of a select list; a star does not include the part."""
    stars = [node for node in nodes(item) if node.get("class") == "STAR"]
    if not stars:
        return item
    if len(stars) > 1 or item is not stars[0] or item["columns"] or item["expr"]:
        raise _Unfit
    table = str(item["relation_name"]).lower()
    if table and table not in {ref.lower() for ref in refs}:
        return item
    return {**item, "exclude_list": [*item["exclude_list"], PART]}


def _is_key(item: _Node) -> bool:
    """Return whether `group by all` groups by an item of the select list."""
    return not aggregates_in(item) and any(
        node.get("class") == "COLUMN_REF" for node in nodes(item)
    )


def _without_subqueries(node: Any) -> Any:
    """Return a part of a tree without the subqueries in it."""
    if isinstance(node, list):
        return [_without_subqueries(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    if node.get("class") == "SUBQUERY":
        return {}
    return {key: _without_subqueries(value) for key, value in node.items()}


def _column(table: str, name: str) -> _Node:
    return _expression("a.b") | {"column_names": [table, name]}


def _expression(text: str) -> _Node:
    return dict(reader.tree(f"select {text}")["select_list"][0])
