"""Polars: scans inputs lazily, streams results to Parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.engines import nested
from assay.engines.formats import parquet as parquetfiles
from assay.engines.formats.pathcolumns import path_columns
from assay.engines.formats.shapes import by_shape
from assay.engines.nested import is_nested, tree_of
from assay.engines.tables import InputFiles, StoredTable
from assay.engines.types import casts, from_polars, has_same_type_in_duckdb, of_column, to_polars
from assay.model import Column, Source

if TYPE_CHECKING:
    import polars as pl

_ROW = "__row"


def scan(files: InputFiles, read: "Mapping[Path, pl.LazyFrame] | None" = None) -> "pl.LazyFrame":
    """Return an input as a LazyFrame: a product as stored, a source of Parquet as declared.

    Files of which only some rows are read may have been `read` already.
    """
    import polars as pl

    if files.empty:
        return pl.LazyFrame(schema={column.name: of_column(column) for column in files.empty})
    if files.source is None:
        frame = parquet(files.table, read)
        exact = [pl.col(column.name).cast(of_column(column)) for column in files.declared]
        return frame.with_columns(exact) if exact else frame
    declared = {column.name: of_column(column) for column in files.source.columns}
    if not files.paths:  # a part of which this source has no file
        by_path = {column.name: of_column(column) for column in files.source.path_columns}
        return pl.LazyFrame(schema=declared | by_path)
    frames = [
        _as_declared(
            group,
            files.source.columns,
            alike.shape.names if alike.shape else {},
            path_columns(files),
        )
        for alike in by_shape(files, files.paths)
        for group in parquetfiles.by_schema(alike, alike.paths)
    ]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def _as_declared(
    group: parquetfiles.Group,
    declared: Sequence[Column],
    names: Mapping[str, str],
    from_paths: Sequence["pl.Expr"],
) -> "pl.LazyFrame":
    """Return the rows of a group with the declared columns; `names` are those in its files."""
    import polars as pl

    stored = {column.name: names.get(column.name, column.name) for column in declared}
    nulls = {
        column.name: pl.lit(None, of_column(column))
        for column in declared
        if stored[column.name] not in group.stored
    }
    columns = [
        _declared(column, stored[column.name], group.stored[stored[column.name]])
        for column in declared
        if stored[column.name] in group.stored
    ]
    frame = group.scan(group.read_as, "__file" if from_paths else None)
    if not nulls:
        return frame.select(*columns, *from_paths)
    if not columns and not from_paths:
        # Constants alone have no number of rows: these depend on the row.
        is_row = pl.col(_ROW).is_null()
        values = [pl.when(is_row).then(null).alias(name) for name, null in nulls.items()]
        return frame.with_row_index(_ROW).select(values)
    names_by_path = [expression.meta.output_name() for expression in from_paths]
    with_nulls = frame.select(*columns, *from_paths).with_columns(**nulls)
    return with_nulls.select(*stored, *names_by_path)


def _declared(column: Column, name: str, stored: "pl.DataType") -> "pl.Expr":
    """Return a column of Parquet files, which call it `name`, in its declared type."""
    import polars as pl

    value = pl.col(name)
    if is_nested(column.type):
        return nested.as_declared(value, stored, tree_of(column.type)).alias(column.name)
    return value.cast(of_column(column)).alias(column.name)


def as_declared(file: Path, source: Source) -> "pl.LazyFrame":
    """Return a source's rows, which DuckDB wrote to a file, in the declared types of Polars."""
    import polars as pl

    frame = pl.scan_parquet(file, glob=False, hive_partitioning=False)
    return frame.with_columns(
        pl.col(column.name).cast(of_column(column)) for column in source.columns
    )


def parquet(
    table: StoredTable, read: "Mapping[Path, pl.LazyFrame] | None" = None
) -> "pl.LazyFrame":
    """Return a stored table as a LazyFrame, its files in order; `read` as in `scan`."""
    import polars as pl

    frames = []
    if table.split and (hive_files := table.hive_files):
        schema = {table.split[0]: to_polars(table.split[1])}
        frames.append(
            pl.scan_parquet(hive_files, glob=False, hive_partitioning=True, hive_schema=schema)
        )
    if plain_files := table.plain_files:
        frames.append(pl.scan_parquet(plain_files, glob=False, hive_partitioning=False))
    for file, ranges in table.cuts.items():
        cut = (read or {}).get(file)
        if cut is None:
            cut = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        frames += [cut.slice(start, rows) for start, rows in ranges]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def stage(
    frame: "pl.LazyFrame", target: Path, want: Mapping[str, str], *, group_rows: int | None = None
) -> dict[str, str]:
    """Write a LazyFrame to one Parquet file (zstd), in the contract's types if casts are exact.

    `group_rows` is the number of rows of a row group, if not that of Polars. Returns each column's
    type as DuckDB spells it, or as Polars does where DuckDB has no such type.
    """
    import polars as pl

    have = {
        name: from_polars(dtype) or str(dtype) for name, dtype in frame.collect_schema().items()
    }
    changed = casts(have, want)
    if changed:
        frame = frame.with_columns(
            pl.col(name).cast(to_polars(type)) for name, type in changed.items()
        )
    types = frame.collect_schema().items()
    # Bounds of floats ignore NaN, and DuckDB relies on them: `x <= 7` would hold for a NaN.
    bounds = not any("Float" in str(dtype) for _, dtype in types)
    frame.sink_parquet(
        target,
        compression="zstd",
        compression_level=1,
        row_group_size=group_rows,
        statistics={"min": bounds, "max": bounds, "null_count": True},
    )
    return {
        name: str(from_polars(t)) if has_same_type_in_duckdb(t) else str(t) for name, t in types
    }
