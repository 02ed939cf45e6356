"""How columns take part in the expressions of a plan that DuckDB has bound."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from assay.engines.flow_sets import (
    NONE,
    UnknownPlan,
    Uses,
    aggregated,
    as_how,
    computed,
    united,
)
from assay.plan.flows import How

Columns = Sequence[Uses]

_CLASSES = {
    "BOUND_AGGREGATE",
    "BOUND_BETWEEN",
    "BOUND_CASE",
    "BOUND_CAST",
    "BOUND_COMPARISON",
    "BOUND_CONJUNCTION",
    "BOUND_CONSTANT",
    "BOUND_EXPANDED",
    "BOUND_FUNCTION",
    "BOUND_OPERATOR",
    "BOUND_PARAMETER",
    "BOUND_UNNEST",
    "BOUND_WINDOW",
}
# Aggregates whose result is the same in any order of the rows.
_ORDERLESS = {
    *("count", "count_star", "count_if", "sum", "avg", "min", "max", "bool_and", "bool_or"),
    *("median", "stddev", "stddev_samp", "stddev_pop", "variance", "var_samp", "var_pop"),
    *("quantile_cont", "quantile_disc", "bit_and", "bit_or", "bit_xor", "histogram", "mad"),
    *("approx_count_distinct", "corr", "covar_pop", "covar_samp", "product", "entropy"),
    *("sum_no_overflow", "kurtosis", "skewness", "regr_slope", "regr_r2", "regr_count"),
}
_ORDERED = {"WINDOW_ROW_NUMBER", "WINDOW_NTILE", "WINDOW_FIRST_VALUE", "WINDOW_LAST_VALUE"}
_ORDERED |= {"WINDOW_NTH_VALUE", "WINDOW_LEAD", "WINDOW_LAG", "WINDOW_FILL", "WINDOW_AGGREGATE"}


class Scope:
    """The columns that expressions of one operator refer to.

    `tables` has the columns of the plan's tables by their index, for expressions that refer to
    those; `order` is what the order of the rows depends on.
    """

    def __init__(
        self, columns: Columns, tables: Mapping[int, Columns] | None = None, order: Uses = NONE
    ) -> None:
        self.columns, self.tables, self.order = columns, tables or {}, order

    def all_of(self, expressions: Any) -> Uses:
        """Return what takes part in any of these expressions, each a part of the plan."""
        return united(self.uses(inner) for inner in expressions_in(expressions))

    def uses(self, expression: Mapping[str, Any]) -> Uses:
        """Return what takes part in an expression; UnknownPlan for a kind that is not known."""
        kind: str = expression["expression_class"]
        match kind:
            case "BOUND_REF":
                column: Uses = self.columns[expression["index"]]
                return column
            case "BOUND_COLUMN_REF":
                return self._bound_column(expression)
            case "BOUND_CONSTANT" | "BOUND_LAMBDA" | "BOUND_PARAMETER":
                return NONE  # what a lambda captures is an argument of the function that has it
            case "BOUND_CASE":
                return self._case(expression)
            case "BOUND_AGGREGATE":
                return self._aggregate(expression)
            case "BOUND_WINDOW":
                return self._window(expression)
        if kind not in _CLASSES:
            raise UnknownPlan(f"an expression {kind}")
        return computed(self.all_of(_operands(expression)))

    def _bound_column(self, expression: Mapping[str, Any]) -> Uses:
        binding = expression["binding"]
        try:
            column: Uses = self.tables[binding["table_index"]][binding["column_index"]]
            return column
        except (KeyError, IndexError):
            raise UnknownPlan("a reference to a column of another part of the query") from None

    def _case(self, expression: Mapping[str, Any]) -> Uses:
        checks = expression["case_checks"]
        conditions = self.all_of([check["when_expr"] for check in checks])
        values = self.all_of([[check["then_expr"] for check in checks], expression["else_expr"]])
        return united([as_how(How.CONDITION, conditions), computed(values)])

    def _aggregate(self, expression: Mapping[str, Any]) -> Uses:
        is_sorted = _name(expression) not in _ORDERLESS
        order = [self.all_of(expression.get("order_bys")), self.order if is_sorted else NONE]
        return united(
            [
                aggregated(self.all_of(expression.get("children"))),
                as_how(How.CONDITION, self.all_of(expression.get("filter"))),
                as_how(How.ORDER, united(order)),
            ]
        )

    def _window(self, expression: Mapping[str, Any]) -> Uses:
        kind = expression["type"]
        arguments = self.all_of(expression.get("children"))
        value = aggregated if kind == "WINDOW_AGGREGATE" else computed
        deciding = ("partitions", "orders", "arg_orders", "start_expr", "end_expr", "offset_expr")
        before = self.order if kind in _ORDERED and _name(expression) not in _ORDERLESS else NONE
        return united(
            [
                value(arguments),
                computed(self.all_of(expression.get("default_expr"))),
                as_how(How.CONDITION, self.all_of(expression.get("filters"))),
                as_how(How.WINDOW, self.all_of([expression.get(key) for key in deciding])),
                as_how(How.ORDER, before),
            ]
        )


def _name(expression: Mapping[str, Any]) -> str:
    return str((expression.get("qname") or {}).get("path", [""])[-1])


def _operands(expression: Mapping[str, Any]) -> list[Any]:
    """Return the parts of an expression that may be operands: all but its types and its function."""
    return [v for k, v in expression.items() if k not in {"return_type", "function_data", "qname"}]


def expressions_in(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the outermost expressions in a part of a plan."""
    if isinstance(part, Mapping):
        if "expression_class" in part:
            yield part
        else:
            for value in part.values():
                yield from expressions_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from expressions_in(value)
