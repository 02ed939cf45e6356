"""How columns take part in the expressions of a Polars plan."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from assay.engines.flow_sets import NONE, UnknownPlan, Uses, aggregated, as_how, computed, united
from assay.plan.flows import How

# Aggregates whose result is the same in any order of the rows.
_ORDERLESS = {
    *("sum", "mean", "min", "max", "count", "n_unique", "median", "std", "var", "quantile"),
    *("nan_min", "nan_max", "item"),
}
# Functions that give more or fewer values than they get, depending on the values.
_RESIZING = {"drop_nulls", "drop_nans", "unique", "mode", "arg_where", "arg_unique"}
_RESIZING |= {"value_counts", "unique_counts", "ListFunction.Explode", "extend_constant"}


def opaque(uses: Iterable[Uses]) -> Uses:
    """Return that all of these may take part."""
    return as_how(How.UNKNOWN, united(uses))


class Expressions:
    """Reads the expressions of one node, over `columns` by name.

    `order` is what the order of the rows depends on. `lengths` collects what decides how many
    values the expressions have; `opaque` says which cannot be seen through.
    """

    def __init__(
        self, visitor: Any, columns: Mapping[str, Uses], order: Uses, opaque: list[str]
    ) -> None:
        self._visitor, self._columns, self._order = visitor, columns, order
        self._opaque = opaque
        self._aggregates = 0  # that the expression is inside of
        self.lengths: Uses = NONE

    def uses(self, number: int) -> Uses:
        """Return what takes part in an expression; UnknownPlan for a kind that is not known."""
        try:
            expression = self._visitor.view_expression(number)
        except NotImplementedError as error:
            self._opaque.append(f"it runs a Python function on values ({error})")
            return opaque(self._columns.values())
        kind = type(expression).__name__
        if kind == "Column":
            return self._columns[expression.name]
        if kind in {"Literal", "Len"}:
            return NONE
        read = _READERS.get(kind)
        if read is None:
            raise UnknownPlan(f"its plan has an expression {kind}")
        return read(self, expression)

    def aggregate(self, number: int) -> Uses:
        """Return what takes part in an expression whose values of a group become one."""
        self._aggregates += 1
        try:
            return aggregated(self.uses(number))
        finally:
            self._aggregates -= 1

    def all_of(self, numbers: Iterable[int]) -> Uses:
        """Return what takes part in any of these expressions."""
        return united(self.uses(number) for number in numbers)

    def changes_length(self, how: How, uses: Uses) -> None:
        """Note what decides how many values there are, where that is how many rows there are."""
        if not self._aggregates:
            self.lengths = united([self.lengths, as_how(how, uses)])

    def in_order(self) -> Uses:
        """Return what decides a value that depends on the order of the rows."""
        return as_how(How.ORDER, self._order)


def _binary(read: Expressions, it: Any) -> Uses:
    return computed(read.all_of([it.left, it.right]))


def _cast(read: Expressions, it: Any) -> Uses:
    return computed(read.uses(it.expr))


def _alias(read: Expressions, it: Any) -> Uses:
    return read.uses(it.expr)


def _ternary(read: Expressions, it: Any) -> Uses:
    values = computed(read.all_of([it.truthy, it.falsy]))
    return united([values, as_how(How.CONDITION, read.uses(it.predicate))])


def _agg(read: Expressions, it: Any) -> Uses:
    arguments = united(read.aggregate(number) for number in it.arguments)
    return arguments if it.name in _ORDERLESS else united([arguments, read.in_order()])


def _function(read: Expressions, it: Any) -> Uses:
    arguments = read.all_of(it.input)
    if str(it.function_data[0]) in _RESIZING:
        read.changes_length(How.FILTER, arguments)
    return computed(arguments)


def _window(read: Expressions, it: Any) -> Uses:
    decides = list(it.partition_by)
    if it.order_by is not None:
        decides.append(it.order_by)
    value = computed(read.uses(it.function))
    return united([value, as_how(How.WINDOW, read.all_of(decides))])


def _rolling(read: Expressions, it: Any) -> Uses:
    value = computed(read.uses(it.function))
    return united([value, as_how(How.WINDOW, read.uses(it.index_column))])


def _filter(read: Expressions, it: Any) -> Uses:
    by = read.uses(it.by)
    read.changes_length(How.FILTER, by)
    return united([computed(read.uses(it.input)), as_how(How.CONDITION, by)])


def _sort_by(read: Expressions, it: Any) -> Uses:
    return united([computed(read.uses(it.expr)), as_how(How.ORDER, read.all_of(it.by))])


def _slice(read: Expressions, it: Any) -> Uses:
    bounds = read.all_of([it.offset, it.length])
    read.changes_length(How.FILTER, bounds)
    value = computed(read.uses(it.input))
    return united([value, as_how(How.CONDITION, bounds), read.in_order()])


def _gather(read: Expressions, it: Any) -> Uses:
    places = read.uses(it.idx)
    read.changes_length(How.FILTER, places)
    value = computed(read.uses(it.expr))
    return united([value, as_how(How.CONDITION, places), read.in_order()])


def _explode(read: Expressions, it: Any) -> Uses:
    lists = read.uses(it.expr)
    read.changes_length(How.UNNEST, lists)
    return computed(lists)


_READERS: Mapping[str, Callable[[Expressions, Any], Uses]] = {
    "BinaryExpr": _binary,
    "Cast": _cast,
    "Alias": _alias,
    "Ternary": _ternary,
    "Agg": _agg,
    "Function": _function,
    "Window": _window,
    "Rolling": _rolling,
    "Filter": _filter,
    "Sort": _cast,
    "SortBy": _sort_by,
    "Slice": _slice,
    "Gather": _gather,
    "Explode": _explode,
}
