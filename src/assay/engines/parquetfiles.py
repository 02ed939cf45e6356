"""Parquet files that are not ours, as queries read them: each declared column as exactly its declared type."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.engines.feed import Feed
from assay.engines.pathcolumns import by_path
from assay.engines.quoting import identifier, source_files
from assay.engines.types import exact, from_polars
from assay.errors import BuildError
from assay.model import Source


def select(feed: Feed) -> str:
    """Return the query that reads Parquet files of a source."""
    source = feed.source
    assert source is not None
    named = ", ".join(f"cast({identifier(c.name)} as {c.type}) as {identifier(c.name)}" for c in source.columns)
    options = "filename = '__file', hive_partitioning = false"
    return " union all ".join(
        f"select {named}{by_path(feed)} from read_parquet({source_files(files)}, {options})"
        for files in by_schema(source, feed.files)
    )


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
