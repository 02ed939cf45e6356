"""Walks the plan of a LazyFrame over empty inputs: which columns flow into each column.

The plan is read through Polars' own visitor, of a version that is known here. What it cannot show (a
Python function, a plan of another version) may depend on all that it is given.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.empty_frames import EmptyFrames
from assay.engines.flow_sets import NONE, UnknownPlan, Uses, as_how, flows_of, source, united
from assay.engines.polars_expressions import Expressions, opaque
from assay.engines.types import from_polars
from assay.plan.flows import ROWS, ColumnFlows, Flow, How, TableFlows

if TYPE_CHECKING:
    import polars as pl

VISITOR = 16  # the version of Polars' visitor that this module knows, the first of two numbers


class Relation(Struct, frozen=True, kw_only=True):
    """What a node of a plan gives: the flows into each column, into rows and into their order.

    `unique` are columns whose values no two rows have alike; None if not known.
    """

    columns: Mapping[str, Uses]
    rows: Uses = NONE
    order: Uses = NONE
    unique: frozenset[str] | None = None


def lineage(frame: "pl.LazyFrame", inputs: EmptyFrames) -> TableFlows:
    """Return columns and lineage of a LazyFrame that was made of these inputs."""
    schema = frame.collect_schema()
    types = {name: from_polars(dtype) or str(dtype) for name, dtype in schema.items()}
    try:
        walk = _Walk(frame, inputs)
        result = walk.result()
    except UnknownPlan as problem:
        return _asked(frame, inputs, types, str(problem))
    return TableFlows(
        columns=tuple(
            ColumnFlows(name=name, type=type, flows=_narrowed(frame, inputs, name, result))
            for name, type in types.items()
        ),
        rows=flows_of(united([result.rows, as_how(How.ORDER, result.order)])),
        partly="; ".join(dict.fromkeys(walk.opaque)),
    )


def _narrowed(
    frame: "pl.LazyFrame", inputs: EmptyFrames, column: str, result: Relation
) -> tuple[Flow, ...]:
    """Return the flows into a column; of those that are unknown, those that Polars asks for."""
    flows = flows_of(result.columns[column])
    if not any(How.UNKNOWN in flow.how for flow in flows):
        return flows
    asked = inputs.asked_for(frame, column)
    return tuple(
        flow
        for flow in flows
        if asked is None or flow.how != (How.UNKNOWN,) or (flow.of, flow.column) in asked
    )


def _asked(
    frame: "pl.LazyFrame", inputs: EmptyFrames, types: Mapping[str, str], problem: str
) -> TableFlows:
    """Return that a column may depend on what Polars asks for to compute it: no more is known."""
    asked = {name: inputs.asked_for(frame, name) for name in types}
    if None in asked.values():
        plain = tuple(ColumnFlows(name=name, type=type) for name, type in types.items())
        return TableFlows(columns=plain, unknown=problem)
    flows = {
        name: tuple(Flow(of, each, (How.UNKNOWN,)) for of, each in sorted(needed or ()))
        for name, needed in asked.items()
    }
    every = {flow: None for each in flows.values() for flow in each}
    return TableFlows(
        columns=tuple(ColumnFlows(name=n, type=t, flows=flows[n]) for n, t in types.items()),
        rows=tuple(every),
        partly=problem,
    )


class _Walk:
    """One walk over a plan; `opaque` says what in it cannot be seen through."""

    def __init__(self, frame: "pl.LazyFrame", inputs: EmptyFrames) -> None:
        import polars as pl

        try:
            plain = frame._ldf.with_optimizations(pl.QueryOptFlags.none()._pyoptflags)
            self.visitor: Any = plain.visit()
            version = self.visitor.version()
        except AttributeError:
            version = (0, 0)
        if version[0] != VISITOR:
            raise UnknownPlan(f"Polars {pl.__version__} shows its plans in another way")
        self.inputs = inputs
        self.opaque: list[str] = []
        self._known: dict[int, Relation] = {}

    def result(self) -> Relation:
        """Return what the plan gives; UnknownPlan for a shape that is not known here."""
        try:
            return self.relation(self.visitor.get_node())
        except RecursionError:
            raise UnknownPlan("its plan is nested too deeply") from None
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            if isinstance(error, UnknownPlan):
                raise
            raise UnknownPlan(f"its plan has another shape ({type(error).__name__})") from error

    def relation(self, number: int) -> Relation:
        """Return what a node gives."""
        if number not in self._known:
            self.visitor.set_node(number)
            schema, children = list(self.visitor.get_schema()), self.visitor.get_inputs()
            try:
                node = self.visitor.view_current_node()
            except NotImplementedError as error:
                self._known[number] = self._opaque(schema, children, str(error))
                return self._known[number]
            inputs = [self.relation(child) for child in children]
            operator = _OPERATORS.get(type(node).__name__)
            if operator is None:
                raise UnknownPlan(f"its plan has a node {type(node).__name__}")
            self.visitor.set_node(number)
            self._known[number] = operator(self, node, inputs, schema)
        return self._known[number]

    def _opaque(self, schema: list[str], children: list[int], what: str) -> Relation:
        """Return the rows of a Python function: anything may depend on all that it is given."""
        self.opaque.append(
            f"it runs a Python function on its rows ({what.partition(' GroupBy')[0]})"
        )
        inputs = [self.relation(child) for child in children]
        uses = opaque(use for each in inputs for use in [*each.columns.values(), each.rows])
        return Relation(columns=dict.fromkeys(schema, uses), rows=uses)

    def expressions(self, *relations: Relation) -> Expressions:
        """Return the reader of expressions over the columns of relations."""
        columns = {
            name: uses for each in reversed(relations) for name, uses in each.columns.items()
        }
        order = united(each.order for each in relations)
        return Expressions(self.visitor, columns, order, self.opaque)


Operator = Callable[[_Walk, Any, list[Relation], list[str]], Relation]


def _scan(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    name = walk.inputs.name_of(node)
    if name is None:
        raise UnknownPlan("it scans by a Python function of its own")
    identity = {column: {source(name, column): 0} for column in schema}
    return Relation(
        columns={column: as_how(How.IDENTITY, uses) for column, uses in identity.items()},
        rows=as_how(How.ROWS, {source(name, ROWS): 0}),
    )


def _constant(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    """Return rows that are no input's: written in the code, or of a file that it reads itself."""
    return Relation(columns=dict.fromkeys(schema, NONE))


