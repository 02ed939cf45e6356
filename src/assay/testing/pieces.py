"""The rows of a table that is in parts, by the part that each is in."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from assay.errors import UsageError
from assay.model import Partition, Product, Source
from assay.plan.parts import NULL, is_key, key_of_day

if TYPE_CHECKING:
    import polars as pl

Key = tuple[str, ...]  # the values that name a part


def in_parts(of: Product | Source, frame: "pl.DataFrame") -> "dict[Key, pl.DataFrame]":
    """Return the rows of each part, by the values that name it, sorted.

    The values are in columns that are called as what splits the table. Without such a column, a
    period is that of the event time, and of files without placeholders there is one. Raises
    UsageError for rows of no part, and when there is no row.
    """
    assert of.partition is not None
    if frame.is_empty():
        raise UsageError(
            f"{of.name} is in parts, and each part has rows: give at least one row of it"
        )
    rows: dict[Key, list[int]] = {}
    for row, key in enumerate(zip(*_values(of, of.partition, frame), strict=True)):
        rows.setdefault(key, []).append(row)
    return {key: frame[rows[key]] for key in sorted(rows)}


def _values(
    of: Product | Source, partition: Partition, frame: "pl.DataFrame"
) -> Iterator[Iterator[str]]:
    for name in partition.names:
        column = name if name in frame.columns else ""
        if not column and partition.grain and of.event_time in frame.columns:
            column = of.event_time
        if column:
            values = frame[column].to_list()
            yield (_key(of.name, n, column, v, partition.grain) for n, v in enumerate(values, 1))
        elif name == of.name or "." in name:  # a part is a file, and rows are in one
            yield (_ONE for _ in range(frame.height))
        else:
            raise UsageError(
                f"{of.name} is in parts by {name}, and no row says its part",
                hint=f"Give each row a column {name!r}.",
            )


_ONE = "given"


def _key(of: str, number: int, column: str, value: Any, grain: str) -> str:
    """Return the name of the part of a row by one value; UsageError for a value that names none."""
    if value is None and not grain:
        return NULL
    if isinstance(value, date) and grain:
        return key_of_day(value.date() if isinstance(value, datetime) else value, grain)
    text = str(value)
    if not text or "\0" in text:
        raise UsageError(f"{of}: row {number}, {column}: {text!a} is the name of no part")
    if grain and (value is None or not is_key(text, grain)):
        shown = "null" if value is None else repr(text)
        raise UsageError(f"{of}: row {number}, {column}: {shown} is no {grain}")
    return text
