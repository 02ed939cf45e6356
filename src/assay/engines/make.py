"""Makes one product: hands its inputs over, calls the function or runs the query, and stages what comes back."""

import shutil
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
MOMENTS = ("datetime.date", "datetime.datetime")
HANDOVERS = (LAZY_FRAME, DATA_FRAME, RELATION, TABLE, FILE)


class Recipe(Struct, frozen=True, kw_only=True):
    """What runs when a product is made: a function, how each parameter is handed over, which takes the file's path."""

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
    """Make a product, or a part of it, into the file `target` and return what it holds, as `measure` tells.

    Raises whatever the user's function raises; BuildError for a result that is not a product.
    """
    if product.kind is Kind.QUARANTINE:
        shutil.copyfile(inputs[0].paths[0], target)
        return measure(engine, target)
    making = _Making(product, inputs, engine, target)
    if recipe is None:
        with making.open:
            types = making.query()
        return measure(engine, target, product.event_time, types)
    with making.open:
        if product.kind is Kind.FILE:
            making.write(recipe, target)
            return Measured(rows=0, columns=(), digest=file_digest(target))
        else:
            types = making.stage(making.call(recipe, target), target)
            return measure(engine, target, product.event_time, types)


class _Making:
    """One product being made; a DuckDB bench is opened only when something asks for it."""

    def __init__(
        self, product: Product, inputs: Sequence[InputFiles], engine: duck.DuckDB, target: Path
    ) -> None:
        self.product, self.inputs, self.engine = (
            product,
            {files.alias: files for files in inputs},
            engine,
        )
        self.target = target
        self.want = {column.name: column.type for column in product.contract.columns}
        self.open = ExitStack()

    @property
    def tables(self) -> list[InputFiles]:
        return [files for files in self.inputs.values() if files.is_table]

    @cached_property
    def bench(self) -> "duckdb.DuckDBPyConnection":
        return self.open.enter_context(self.engine.bench(self.tables, self.product.domain))

    def query(self) -> dict[str, str]:
        """Run the query of a product, and return the types that its columns were written in."""
        import duckdb

        product = self.product
        if before := duck.before(product.sql, self.tables, product.domain):
            with (
                suppress(duckdb.ProgrammingError),
                self.engine.cursor() as cursor,
            ):  # views tell it as users know it
                return duck.stage(cursor, product.sql, self.target, self.want, before)
        return duck.stage(self.bench, product.sql, self.target, self.want)

    def call(self, recipe: Recipe, target: Path) -> Any:
        given = {
            name: self._hand_over(name, how)
            for name, how in recipe.handovers.items()
            if name != recipe.target
        }
        return recipe.function(**given, **({recipe.target: target} if recipe.target else {}))

    def _hand_over(self, alias: str, how: str) -> Any:
        if how in MOMENTS:
            assert self.product.moment is not None
            return self.product.moment.date() if how == "datetime.date" else self.product.moment
        files = self.inputs[alias]
        match how:
            case "polars.LazyFrame":
                return self._scan(files)
            case "polars.DataFrame":
                return self._scan(files).collect()
            case "duckdb.DuckDBPyRelation":
                return self.bench.table(identifier(alias))
            case "pyarrow.Table":
                return self._scan(files).collect().to_arrow()
        return files.paths[0]

    def _scan(self, files: InputFiles) -> "pl.LazyFrame":
        if files.source is None or files.source.format == "parquet":
            return lazy.scan(files)
        # Text is read by one engine, so to one value for all; what it read passes through a file, not through memory.
        aside = self._aside(files.alias)
        copy = f"copy ({duck.select(files)}) to {literal(str(aside))} (format parquet, compression lz4_raw)"
        with self.engine.cursor() as cursor:
            cursor.execute(copy)
        return lazy.as_declared(aside, files.source)

    def _aside(self, name: str) -> Path:
        """Return a file beside the one being made that is gone when that is made."""
        aside = self.target.with_name(f"aside-{name}.parquet")
        self.open.callback(aside.unlink, missing_ok=True)
        return aside

    def stage(self, result: Any, target: Path) -> dict[str, str]:
        """Write what a function returned, and return the types that its columns were written in."""
        import duckdb
        import polars as pl

        match result:
            case pl.LazyFrame():
                return lazy.stage(result, target, self.want)
            case pl.DataFrame():
                return lazy.stage(result.lazy(), target, self.want)
            case duckdb.DuckDBPyRelation():
                return self._stage_relation(result, target)
            case _ if (
                type(result).__module__.startswith("pyarrow") and type(result).__name__ == "Table"
            ):
                frame = pl.from_arrow(result)
                assert isinstance(frame, pl.DataFrame)
                return lazy.stage(frame.lazy(), target, self.want)
            case _:
                raise BuildError(
                    f"the function returned {type(result).__name__}",
                    hint="Return a polars LazyFrame or DataFrame, a DuckDB relation or an Arrow table.",
                    where=self.product.where,
                )

    def _stage_relation(self, relation: "duckdb.DuckDBPyRelation", target: Path) -> dict[str, str]:
        import duckdb

        try:
            relation.create_view("__result")
            return duck.stage(self.bench, "from __result", target, self.want)
        except (
            duckdb.CatalogException
        ):  # made on a connection of the user's own: bring its rows over
            check_names(relation.columns)
            casts(dict(zip(relation.columns, map(str, relation.types), strict=True)), {})
            aside = self._aside("result")
            relation.write_parquet(str(aside))
            return duck.stage(self.bench, duck.parquet([aside]), target, self.want)

    def write(self, recipe: Recipe, target: Path) -> None:
        result = self.call(recipe, target)
        match result:
            case bytes():
                target.write_bytes(result)
            case str():
                target.write_text(result, encoding="utf-8")
            case None if target.is_file():
                pass
            case _:
                wrote = (
                    f"wrote nothing to its parameter {recipe.target!r}"
                    if recipe.target
                    else "wrote nothing"
                )
                raise BuildError(
                    f"the function {wrote} and returned {type(result).__name__}",
                    hint="Write the file to a parameter annotated pathlib.Path, or return bytes or str.",
                    where=self.product.where,
                )
