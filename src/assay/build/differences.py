"""Compares two stored versions of a product, and sums up in a few figures how they differ."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from math import isfinite
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.build.compared_columns import ComparedColumns, DiffOptions, compared_columns
from assay.build.evidence import never_shown
from assay.build.inputs import Inputs
from assay.config import Config
from assay.engines.difference import (
    Difference,
    Number,
    RowChange,
    comparing,
    repeated_key,
    totals,
)
from assay.engines.tables import stored
from assay.facts import Figures, Part, TotalChange, Version
from assay.model import QUARANTINE, Product
from assay.sensitive import HIDDEN, secret
from assay.store.files import Storage

if TYPE_CHECKING:
    import duckdb

_MOST_CELLS = 10_000_000  # values of both versions whose rows are matched for figures
_LONGEST = 2.0  # seconds that figures may take


@contextmanager
def compared(
    storage: Storage,
    config: Config,
    versions: tuple[Version, Version],
    columns: ComparedColumns,
    to: Path | None = None,
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Provide the views `before` and `after`, and the same with only the parts that differ.

    It can reach nothing else but the file `to`.
    """
    sides = {}
    for side, version, moved in zip(("before", "after"), versions, _moved(versions), strict=True):
        sides[side] = stored(version, storage, _readable(version))
        sides[f"{side}_moved"] = stored(version, storage, moved)
    with comparing(sides, columns.common, config.spill_folder, config.limits, to) as connection:
        yield connection


def _readable(version: Version) -> list[Part]:
    return [part for part in version.parts if version.in_parts or part.key != QUARANTINE]


def _moved(versions: tuple[Version, Version]) -> Iterator[list[Part]]:
    """Yield for each version its parts that the other does not have."""
    for version, other in (versions, versions[::-1]):
        known = {(part.key, part.digest) for part in other.parts if part.digest}
        yield [part for part in _readable(version) if (part.key, part.digest) not in known]


def hidden_columns(
    inputs: Inputs, product: Product | None, versions: Sequence[Version]
) -> set[str]:
    """Return the columns whose values are never shown: those that are sensitive in a version."""
    hidden: set[str] = set()
    for version in versions:
        names = [column.name for column in version.columns]
        if product is None:  # nobody says any more which are sensitive
            hidden |= set(names)
        else:
            table = inputs.files_of_version(product.name, product.name, version).table
            hidden |= secret(names, never_shown(inputs, product, table))
    return hidden


def repeats(
    connection: "duckdb.DuckDBPyConnection", key: Sequence[str], hidden: Collection[str]
) -> str:
    """Return that several rows have the same key, in words; '' if each has its own."""
    for side in ("before", "after"):
        repeated = repeated_key(connection, f"{side}_moved", key)
        if repeated is None:
            continue
        values = [
            HIDDEN if name in hidden else str(value)
            for name, value in zip(key, repeated[0], strict=True)
        ]
        return f"{repeated[1]} rows have the key {', '.join(values)} {side}"
    return ""


def figures_of(inputs: Inputs, product: Product, old: Version, new: Version) -> Figures:
    """Return how two versions differ in figures: rows, and the sums that rules promise.

    Rows that are new, changed and gone are counted where they are few enough to be matched fast;
    sums of sensitive columns are left out.
    """
    import duckdb

    figures = Figures(rows_before=old.rows, rows_after=new.rows)
    if not (old.columns and new.columns):
        return figures
    columns = compared_columns(old, new, product, DiffOptions())
    shown = [n for n in columns.measures if n not in hidden_columns(inputs, product, (old, new))]
    with (
        suppress(duckdb.InterruptException),
        compared(inputs.storage, inputs.config, (old, new), columns) as connection,
        _at_most(connection, _LONGEST),
    ):
        if shown:
            figures = replace(figures, totals=_totals(connection, shown))
        rows = sum(part.rows for parts in _moved((old, new)) for part in parts)
        if rows * len(columns.common) <= _MOST_CELLS:
            key = () if columns.key and repeats(connection, columns.key, ()) else columns.key
            counts = Difference(connection, columns.common, key).counts()
            figures = replace(
                figures,
                new=counts[RowChange.NEW],
                changed=counts[RowChange.CHANGED] if key else None,
                gone=counts[RowChange.GONE],
            )
    return figures


def _totals(
    connection: "duckdb.DuckDBPyConnection", measures: Sequence[str]
) -> tuple[TotalChange, ...]:
    [(_, sums)] = totals(connection, measures)
    return tuple(
        TotalChange(column=name, before=_recorded(total.before), after=_recorded(total.after))
        for name, total in sums.items()
    )


def _recorded(value: Number | None) -> int | float | str | None:
    """Return a total as it is recorded; None for what is no number, or no finite one."""
    if isinstance(value, Decimal):
        return str(value)
    return value if value is not None and isfinite(value) else None


@contextmanager
def _at_most(connection: "duckdb.DuckDBPyConnection", seconds: float) -> Iterator[None]:
    """Interrupt what a connection does when it takes longer."""
    timer = Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