def _select(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    read = walk.expressions(inputs[0])
    expressions = node.expr if hasattr(node, "expr") else node.exprs
    columns = {each.output_name: read.uses(each.node) for each in expressions}
    kept = {name for name, uses in columns.items() if uses is inputs[0].columns.get(name)}
    unique = inputs[0].unique if inputs[0].unique and inputs[0].unique <= kept else None
    rows = united([inputs[0].rows, read.lengths])
    return Relation(columns=columns, rows=rows, order=inputs[0].order, unique=unique)


def _with_columns(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    read = walk.expressions(inputs[0])
    added = {each.output_name: read.uses(each.node) for each in node.exprs}
    unique = inputs[0].unique if inputs[0].unique and not inputs[0].unique & added.keys() else None
    columns = {**inputs[0].columns, **added}
    return Relation(columns=columns, rows=inputs[0].rows, order=inputs[0].order, unique=unique)


def _kept(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    child = inputs[0]
    unique = child.unique if child.unique and child.unique <= set(schema) else None
    columns = {name: child.columns[name] for name in schema}
    return Relation(columns=columns, rows=child.rows, order=child.order, unique=unique)


def _filter(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    child = inputs[0]
    condition = walk.expressions(child).uses(node.predicate.node)
    rows = united([child.rows, as_how(How.FILTER, condition)])
    return Relation(columns=child.columns, rows=rows, order=child.order, unique=child.unique)


def _sort(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    child, read = inputs[0], walk.expressions(inputs[0])
    order = united([child.order, *(read.uses(each.node) for each in node.by_column)])
    sliced = as_how(How.ORDER, order) if node.slice is not None else NONE
    rows = united([child.rows, sliced])
    return Relation(columns=child.columns, rows=rows, order=order, unique=child.unique)


def _slice(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    child = inputs[0]
    rows = united([child.rows, as_how(How.ORDER, child.order)])
    return Relation(columns=child.columns, rows=rows, order=child.order, unique=child.unique)


def _distinct(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    child, (keep, subset, *_) = inputs[0], node.options
    names = schema if subset is None else list(subset)
    group = as_how(How.GROUP, united(child.columns[name] for name in names))
    order = NONE if keep == "any" and subset is None else as_how(How.ORDER, child.order)
    rows = united([child.rows, group, order])
    return Relation(columns=child.columns, rows=rows, order=child.order, unique=frozenset(names))


def _group_by(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    child, read = inputs[0], walk.expressions(inputs[0])
    keys = {each.output_name: read.uses(each.node) for each in node.keys}
    windows = [each for each in (node.options.dynamic, node.options.rolling) if each]
    index = united(child.columns[str(each.index_column)] for each in windows)
    values = {each.output_name: read.aggregate(each.node) for each in node.aggs}
    computed = as_how(How.COMPUTED, index)
    return Relation(
        columns={name: keys.get(name, values.get(name, computed)) for name in schema},
        rows=united([child.rows, as_how(How.GROUP, united([*keys.values(), index]))]),
        order=child.order if windows else NONE,
        unique=None if windows else frozenset(keys),
    )


def _union(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    return Relation(
        columns={name: united(each.columns[name] for each in inputs) for name in schema},
        rows=united(each.rows for each in inputs),
        order=united(each.order for each in inputs),
    )


def _side_by_side(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    columns = {name: uses for each in inputs for name, uses in each.columns.items()}
    rows = united(each.rows for each in inputs)
    return Relation(columns=columns, rows=rows, order=united(each.order for each in inputs))


def _merge_sorted(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    result = _union(walk, node, inputs, schema)
    keys = [node.key] if isinstance(node.key, str) else node.key
    order = united([result.order, *(result.columns[key] for key in keys)])
    return Relation(columns=result.columns, rows=result.rows, order=order)


def _map(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    """Return what one of Polars' own functions of whole tables gives."""
    child, (kind, *arguments) = inputs[0], node.function
    columns, rows = dict(child.columns), child.rows
    if kind == "unpivot":
        index, on, variable, value = arguments
        taken = on or [name for name in columns if name not in (index or ())]
        made_of = as_how(How.COMPUTED, united(columns[name] for name in taken))
        columns = {**{name: columns[name] for name in index or ()}, variable: NONE, value: made_of}
    elif kind == "explode":
        rows = united([rows, *(as_how(How.UNNEST, columns[name]) for name in arguments[0])])
        columns |= {name: as_how(How.COMPUTED, columns[name]) for name in arguments[0]}
    elif kind == "unnest":
        fields = as_how(How.COMPUTED, united(columns[name] for name in arguments[0]))
        columns = {
            name: fields if name in arguments[0] else columns.get(name, fields) for name in schema
        }
    elif kind == "row_index":
        columns[arguments[0]] = as_how(How.ORDER, child.order)
    elif kind not in {"hint_sorted", "rechunk"}:
        raise UnknownPlan(f"its plan has a function {kind}")
    return Relation(columns={n: columns[n] for n in schema}, rows=rows, order=child.order)


def _join(walk: _Walk, node: Any, inputs: list[Relation], schema: list[str]) -> Relation:
    left, right = inputs
    how, _, sliced, suffix, *_ = node.options
    kind, by = (how, ()) if isinstance(how, str) else (how[0], how[1:])
    condition = as_how(How.JOIN, _keys(walk, node, left, right, by))
    columns = {name: _joined(name, kind, suffix, left, right) for name in schema}
    order = united([left.order, right.order])
    if kind == "AsOf" or (kind == "Left" and _has_one_match(walk, node, right)):
        decides = united([as_how(How.CONDITION, right.rows), condition])
        decided = {n: u if n in left.columns else united([u, decides]) for n, u in columns.items()}
        return Relation(columns=decided, rows=left.rows, order=order, unique=left.unique)
    if kind not in {"Inner", "Left", "Right", "Full", "Semi", "Anti", "Cross", "IEJoin"}:
        raise UnknownPlan(f"its plan has a join {kind}")
    first = as_how(How.ORDER, order) if sliced is not None else NONE
    return Relation(
        columns=columns, rows=united([left.rows, right.rows, condition, first]), order=order
    )


def _keys(walk: _Walk, node: Any, left: Relation, right: Relation, by: Iterable[Any]) -> Uses:
    """Return what takes part in the keys and conditions of a join."""
    ours, theirs = walk.expressions(left), walk.expressions(right)
    uses = [ours.uses(each.node) for each in node.left_on]
    uses += [theirs.uses(each.node) for each in node.right_on]
    names = {name for each in by if isinstance(each, list | tuple) for name in each}
    uses += [side.columns[name] for side in (left, right) for name in names & side.columns.keys()]
    if node.predicate is not None:
        uses.append(walk.expressions(left, right).uses(node.predicate.node))
    return united(uses)


def _joined(name: str, kind: str, suffix: str, left: Relation, right: Relation) -> Uses:
    """Return the flows into a column of a join: the left's, else the right's, perhaps renamed."""
    if name in left.columns:
        both = kind in {"Full", "Right"} and name in right.columns  # a key may be of either side
        return united([left.columns[name], right.columns[name]]) if both else left.columns[name]
    renamed = name.removesuffix(suffix)
    return right.columns[name] if name in right.columns else right.columns[renamed]


def _has_one_match(walk: _Walk, node: Any, right: Relation) -> bool:
    """Return whether the right of a join has at most one row for each key."""
    names = set()
    for each in node.right_on:
        expression = walk.visitor.view_expression(each.node)
        names.add(getattr(expression, "name", ""))
    return right.unique is not None and right.unique <= names


_OPERATORS: Mapping[str, Operator] = {
    "PythonScan": _scan,
    "DataFrameScan": _constant,
    "Scan": _constant,
    "Select": _select,
    "Reduce": _select,
    "HStack": _with_columns,
    "SimpleProjection": _kept,
    "Cache": _kept,
    "Filter": _filter,
    "Sort": _sort,
    "Slice": _slice,
    "Distinct": _distinct,
    "GroupBy": _group_by,
    "Union": _union,
    "HConcat": _side_by_side,
    "MergeSorted": _merge_sorted,
    "MapFunction": _map,
    "Join": _join,
}
