"""Walks a plan that DuckDB has bound: which columns flow into each column, and decide the rows.

Nothing is guessed: an operator, a kind of join or of expression that is not known is an UnknownPlan.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from assay.engines.flow_sets import (
    BIT,
    NONE,
    UnknownPlan,
    Uses,
    aggregated,
    as_how,
    computed,
    united,
)
from assay.engines.sql.expressions import Columns, Scope
from assay.plan.flows import ROWS, How

Node = Mapping[str, Any]


class Relation(Struct, frozen=True, kw_only=True):
    """What an operator gives: what flows into each column, and decides rows and their order.

    - `unique`: positions of columns whose values no two rows have alike; None if not known.
    - `one_row`: whether it always is a single row.
    """

    columns: Columns
    rows: Uses = NONE
    order: Uses = NONE
    unique: frozenset[int] | None = None
    one_row: bool = False


def lineage(plan: Node) -> tuple[Columns, Uses]:
    """Return what flows into each output column of a plan, and what decides its rows.

    Raises UnknownPlan.
    """
    try:
        result = _Walk().relation(plan)
    except RecursionError:
        raise UnknownPlan("a query that is nested too deeply") from None
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UnknownPlan(f"a plan of another shape ({type(error).__name__}: {error})") from error
    return result.columns, united([result.rows, as_how(How.ORDER, result.order)])


class _Walk:
    """One walk: the tables of the plan by their index, and the relations of its CTEs."""

    def __init__(self) -> None:
        self.tables: dict[int, Columns] = {}
        self.ctes: dict[int, Relation] = {}

    def relation(self, node: Node) -> Relation:
        """Return what an operator gives."""
        kind = str(node["type"]).removeprefix("LOGICAL_")
        operator = _OPERATORS.get(kind)
        if operator is None:
            raise UnknownPlan(f"an operator {kind}")
        result = operator(self, node)
        if isinstance(index := node.get("table_index"), int):
            self.tables[index] = result.columns
        return result

    def child(self, node: Node, number: int = 0) -> Relation:
        """Return what a child of an operator gives."""
        return self.relation(node["children"][number])

    def scope(self, *relations: Relation) -> Scope:
        """Return the scope of expressions over the columns of relations, side by side."""
        columns = [column for relation in relations for column in relation.columns]
        return Scope(columns, self.tables, united(relation.order for relation in relations))


def _mapped(columns: Columns, node: Node, key: str) -> Columns:
    """Return the columns that a projection map keeps: all, where there is none."""
    return [columns[number] for number in node[key]] if node.get(key) else columns


# ------------------------------------------------------------------------------- leaves of the plan


def _get(walk: _Walk, node: Node) -> Relation:
    data = node.get("function_data") or {}
    if any((node.get("table_filters") or {}).values()):
        raise UnknownPlan("a filter inside of a scan")
    if not isinstance(data, Mapping) or "table" not in data:
        return _table_function(walk, node)
    table, names = (str(data["schema"]), str(data["table"])), node["names"]
    columns = [
        {(*table, names[index]): BIT[How.IDENTITY]} if index < len(names) else NONE
        for index in (column["index"] for column in node["column_indexes"])
    ]
    rows = {(*table, ROWS): BIT[How.ROWS]}
    return Relation(columns=_mapped(columns, node, "projection_ids"), rows=rows)


def _table_function(walk: _Walk, node: Node) -> Relation:
    """Return the rows of a function: each of its columns is computed from all of its arguments."""
    own = len(node["column_indexes"])
    if not node.get("children"):
        return Relation(columns=_mapped([NONE] * own, node, "projection_ids"))
    child = walk.child(node)
    arguments = united(child.columns)
    passed = [child.columns[number] for number in node.get("projected_input") or ()]
    return Relation(
        columns=_mapped([computed(arguments)] * own + passed, node, "projection_ids"),
        rows=united([child.rows, as_how(How.UNNEST, arguments)]),
        order=child.order,
    )


def _dummy(walk: _Walk, node: Node) -> Relation:
    return Relation(columns=[NONE], one_row=True)


def _empty(walk: _Walk, node: Node) -> Relation:
    return Relation(columns=[NONE] * len(node["return_types"]))


def _values(walk: _Walk, node: Node) -> Relation:
    child = walk.child(node)
    scope = walk.scope(child)
    rows = [[scope.uses(value) for value in row] for row in node["expressions"]]
    return Relation(columns=[united(column) for column in zip(*rows, strict=True)], rows=child.rows)


def _constants(walk: _Walk, node: Node) -> Relation:
    types = node.get("chunk_types") or node["collection"]["types"]
    return Relation(columns=[NONE] * len(types))


# ----------------------------------------------------------------------------------------- one child


def _projection(walk: _Walk, node: Node) -> Relation:
    child = walk.child(node)
    scope, expressions = walk.scope(child), node["expressions"]
    return Relation(
        columns=[scope.uses(expression) for expression in expressions],
        rows=child.rows,
        order=child.order,
        unique=_projected(child.unique, expressions),
        one_row=child.one_row,
    )


def _projected(unique: frozenset[int] | None, expressions: list[Node]) -> frozenset[int] | None:
    """Return where a projection has the columns that are unique; None if it does not have them."""
    if unique is None:
        return None
    places = {
        expression["index"]: place
        for place, expression in enumerate(expressions)
        if expression["expression_class"] == "BOUND_REF"
    }
    return frozenset(places[i] for i in unique) if unique <= places.keys() else None


def _filter(walk: _Walk, node: Node) -> Relation:
    child = walk.child(node)
    condition = walk.scope(child).all_of(node["expressions"])
    return Relation(
        columns=_mapped(child.columns, node, "projection_map"),
        rows=united([child.rows, as_how(How.FILTER, condition)]),
        order=child.order,
        unique=None if node.get("projection_map") else child.unique,
    )


def _order(walk: _Walk, node: Node) -> Relation:
    child = walk.child(node)
    order = united([child.order, walk.scope(child).all_of(node["orders"])])
    decides = as_how(How.ORDER, order) if "TOP_N" in node["type"] else NONE
    columns = _mapped(child.columns, node, "projection_map")
    return Relation(columns=columns, rows=united([child.rows, decides]), order=order)


def _limit(walk: _Walk, node: Node) -> Relation:
    """Return the first rows, or a sample: which these are depends on the order."""
    child = walk.child(node)
    numbers = [node.get(key) for key in ("limit_val", "offset_val")]
    limit = as_how(How.FILTER, walk.scope(child).all_of(numbers))
    order = as_how(How.ORDER, child.order)
    rows = united([child.rows, limit, order])
    return Relation(columns=child.columns, rows=rows, order=child.order)


def _distinct(walk: _Walk, node: Node) -> Relation:
    child = walk.child(node)
    scope = walk.scope(child)
    group = as_how(How.GROUP, scope.all_of(node.get("distinct_targets")))
    order = NONE
    if node["distinct_type"] != "DISTINCT":
        order = as_how(How.ORDER, united([child.order, scope.all_of(node.get("order_by"))]))
    rows = united([child.rows, group, order])
    return Relation(columns=child.columns, rows=rows, order=child.order)


def _aggregate(walk: _Walk, node: Node) -> Relation:
    child = walk.child(node)
    scope, groups = walk.scope(child), node.get("groups") or []
    keys = [scope.uses(group) for group in groups]
    if _is_copy(node["children"][0]) and not node.get("expressions"):
        return Relation(columns=keys, rows=child.rows, order=child.order)
    values = [scope.uses(expression) for expression in node.get("expressions") or ()]
    marks: Columns = [NONE for _ in node.get("grouping_functions") or ()]
    is_plain = len(node.get("grouping_sets") or ()) <= 1
    return Relation(
        columns=[*keys, *values, *marks],
        rows=united([child.rows, as_how(How.GROUP, united(keys))]),
        unique=frozenset(range(len(keys))) if is_plain else None,
        one_row=not keys and is_plain,
    )


def _added(walk: _Walk, node: Node) -> Relation:
    """Return a relation with columns added to its right: those of windows."""
    child = walk.child(node)
    scope = walk.scope(child)
    added = [scope.uses(expression) for expression in node["expressions"]]
    columns = [*child.columns, *added]
    return Relation(columns=columns, rows=child.rows, order=child.order, unique=child.unique)


def _unnest(walk: _Walk, node: Node) -> Relation:
    result, count = _added(walk, node), len(node["expressions"])
    lists = united(result.columns[len(result.columns) - count :])
    rows = united([result.rows, as_how(How.UNNEST, lists)])
    return Relation(columns=result.columns, rows=rows, order=result.order)


# ------------------------------------------------------------------------------------- two and more


def _join(walk: _Walk, node: Node) -> Relation:
    left, right = walk.child(node), walk.child(node, 1)
    condition = as_how(How.JOIN, _condition(walk, node, left, right))
    kind = node.get("join_type", "INNER")
    order = united([left.order, right.order])
    our_columns = _mapped(left.columns, node, "left_projection_map")
    if kind == "MARK":  # a column says whether there is a row on the right
        mark = united([as_how(How.CONDITION, right.rows), as_how(How.CONDITION, condition)])
        columns = [*our_columns, mark]
        return Relation(columns=columns, rows=left.rows, order=left.order, unique=left.unique)
    their_columns = _mapped(right.columns, node, "right_projection_map")
    rows = united([left.rows, right.rows, condition])
    if kind in {"SEMI", "ANTI"}:
        return Relation(columns=our_columns, rows=rows, order=left.order)
    if kind in {"RIGHT_SEMI", "RIGHT_ANTI"}:
        return Relation(columns=their_columns, rows=rows, order=right.order)
    if kind not in {"INNER", "LEFT", "RIGHT", "OUTER", "FULL", "SINGLE"}:
        raise UnknownPlan(f"a join {kind}")
    if _adds_columns_alone(node, kind, right):
        decides = united([as_how(How.CONDITION, right.rows), condition])
        columns = [*our_columns, *(united([column, decides]) for column in their_columns)]
        return Relation(columns=columns, rows=left.rows, order=left.order)
    return Relation(columns=[*our_columns, *their_columns], rows=rows, order=order)


def _condition(walk: _Walk, node: Node, left: Relation, right: Relation) -> Uses:
    """Return what takes part in the conditions of a join."""
    uses = []
    for condition in node.get("conditions") or ():
        if "left" not in condition:
            uses.append(walk.scope(left, right).uses(condition))
            continue
        ours = walk.scope(left).uses(condition["left"])
        theirs = walk.scope(right).uses(condition["right"])
        if not (ours == theirs and _is_copy(node["children"][0])):
            uses += [ours, theirs]
    both = [node.get(key) for key in ("condition", "predicate", "expressions")]
    return united([*uses, walk.scope(left, right).all_of(both)])


def _is_copy(node: Node) -> bool:
    """Return whether this is DuckDB's own copy of the rows that a subquery is computed for.

    It groups that copy, and joins it with itself, which decides nothing.
    """
    return node["type"] == "LOGICAL_CTE_REF" and any(
        str(name).startswith("__duckdb_delim") for name in node.get("bound_columns") or ()
    )


def _adds_columns_alone(node: Node, kind: str, right: Relation) -> bool:
    """Return whether every row of the left stays one row, as where a subquery gives a value."""
    if kind == "SINGLE" or (right.one_row and "CROSS" in node["type"]):
        return True
    equal = {
        condition["right"].get("index")
        for condition in node.get("conditions") or ()
        if condition.get("comparison") in {"COMPARE_EQUAL", "COMPARE_NOT_DISTINCT_FROM"}
    }
    return kind == "LEFT" and right.unique is not None and right.unique <= equal


def _union(walk: _Walk, node: Node) -> Relation:
    sides = [walk.relation(child) for child in node["children"]]
    columns = [united(column) for column in zip(*(s.columns for s in sides), strict=True)]
    rows, order = united(side.rows for side in sides), united(side.order for side in sides)
    return Relation(columns=columns, rows=rows, order=order)


def _except(walk: _Walk, node: Node) -> Relation:
    sides = [walk.relation(child) for child in node["children"]]
    compared = united(column for side in sides for column in side.columns)
    rows = united([*(side.rows for side in sides), as_how(How.FILTER, compared)])
    return Relation(columns=sides[0].columns, rows=rows, order=sides[0].order)


# --------------------------------------------------------------------------------------------- CTEs


def _cte(walk: _Walk, node: Node) -> Relation:
    walk.ctes[node["table_index"]] = walk.child(node)
    return walk.child(node, 1)


def _recursive(walk: _Walk, node: Node) -> Relation:
    """Return the rows of a recursive query: it is walked until a step adds nothing."""
    start = walk.child(node)
    if node.get("payload_aggregates"):
        start = Relation(columns=[aggregated(c) for c in start.columns], rows=start.rows)
    current: Relation | None = None
    while current != start:
        current = walk.ctes[node["table_index"]] = start
        step = walk.child(node, 1)
        columns = [united(pair) for pair in zip(start.columns, step.columns, strict=True)]
        compared = NONE if node.get("union_all") else as_how(How.GROUP, united(columns))
        rows = united([start.rows, step.rows, compared])
        start = Relation(columns=columns, rows=rows, order=united([start.order, step.order]))
    return start


def _reference(walk: _Walk, node: Node) -> Relation:
    return walk.ctes[node["cte_index"]]


_OPERATORS: Mapping[str, Callable[[_Walk, Node], Relation]] = {
    "GET": _get,
    "DUMMY_SCAN": _dummy,
    "EMPTY_RESULT": _empty,
    "EXPRESSION_GET": _values,
    "CHUNK_GET": _constants,
    "COLUMN_DATA_SCAN": _constants,
    "PROJECTION": _projection,
    "FILTER": _filter,
    "ORDER_BY": _order,
    "TOP_N": _order,
    "LIMIT": _limit,
    "SAMPLE": _limit,
    "DISTINCT": _distinct,
    "AGGREGATE_AND_GROUP_BY": _aggregate,
    "WINDOW": _added,
    "UNNEST": _unnest,
    "COMPARISON_JOIN": _join,
    "ANY_JOIN": _join,
    "ASOF_JOIN": _join,
    "CROSS_PRODUCT": _join,
    "POSITIONAL_JOIN": _join,
    "UNION": _union,
    "EXCEPT": _except,
    "INTERSECT": _except,
    "MATERIALIZED_CTE": _cte,
    "RECURSIVE_CTE": _recursive,
    "CTE_REF": _reference,
}
