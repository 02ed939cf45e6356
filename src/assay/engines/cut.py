"""Cuts a staged table into parts by what a column says."""

from collections.abc import Sequence
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


class Cut(Struct, frozen=True, kw_only=True):
    """The rows of a staged table that are one part: how many, and the digest of what they hold."""

    key: str
    rows: int
    columns: tuple[Column, ...]
    digest: str
    data_as_of: datetime | None = None


def cut(
    staged: Path, partition: Partition, measured: Measured, event_time: str, engine: DuckDB
) -> list[Cut]:
    """Return the parts that a staged table consists of, in order; ResultRefused when it cannot be cut.

    A table without rows is one part, called ''.
    """
    column, there = _column(partition, measured.columns), {c.name: c.type for c in measured.columns}
    if not column:
        [column] = partition.names
        raise ResultRefused(
            f"partition_by names {column!r}, and the result has no such column",
            hint=columns_hint(column, there),
        )
    if odd := [f"{c.name} ({c.logical})" for c in measured.columns if c.logical]:
        raise ResultRefused(
            f"a table with {', '.join(odd)} cannot be split",
            hint='Cast it to a type that DuckDB has too: text, or `.dt.convert_time_zone("UTC")`.',
        )
    if not partition.grain and there[column].startswith(
        ("TIMESTAMP", "DOUBLE", "FLOAT", "TIME", "DECIMAL")
    ):
        hint = (
            f"Write day({column})."
            if there[column].startswith("TIMESTAMP")
            else "Cast it to a whole number or to text."
        )
        raise ResultRefused(f"it is split by {column}, which is {there[column]}", hint=hint)
    if "file_row_number" in {name.lower() for name in there}:
        raise ResultRefused(
            "a table with a column file_row_number cannot be split", hint="Call it something else."
        )
    key = keyed(identifier(column), partition.grain, there[column])
    found = measure_by(engine, staged, key, measured.columns, event_time)
    if None in found:
        rows = found[None].rows
        raise ResultRefused(
            f"{column} is null in {rows:,} rows, so they are of no part",
            hint="Give them a value: coalesce().",
        )
    odd_keys = [
        name
        for name in found
        if not name or (partition.grain and not is_key(name, partition.grain))
    ]
    if odd_keys:
        told = f"{column} has {odd_keys[0]!r}, which cannot be the name of a part"
        raise ResultRefused(told, hint="Filter such rows out, or give them a value of their own.")
    if len(found) > MOST:
        raise ResultRefused(
            f"{column} has {len(found):,} values: too many parts",
            hint="Split it by something coarser.",
        )
    if not found:
        return [Cut(key="", rows=0, columns=measured.columns, digest=measured.digest)]
    return [
        Cut(key=key, rows=m.rows, columns=m.columns, digest=m.digest, data_as_of=m.data_as_of)
        for key, m in found.items()
        if key is not None
    ]


def _column(partition: Partition, columns: Sequence[Column]) -> str:
    """Return the column that a table is split by, as it is spelled there; '' for none."""
    return next((c.name for c in columns if c.name.lower() == partition.names[0].lower()), "")


def write(
    staged: Path, partition: Partition, pieces: Sequence[Cut], target: Path, engine: DuckDB
) -> None:
    """Write the rows of some parts (at least one) to a file, part after part, each in the order it had."""
    columns = pieces[0].columns
    column = _column(partition, columns)
    key = keyed(
        identifier(column), partition.grain, next(c.type for c in columns if c.name == column)
    )
    engine.copy_by(staged, key, [piece.key for piece in pieces], target)
