"""Runs the function of a product on empty inputs, for its columns and their lineage."""

from collections.abc import Mapping, Sequence
from typing import Any

from assay.engines.binding import EmptyTables, Unbound
from assay.engines.empty_frames import EmptyFrames
from assay.engines.make import DATA_FRAME, DATE, LAZY_FRAME, MOMENTS, RELATION, TABLE, Recipe
from assay.engines.polars_lineage import lineage
from assay.engines.types import from_polars
from assay.model import Column, Input, Product
from assay.plan.flows import ColumnFlows, TableFlows
from assay.text import clean

_EAGER = {DATA_FRAME: "a polars.DataFrame", TABLE: "a pyarrow.Table"}


def run_empty(
    product: Product, recipe: Recipe, columns: Mapping[str, Sequence[Column]]
) -> TableFlows:
    """Return columns and lineage of what the function returns for inputs without rows.

    `columns` are those of the inputs, by full name. Where the function cannot be seen through, it
    says why; what the function raises is such a reason.
    """
    with EmptyTables() as tables:
        run = _Run(product, recipe, columns, tables)
        try:
            result = recipe.function(**{name: run.argument(name) for name in recipe.handovers})
            return run.flows(result)
        except Exception as error:  # of the user's code, which may not expect tables without rows
            kind, text = type(error).__name__, str(error).strip().partition("\n")[0]
            return TableFlows(
                unknown=clean(f"its function, run without rows, raised {kind}: {text}")
            )


class _Run:
    """One run: the arguments of the function, and what its result says."""

    def __init__(
        self,
        product: Product,
        recipe: Recipe,
        columns: Mapping[str, Sequence[Column]],
        tables: EmptyTables,
    ) -> None:
        self.product, self.recipe, self.columns, self.tables = product, recipe, columns, tables
        self.inputs = {i.alias: i for i in product.inputs}
        self.frames = EmptyFrames()

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

    def flows(self, result: Any) -> TableFlows:
        """Return columns and lineage of a result."""
        import duckdb
        import polars as pl

        if isinstance(result, duckdb.DuckDBPyRelation):
            return self._of_relation(result)
        if isinstance(result, pl.LazyFrame) and not self.frames.read:
            return lineage(result, self.frames)
        if type(result).__module__.startswith("pyarrow"):
            result = pl.from_arrow(result)
        if not isinstance(result, pl.LazyFrame | pl.DataFrame):
            return TableFlows(unknown=f"its function returned {type(result).__name__}")
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
