"""Runs the function of a product on empty inputs, for its columns and their lineage."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.engines import empty_errors
from assay.engines.binding import EmptyTables, Unbound
from assay.engines.empty_frames import EmptyFrames
from assay.engines.empty_values import Values
from assay.engines.make import DATA_FRAME, DATE, LAZY_FRAME, MOMENTS, RELATION, TABLE, Recipe
from assay.engines.polars_lineage import lineage
from assay.engines.types import from_polars
from assay.model import PREVIOUS, Column, Input, Product
from assay.plan.flows import ColumnFlows, TableFlows
from assay.plan.misfits import Degree, Problem, Traced
from assay.text import clean

_EAGER = {DATA_FRAME: "a polars.DataFrame", TABLE: "a pyarrow.Table"}


def run_empty(
    product: Product,
    recipe: Recipe,
    columns: Mapping[str, Sequence[Column]],
    root: Path,
    values: Values,
) -> Traced:
    """Return what the function of a product of the project at `root` gives for inputs without rows.

    `columns` are those of the inputs, by full name. Where the function cannot be seen through, its
    lineage says why; what it raises is a problem, which is unchecked if rows may avoid it. `values`
    notes whether values are taken (see `noting_values`).
    """
    values.taken = False
    with ExitStack() as resources:
        run = _Run(product, recipe, columns, resources)

        def problem_with(error: BaseException) -> Problem:
            return empty_errors.problem_with(
                error, columns, recipe.function, root, values_taken=values.taken
            )

        try:
            result = recipe.function(**{name: run.argument(name) for name in recipe.handovers})
            values_taken = values.taken
            flows = run.flows(result)
        except Exception as error:  # of the user's code, which may not expect tables without rows
            kind, text = type(error).__name__, str(error).strip().partition("\n")[0]
            unknown = f"its function, run without rows, raised {kind}: {text}"
            flows = TableFlows(unknown=clean(unknown))
            return Traced(flows=flows, problems=(problem_with(error),))
        if flows is None:
            degree = Degree.UNCHECKED if values_taken else Degree.WRONG
            what = f"its function returned {type(result).__name__}"
            problem = Problem(what=f"{what}, which is no table", degree=degree)
            return Traced(flows=TableFlows(unknown=what), problems=(problem,))
        try:
            run.compute(result)
        except Exception as error:  # only computing notices some types that do not match
            return Traced(flows=flows, problems=(problem_with(error),))
        return Traced(flows=flows)


class _Run:
    """One run: the arguments of the function, and what its result says."""

    def __init__(
        self,
        product: Product,
        recipe: Recipe,
        columns: Mapping[str, Sequence[Column]],
        resources: ExitStack,
    ) -> None:
        self.product, self.recipe, self.columns = product, recipe, columns
        self.resources = resources
        self.inputs = {i.alias: i for i in product.inputs}
        if product.incremental:
            self.inputs[PREVIOUS] = Input(alias=PREVIOUS, name=product.name)
        self.frames = EmptyFrames()

    @cached_property
    def tables(self) -> EmptyTables:
        """A DuckDB instance, opened only if it is needed."""
        return self.resources.enter_context(EmptyTables())

    def argument(self, parameter: str) -> Any:
        """Return the argument for a parameter: an empty input, or the product's moment."""
        handover = self.recipe.handovers[parameter]
        if handover in MOMENTS:
            assert self.product.moment is not None
            return self.product.moment.date() if handover == DATE else self.product.moment
        name = self.inputs[parameter].name
        if handover == RELATION:
            return self.tables.relation(name, [(c.name, c.type) for c in self.columns[name]])
        frame = self.frames.frame(name, self.columns[name])
        if handover == LAZY_FRAME:
            return frame
        empty = frame.collect()
        return empty.to_arrow() if handover == TABLE else empty

    def compute(self, result: Any) -> None:
        """Compute a lazy result: only then Polars compares the types of some values."""
        import polars as pl

        if isinstance(result, pl.LazyFrame):
            result.collect()

    def flows(self, result: Any) -> TableFlows | None:
        """Return columns and lineage of a result; None for what is no table."""
        import duckdb
        import polars as pl

        if isinstance(result, duckdb.DuckDBPyRelation):
            return self._of_relation(result)
        if isinstance(result, pl.LazyFrame) and not self.frames.read:
            return lineage(result, self.frames)
        if type(result).__module__.startswith("pyarrow"):
            result = pl.from_arrow(result)
        if not isinstance(result, pl.LazyFrame | pl.DataFrame):
            return None
        schema = result.collect_schema()
        columns = [
            ColumnFlows(name=name, type=from_polars(dtype) or str(dtype))
            for name, dtype in schema.items()
        ]
        return TableFlows(columns=tuple(columns), unknown=self._why_not())

    def _why_not(self) -> str:
        eager = [_EAGER[each] for each in self.recipe.handovers.values() if each in _EAGER]
        if eager:
            return f"its function takes an input as {eager[0]}, which shows no plan"
        return "its function collects a table while it runs, which shows no plan"

    def _of_relation(self, result: Any) -> TableFlows:
        types = zip(result.columns, map(str, result.types), strict=True)
        columns = tuple(ColumnFlows(name=name, type=type) for name, type in types)
        named = [Input(alias=i.name, name=i.name) for i in self.inputs.values()]
        if set(self.recipe.handovers.values()) - {RELATION, *MOMENTS}:
            return TableFlows(columns=columns, unknown="its function mixes DuckDB with Polars")
        try:
            return self.tables.bind(result.sql_query(), self.product.domain, named)
        except Unbound as problem:
            return TableFlows(columns=columns, unknown=f"its relation shows no query: {problem}")
