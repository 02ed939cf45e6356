"""Cuts a staged table into parts by the values of a column."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from assay.engines.duckdb import DuckDB, keyed
from assay.engines.measure import columns_hint, measure_by
from assay.engines.quoting import identifier
from assay.engines.tables import Measured
from assay.errors import ResultRefused
from assay.model import Column, Partition
from assay.plan.parts import is_key

MOST = 50_000  # parts of one table
_UNFIT = ("TIMESTAMP", "DOUBLE", "FLOAT", "TIME", "DECIMAL")  # types whose values are no keys


class Cut(Struct, frozen=True, kw_only=True):
    """The rows of a staged table that are one part: how many, and the digest of their content."""

    key: str
    rows: int
    columns: tuple[Column, ...]
    digest: str
    data_as_of: datetime | None = None


def cut(
    staged: Path, partition: Partition, measured: Measured, event_time: str, engine: DuckDB
) -> list[Cut]:
    """Return the parts of a staged table, in order of keys; a table without rows is one part ''.

    Raises ResultRefused for a table that cannot be cut.
    """
    column = _partition_column(partition, measured.columns)
    _check_types(column, partition, measured.columns)
    key = keyed(identifier(column.name), partition.grain, column.type)
    by_key = measure_by(engine, staged, key, measured.columns, event_time)
    if None in by_key:
        raise ResultRefused(
            f"{column.name} is null in {by_key[None].rows:,} rows, so they are of no part",
            hint="Give them a value: coalesce().",
        )
    parts = {key: part for key, part in by_key.items() if key is not None}
    _check_keys(parts, column.name, partition)
    if not parts:
        return [Cut(key="", rows=0, columns=measured.columns, digest=measured.digest)]
    return [
        Cut(
            key=key,
            rows=part.rows,
            columns=part.columns,
            digest=part.digest,
            data_as_of=part.data_as_of,
        )
        for key, part in parts.items()
    ]


def write(
    staged: Path, partition: Partition, pieces: Sequence[Cut], target: Path, engine: DuckDB
) -> None:
    """Write the rows of at least one part to a file, part after part, in the order of the table."""
    column = _partition_column(partition, pieces[0].columns)
    key = keyed(identifier(column.name), partition.grain, column.type)
    engine.copy_by(staged, key, [piece.key for piece in pieces], target)


def _partition_column(partition: Partition, columns: Sequence[Column]) -> Column:
    """Return the column that a table is cut by, found by its name in any case.

    Raises ResultRefused if the table has no such column.
    """
    name = partition.names[0]
    for column in columns:
        if column.name.lower() == name.lower():
            return column
    raise ResultRefused(
        f"partition_by names {name!r}, and the result has no such column",
        hint=columns_hint(name, [column.name for column in columns]),
    )


def _check_types(column: Column, partition: Partition, columns: Sequence[Column]) -> None:
    """Raise ResultRefused for columns that DuckDB cannot copy, and for values that are no keys."""
    zoned = [f"{c.name} ({c.logical})" for c in columns if c.logical]
    if zoned:
        raise ResultRefused(
            f"a table with {', '.join(zoned)} cannot be split",
            hint='Cast it to a type that DuckDB has too: text, or `.dt.convert_time_zone("UTC")`.',
        )
    if not partition.grain and column.type.startswith(_UNFIT):
        is_time = column.type.startswith("TIMESTAMP")
        raise ResultRefused(
            f"it is split by {column.name}, which is {column.type}",
            hint=f"Write day({column.name})."
            if is_time
            else "Cast it to a whole number or to text.",
        )
    if "file_row_number" in {c.name.lower() for c in columns}:
        raise ResultRefused(
            "a table with a column file_row_number cannot be split", hint="Call it something else."
        )


def _check_keys(keys: Iterable[str], column: str, partition: Partition) -> None:
    """Raise ResultRefused for values that cannot be the key of a part, and for too many of them."""
    keys = list(keys)
    for key in keys:
        if not key or (partition.grain and not is_key(key, partition.grain)):
            raise ResultRefused(
                f"{column} has {key!r}, which cannot be the name of a part",
                hint="Filter such rows out, or give them a value of their own.",
            )
    if len(keys) > MOST:
        raise ResultRefused(
            f"{column} has {len(keys):,} values: too many parts",
            hint="Split it by something coarser.",
        )
