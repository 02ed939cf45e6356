"""Measures staged files: rows, columns, content digest, last event time; each is read once for all of it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from assay.engines.duckdb import DuckDB, keyed, parquet
from assay.engines.quoting import identifier, literal
from assay.engines.tables import Measured, StoredTable
from assay.errors import ResultRefused
from assay.model import Column
from assay.plan.digests import digest
from assay.plan.names import nearest

if TYPE_CHECKING:
    import duckdb

# Types that DuckDB reads from Parquet just as they were written, by either engine.
_AS_WRITTEN = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|VARCHAR|BLOB|DATE|TIMESTAMP( WITH TIME ZONE)?"
    r"|DECIMAL\(\d+,\d+\)"
)
_RANGES = 64  # ranges of rows that are told apart in one query


class PartCheck(NamedTuple):
    """The rows of a part: those whose `column`, at this grain (as in Partition), is `key`."""

    column: str
    grain: str
    key: str


def measure(
    engine: DuckDB,
    file: Path,
    event_time: str = "",
    types: Mapping[str, str] | None = None,
    *,
    part_check: PartCheck | None = None,
) -> Measured:
    """Read a staged Parquet file once: rows, columns, last event time, and a digest of the content.

    The digest is the sum of a hash of each row, so it depends neither on the order of rows nor on
    the layout of files. `types` are those that the columns were written in: DuckDB may not see all
    of them. Rows that do not meet `part_check` are counted as `foreign_rows`.
    """
    staged = parquet([file])
    with engine.cursor() as cursor:
        columns = _columns(cursor, staged, types or {})
        measures = _measures(columns, event_time)
        is_foreign = is_foreign_to(part_check, columns)
        if is_foreign:
            measures.append(f"count_if({is_foreign})")
        row = _one(cursor, f"select {', '.join(measures)} {staged}")
    measured = _measured(engine, columns, event_time, row)
    return replace(measured, foreign_rows=row[-1] or 0) if is_foreign else measured


def _one(cursor: "duckdb.DuckDBPyConnection", query: str) -> Sequence[Any]:
    row = cursor.execute(query).fetchone()
    assert row is not None
    return row


def measure_by(
    engine: DuckDB, file: Path, key: str, columns: Sequence[Column], event_time: str = ""
) -> dict[str | None, Measured]:
    """Read a staged Parquet file once: what the rows of each value of `key` (SQL of a text) hold, in order."""
    measures = ", ".join(_measures(columns, event_time))
    grouped = f"select {measures}, {key} {parquet([file])} group by {key} order by {key}"
    with engine.cursor() as cursor:
        rows = cursor.execute(grouped).fetchall()
    return {row[-1]: _measured(engine, columns, event_time, row) for row in rows}


def measure_tables(
    engine: DuckDB, tables: Sequence[StoredTable], columns: Sequence[Column]
) -> list[Measured]:
    """Return what each of some stored tables of the same columns holds."""
    found: list[Any] = []
    measures = ", ".join(_measures(columns, ""))
    with engine.cursor() as cursor:
        for start in range(0, len(tables), 100):
            some = enumerate(tables[start : start + 100], start)
            every = " union all ".join(f"select {measures}, {n} {parquet(t)}" for n, t in some)
            found += cursor.execute(every).fetchall()
    return [_measured(engine, columns, "", row) for row in sorted(found, key=lambda row: row[-1])]


def measure_ranges(
    engine: DuckDB, file: Path, rows: Sequence[int], columns: Sequence[Column]
) -> list[Measured]:
    """Return what the ranges of a staged file hold that follow each other from its first row, of so many rows each."""
    ends, found = list(accumulate(rows)), dict[int, Any]()
    measures, nothing = ", ".join(_measures(columns, "")), (0, None)
    numbered = (
        f"read_parquet({literal(str(file))}, file_row_number = true, hive_partitioning = false)"
    )
    with engine.cursor() as cursor:
        for start in range(0, len(rows), _RANGES):
            some = dict(enumerate(ends[start : start + _RANGES], start))
            inside = f"file_row_number between {ends[start] - rows[start]} and {ends[start + len(some) - 1] - 1}"
            range_of = " ".join(f"when file_row_number < {end} then {n}" for n, end in some.items())
            told = f"select case {range_of} end, {measures} from {numbered} where {inside} group by all"
            found |= {row[0]: row[1:] for row in cursor.execute(told).fetchall()}
    return [_measured(engine, columns, "", found.get(n, nothing)) for n in range(len(rows))]


def is_foreign_to(part: PartCheck | None, columns: Sequence[Column]) -> str:
    """Return the SQL condition that a row is of another part; '' where no column gives the part."""
    if part is None:
        return ""
    for column in columns:
        if column.name.lower() == part.column.lower():
            key = keyed(identifier(column.name), part.grain, column.type)
            return f"{key} is distinct from {literal(part.key)}"
    return ""


def columns_hint(name: str, columns: Iterable[str]) -> str:
    """Return what to say to somebody who names a column that is not among these."""
    names = list(columns)
    return f"It has {', '.join(names)}. {nearest(name, names)}".strip()


def _measures(columns: Sequence[Column], event_time: str) -> list[str]:
    """Return what is measured of rows: how many, the sum of their hashes, the last event time where there is one.

    Raises ResultRefused where no column is called so.
    """
    names = [column.name for column in columns]
    if event_time and event_time.lower() not in {name.lower() for name in names}:
        hint = columns_hint(event_time, names)
        raise ResultRefused(
            f"event_time names {event_time!r}, and the result has no such column", hint=hint
        )
    latest = [f"max({identifier(event_time)})"] if event_time else []
    return ["count(*)", f"sum(hash({', '.join(_hashed(c) for c in columns)}))", *latest]


def _measured(
    engine: DuckDB, columns: Sequence[Column], event_time: str, row: Sequence[Any]
) -> Measured:
    rows, total = row[:2]
    content = digest(
        [engine.version, [[c.name, c.type, c.logical] for c in columns], rows, str(total)]
    )
    last = _moment(row[2]) if event_time else None
    return Measured(rows=rows, columns=tuple(columns), digest=content, data_as_of=last)


def _columns(
    cursor: "duckdb.DuckDBPyConnection", staged: str, types: Mapping[str, str]
) -> tuple[Column, ...]:
    """Return the columns of a staged file; it is asked only where they may not read as they were written."""
    if types and all(_AS_WRITTEN.fullmatch(type) for type in types.values()):
        return tuple(Column(name=name, type=type) for name, type in types.items())
    described = cursor.execute(f"describe {staged}").fetchall()
    return tuple(_column(row[0], row[1], types.get(row[0], row[1])) for row in described)


def _column(name: str, seen: str, written: str) -> Column:
    same = written.replace('"', "") == seen.replace(
        '"', ""
    )  # the engines quote the names of fields differently
    return Column(name=name, type=seen, logical="" if same else written)


def _hashed(column: Column) -> str:
    """Return what to hash of a column, so that what differs is told apart: -0.0 from 0.0, [] from null."""
    name = identifier(column.name)
    if column.type in {"FLOAT", "DOUBLE"}:
        return f"{name}, signbit({name})"
    nested = column.type.endswith("]") or column.type.startswith(("STRUCT(", "MAP("))
    return f"cast(to_json({name}) as varchar)" if nested else name


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None
