"""Cuts a staged table into parts by what a column says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay.engines.duckdb import DuckDB, identifier, keyed
from assay.engines.feed import Measured
from assay.errors import BuildError
from assay.model import Column, Partition

MOST = 50_000  # parts of one table


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The rows of a staged table that are one part: how many, and the digest of what they hold."""

    key: str
    rows: int
    columns: tuple[Column, ...]
    digest: str
    data_as_of: datetime | None = None


def cut(staged: Path, partition: Partition, measured: Measured, event_time: str, engine: DuckDB) -> list[Cut]:
    """Return the parts that a staged table consists of, in order; BuildError when it cannot be cut."""
    [column] = partition.names
    there = {c.name: c.type for c in measured.columns}
    if column not in there:
        raise BuildError(f"it is split by {column}, and has no such column", hint=f"It has {', '.join(there)}.")
    if odd := [f"{c.name} ({c.logical})" for c in measured.columns if c.logical]:
        raise BuildError(
            f"a table with {', '.join(odd)} cannot be split", hint="Cast it to a type that DuckDB has too."
        )
    if not partition.grain and there[column].startswith(("TIMESTAMP", "DOUBLE", "FLOAT", "TIME")):
        raise BuildError(
            f"it is split by {column}, which is {there[column]}", hint=f"Write day({column}), or round it."
        )
    found = engine.measure_by(staged, keyed(identifier(column), partition.grain), measured.columns, event_time)
    if None in found:
        rows = found[None].rows
        raise BuildError(
            f"{column} is null in {rows:,} rows, so they are of no part", hint="Give them a value: coalesce()."
        )
    if len(found) > MOST:
        raise BuildError(f"{column} has {len(found):,} values: too many parts", hint="Split it by something coarser.")
    return [
        Cut(key=key, rows=m.rows, columns=m.columns, digest=m.digest, data_as_of=m.data_as_of)
        for key, m in found.items()
        if key is not None
    ]


def write(staged: Path, partition: Partition, pieces: Sequence[Cut], target: Path, engine: DuckDB) -> None:
    """Write the rows of some parts to a file, part after part in this order, each in the order it had."""
    key = keyed(identifier(partition.names[0]), partition.grain)
    engine.copy_by(staged, key, [piece.key for piece in pieces], target)
