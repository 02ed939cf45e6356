"""Polars: scans inputs lazily, streams results to Parquet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.engines.feed import Feed, Table
from assay.engines.types import casts, exact, from_polars, to_polars, told_in_full
from assay.errors import BuildError
from assay.model import Source

if TYPE_CHECKING:
    import polars as pl


def scan(feed: Feed) -> "pl.LazyFrame":
    """Return a product, or a source of Parquet files, as a LazyFrame: columns as declared, or as stored."""
    import polars as pl

    if feed.source is None:
        return parquet(feed.table)
    if not feed.files:  # a part that this source has none of
        every = (*feed.source.columns, *feed.source.path_columns)
        return pl.LazyFrame(schema={c.name: to_polars(c.type) for c in every})
    columns = {c.name: to_polars(c.type) for c in feed.source.columns}
    told = [
        pl.col("__file").str.extract(feed.path_regex, index).cast(to_polars(c.type)).alias(c.name)
        for c, index in feed.source.told_by_path
    ]
    frames = [
        pl.scan_parquet(
            files, glob=False, hive_partitioning=False, include_file_paths="__file" if told else None
        ).select(*(pl.col(name).cast(dtype) for name, dtype in columns.items()), *told)
        for files in by_schema(feed.source, feed.files)
    ]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def parquet(table: Table) -> "pl.LazyFrame":
    """Return a stored table as a LazyFrame, its files in order."""
    import polars as pl

    frames = []
    if table.split and (told := table.told):
        schema = {table.split[0]: to_polars(table.split[1])}
        frames.append(pl.scan_parquet(told, glob=False, hive_partitioning=True, hive_schema=schema))
    if untold := table.untold:
        frames.append(pl.scan_parquet(untold, glob=False, hive_partitioning=False))
    for file, ranges in table.cuts.items():
        cut = pl.scan_parquet(file, glob=False, hive_partitioning=False)
        frames += [cut.slice(start, rows) for start, rows in ranges]
    return pl.concat(frames) if len(frames) > 1 else frames[0]


def by_schema(source: Source, files: Sequence[Path]) -> list[list[Path]]:
    """Return the Parquet files of a source in groups of one schema, so that no file's types are taken for another's.

    Raises BuildError for a file that lacks a declared column, or has it in a type that is not exactly what is declared.
    """
    import polars as pl

    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for file in files:
        try:
            with file.open("rb") as content:  # letters of a path would be taken for wildcards
                has = pl.read_parquet_schema(content)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise BuildError(f"{source.name}: cannot read {file.name!r}: {error}") from error
        types = {column.name: _spelled(has, column.name) for column in source.columns}
        for column in source.columns:
            have = types[column.name]
            if have != column.type and not exact(have, column.type):
                is_ = f"is {have}" if have else f"is not there; it has {', '.join(has)}"
                told = f"{file.name!r} should have a column {column.name!r} of type {column.type}; it {is_}"
                raise BuildError(f"{source.name}: {told}")
        groups.setdefault(tuple(sorted(types.items())), []).append(file)
    return list(groups.values())


def _spelled(schema: Mapping[str, Any], name: str) -> str:
    return (from_polars(schema[name]) or str(schema[name])) if name in schema else ""


def stage(frame: "pl.LazyFrame", target: Path, want: Mapping[str, str]) -> dict[str, str]:
    """Write a LazyFrame to one Parquet file (zstd), in the contract's types where the cast is exact.

    Returns each column's type: as DuckDB spells it, or as Polars does where that would not tell all of it.
    """
    import polars as pl

    have = {name: from_polars(dtype) or str(dtype) for name, dtype in frame.collect_schema().items()}
    changed = casts(have, want)
    if changed:
        frame = frame.with_columns(pl.col(name).cast(to_polars(type)) for name, type in changed.items())
    types = frame.collect_schema().items()
    # Bounds of floats leave NaN out, and DuckDB takes them at their word: `x <= 7` would hold for a NaN.
    bounds = not any("Float" in str(dtype) for _, dtype in types)
    frame.sink_parquet(
        target, compression="zstd", compression_level=1, statistics={"min": bounds, "max": bounds, "null_count": True}
    )
    return {name: str(from_polars(t)) if told_in_full(t) else str(t) for name, t in types}
