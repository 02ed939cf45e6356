"""Rows that a test gives as the tables that products read: typed as declared, complete, or refused."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.engines.types import of_column
from assay.errors import UsageError
from assay.model import Column
from assay.plan.names import nearest
from assay.testing.cells import Unfit, type_of, value_of
from assay.testing.rows import Table

if TYPE_CHECKING:
    import polars as pl

_FEW = 5  # problems that one message lists


def frame_of(
    label: str, table: Table, columns: Sequence[Column], *, free: Collection[str] | None = ()
) -> "pl.DataFrame":
    """Return the rows as a data frame of these columns, in their types; a column not given is null.

    Columns called as one of `free` may be given besides, of the types of their values; None: any.
    Raises UsageError with the first problems.
    """
    import polars as pl

    declared = {column.name: column for column in columns}
    extra = [name for name in table.columns if name not in declared]
    problems = [] if free is None else list(_unknown(extra, free, declared))
    if problems:
        extra = []
    series = []
    for name in [*declared, *extra]:
        try:
            series.append(_series(name, table, declared.get(name)))
        except Unfit as error:
            problems.append(str(error))
    if problems:
        more = f"; and {len(problems) - _FEW} more" if len(problems) > _FEW else ""
        raise UsageError(f"{label}: {'; '.join(problems[:_FEW])}{more}")
    if not series:
        raise UsageError(
            f"{label}: its columns are not known, as nothing declares them",
            hint="Give it a contract, or name its columns in a line of CSV.",
        )
    return pl.DataFrame(series)


def _unknown(
    extra: Sequence[str], free: Collection[str], declared: Mapping[str, Column]
) -> Iterator[str]:
    for name in extra:
        if name not in free:
            hint = nearest(name, declared) or f"It has: {', '.join(declared)}."
            yield f"it has no column {name!r}. {hint}"


def _series(name: str, table: Table, column: Column | None) -> "pl.Series":
    """Return a column; Unfit for a value that its type cannot hold, or a type that no table has."""
    import polars as pl

    values = [row.get(name) for row in table.rows]
    if column is None and name in table.types:
        return pl.Series(name, values, dtype=table.types[name])
    try:
        column = column or Column(name=name, type=type_of(values))
    except Unfit as error:
        raise Unfit(f"{name}: {error}") from None
    try:
        dtype = of_column(column)
        return pl.Series(name, [*_converted(name, column.type, values)], dtype=dtype)
    except StopIteration:
        raise Unfit(f"{name} is {column.type}, which cannot be given in a test") from None
    except Unfit:
        raise
    except (pl.exceptions.PolarsError, OverflowError, TypeError, ValueError) as error:
        raise Unfit(f"{name}: {str(error).partition(chr(10))[0]}") from None


def _converted(name: str, type: str, values: Sequence[Any]) -> Iterator[Any]:
    for number, value in enumerate(values, 1):
        try:
            yield value_of(value, type)
        except Unfit as error:
            raise Unfit(f"row {number}, {name}: {error}") from None


def with_nulls(frame: "pl.DataFrame", columns: Sequence[Column]) -> "pl.DataFrame":
    """Return a data frame with these columns besides, which are null in each row."""
    import polars as pl

    return frame.with_columns(pl.lit(None, of_column(c)).alias(c.name) for c in columns)


def write(frame: "pl.DataFrame", file: Path) -> None:
    """Write rows as Parquet, without bounds: those of floats ignore NaN, and DuckDB relies on them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(file, statistics=False)
