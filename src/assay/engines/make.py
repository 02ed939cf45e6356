"""Builds one product: runs its query or calls its function, and stages the result."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines import duckdb as duck
from assay.engines import polars as lazy
from assay.engines.measure import measure
from assay.engines.quoting import identifier, literal
from assay.engines.tables import InputFiles, Measured
from assay.engines.types import casts, check_names
from assay.errors import BuildError
from assay.model import Kind, Product
from assay.store.files import file_digest

if TYPE_CHECKING:
    import duckdb
    import polars as pl

LAZY_FRAME, DATA_FRAME = "polars.LazyFrame", "polars.DataFrame"
RELATION, TABLE, FILE = "duckdb.DuckDBPyRelation", "pyarrow.Table", "pathlib.Path"
DATE = "datetime.date"
MOMENTS = (DATE, "datetime.datetime")
HANDOVERS = (LAZY_FRAME, DATA_FRAME, RELATION, TABLE, FILE)


class Recipe(Struct, frozen=True, kw_only=True):
    """A product's function, and the handover of each parameter; `target` takes the file's path."""

    function: Callable[..., Any]
    handovers: Mapping[str, str]
    target: str = ""


def make(
    product: Product,
    recipe: Recipe | None,
    inputs: Sequence[InputFiles],
    target: Path,
    engine: duck.DuckDB,
    *,
    measure: Callable[..., Measured] = measure,
) -> Measured:
    """Build a product, or a part of it, as the file `target`, and return what it holds.

    Raises what the user's function raises, and BuildError for a result that is no table or file.
    """
    if product.kind is Kind.QUARANTINE:
        engine.copy_tables([inputs[0].table], target)
        return measure(engine, target)
    making = Making(product, inputs, engine, target)
    if recipe is None:
        with making.resources:
            types = making.run_query()
        return measure(engine, target, product.event_time, types)
    with making.resources:
        result = making.call(recipe)
        if product.kind is Kind.FILE:
            making.write_file(result, recipe.target)
            return Measured(rows=0, columns=(), digest=file_digest(target))
        types = making.stage(result)
        return measure(engine, target, product.event_time, types)


class Making:
    """One product that is being built; a DuckDB bench is opened only if it is needed."""

    def __init__(
        self,
        product: Product,
        inputs: Sequence[InputFiles],
        engine: duck.DuckDB,
        target: Path,
        *,
        scans: Mapping[str, "pl.LazyFrame"] | None = None,
        read: Mapping[Path, "pl.LazyFrame"] | None = None,
    ) -> None:
        self.product, self.engine, self.target = product, engine, target
        self.inputs = {files.alias: files for files in inputs}
        self.declared_types = {column.name: column.type for column in product.contract.columns}
        # Inputs that were read already, by alias, and files of which inputs are some rows.
        self.scans, self.read = scans or {}, read or {}
        self.resources = ExitStack()

    @property
    def tables(self) -> list[InputFiles]:
        return [files for files in self.inputs.values() if files.is_table]

    @cached_property
    def bench(self) -> "duckdb.DuckDBPyConnection":
        return self.resources.enter_context(self.engine.bench(self.tables, self.product.domain))

    def run_query(self) -> dict[str, str]:
        """Run the query of a product, and return the types that its columns were written in."""
        import duckdb

        sql = self.product.sql
        if before := duck.before(sql, self.tables, self.product.domain):
            # An error is raised again below, by the query over views: its text is the user's own.
            with suppress(duckdb.ProgrammingError), self.engine.cursor() as cursor:
                return duck.stage(cursor, sql, self.target, self.declared_types, before)
        return duck.stage(self.bench, sql, self.target, self.declared_types)

    def call(self, recipe: Recipe) -> Any:
        """Call the function of a product."""
        arguments: dict[str, Any] = {}
        for name, handover in recipe.handovers.items():
            if name != recipe.target:
                arguments[name] = self._hand_over(name, handover)
        if recipe.target:
            arguments[recipe.target] = self.target
        return recipe.function(**arguments)

    def _hand_over(self, alias: str, handover: str) -> Any:
        """Return the argument for a parameter: an input, or the product's moment."""
        if handover in MOMENTS:
            assert self.product.moment is not None
            return self.product.moment.date() if handover == DATE else self.product.moment
        files = self.inputs[alias]
        if handover == LAZY_FRAME:
            return self._scan(files)
        if handover == DATA_FRAME:
            return self._scan(files).collect()
        if handover == RELATION:
            return self.bench.table(identifier(alias))
        if handover == TABLE:
            return self._scan(files).collect().to_arrow()
        return files.paths[0]

    def _scan(self, files: InputFiles) -> "pl.LazyFrame":
        if files.alias in self.scans:
            return self.scans[files.alias]
        if files.source is None or files.source.format == "parquet":
            return lazy.scan(files, self.read)
        # DuckDB reads all text, so that a file has the same values for every product. The rows go
        # through a file, not through memory.
        copy = self._temporary_file(files.alias)
        options = "(format parquet, compression lz4_raw)"
        with self.engine.cursor() as cursor:
            cursor.execute(f"copy ({duck.select(files)}) to {literal(str(copy))} {options}")
        return lazy.as_declared(copy, files.source)

    def _temporary_file(self, name: str) -> Path:
        """Return the path of a file beside the target that is removed when the product is built."""
        path = self.target.with_name(f"aside-{name}.parquet")
        self.resources.callback(path.unlink, missing_ok=True)
        return path

    def stage(self, result: Any) -> dict[str, str]:
        """Write the table that a function returned, and return its columns' types as written."""
        import duckdb
        import polars as pl

        if isinstance(result, duckdb.DuckDBPyRelation):
            return self._stage_relation(result)
        if is_arrow_table(result):
            result = pl.from_arrow(result)
        if isinstance(result, pl.DataFrame):
            result = result.lazy()
        if isinstance(result, pl.LazyFrame):
            return lazy.stage(result, self.target, self.declared_types)
        raise BuildError(
            f"the function returned {type(result).__name__}",
            hint="Return a polars LazyFrame or DataFrame, a DuckDB relation or an Arrow table.",
            where=self.product.where,
        )

    def _stage_relation(self, relation: "duckdb.DuckDBPyRelation") -> dict[str, str]:
        import duckdb

        try:
            relation.create_view("__result")
            return duck.stage(self.bench, "from __result", self.target, self.declared_types)
        except duckdb.CatalogException:  # of a connection of the user's own: copy its rows
            check_names(relation.columns)
            casts(dict(zip(relation.columns, map(str, relation.types), strict=True)), {})
            copy = self._temporary_file("result")
            relation.write_parquet(str(copy))
            query = duck.parquet([copy])
            return duck.stage(self.bench, query, self.target, self.declared_types)

    def write_file(self, result: Any, parameter: str) -> None:
        """Write the file of a product, unless the function did, with `parameter` ('' for none)."""
        match result:
            case bytes():
                self.target.write_bytes(result)
            case str():
                self.target.write_text(result, encoding="utf-8")
            case None if self.target.is_file():
                pass
            case _:
                where = f" to its parameter {parameter!r}" if parameter else ""
                raise BuildError(
                    f"the function wrote nothing{where} and returned {type(result).__name__}",
                    hint="Write the file to a parameter annotated pathlib.Path, "
                    "or return bytes or str.",
                    where=self.product.where,
                )


def is_arrow_table(result: Any) -> bool:
    """Return whether a value is a table of Arrow, without importing it."""
    kind = type(result)
    return kind.__module__.startswith("pyarrow") and kind.__name__ == "Table"
