"""Measures staged files in one read: rows, columns, content digest, last event time."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from assay.engines.duckdb import DuckDB, keyed, number_of_row, numbered, parquet
from assay.engines.nested import same_type
from assay.engines.quoting import identifier, literal
from assay.engines.tables import Measured, StoredTable
from assay.errors import ResultRefused
from assay.model import Column
from assay.plan.digests import digest
from assay.plan.names import nearest

if TYPE_CHECKING:
    import duckdb

# Types that DuckDB reads from Parquet as they were written, by either engine.
_AS_WRITTEN = re.compile(
    r"BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|VARCHAR|BLOB|DATE|TIMESTAMP( WITH TIME ZONE)?"
    r"|DECIMAL\(\d+,\d+\)"
)
_RANGES = 1024  # ranges of rows that one query measures
_TABLES = 100  # tables that one query measures


class PartCheck(NamedTuple):
    """The rows of a part: those whose `column`, at this grain (as in Partition), is `key`."""

    column: str
    grain: str
    key: str


class PartsCheck(NamedTuple):
    """As PartCheck, of several parts: the key of each."""

    column: str
    grain: str
    keys: Sequence[str]


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
    the layout of files. `types` are those that the columns were written in: DuckDB does not read
    all of them back. Rows that do not meet `part_check` are counted as `foreign_rows`.
    """
    staged = parquet([file])
    with engine.cursor() as cursor:
        columns = _columns(cursor, staged, types or {})
        measures = _measures(columns, event_time, engine.until)
        is_foreign = is_foreign_to(part_check, columns)
        if is_foreign:
            measures.append(f"count_if({is_foreign})")
        row = _one(cursor, f"select {', '.join(measures)} {staged}")
    measured = _measured(engine, columns, event_time, row)
    return replace(measured, foreign_rows=row[-1] or 0) if is_foreign else measured


class Questions(NamedTuple):
    """What is asked of a staged file while it is measured.

    `counts` are aggregates over its rows, and `queries` are queries over `this`, whose rows are
    counted.
    """

    counts: Sequence[str] = ()
    queries: Sequence[str] = ()


def measure_and_ask(
    engine: DuckDB,
    file: Path,
    event_time: str,
    types: Mapping[str, str] | None,
    ask: Callable[[Sequence[Column]], Questions],
) -> tuple[Measured, list[int]]:
    """Measure a staged file and answer questions about its rows, in one query.

    `ask` returns the questions for the columns of the file. The answers are the value of each
    aggregate, then the number of rows of each query; there are none when one of them cannot be
    computed.
    """
    import duckdb

    staged = parquet([file])
    with engine.cursor() as cursor:
        columns = _columns(cursor, staged, types or {})
        measures = _measures(columns, event_time, engine.until)
        counts, queries = ask(columns)
        answers: list[int] = []
        row: Sequence[Any]
        try:
            row, answers = _answered(cursor, staged, measures, counts, queries)
        except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
            raise
        except duckdb.Error:
            row = _one(cursor, f"select {', '.join(measures)} {staged}")
    return _measured(engine, columns, event_time, row), answers


def _answered(
    cursor: "duckdb.DuckDBPyConnection",
    staged: str,
    measures: Sequence[str],
    counts: Sequence[str],
    queries: Sequence[str],
) -> tuple[Sequence[Any], list[int]]:
    """Return the values of `measures`, and the answers to `counts` and `queries`."""
    values = ", ".join([*measures, *counts])
    if not queries:
        row = _one(cursor, f"select {values} {staged}")
        return row[: len(measures)], [*row[len(measures) :]]
    # All branches of a union have as many columns.
    nulls = ", null" * (len(measures) + len(counts) - 1)
    branches = [f"select -1, {values} from this"]
    branches += [
        f"select {number}, count(*){nulls} from (\n{query}\n)"
        for number, query in enumerate(queries)
    ]
    together = f"with this as materialized ({staged}) {' union all '.join(branches)}"
    rows = {row[0]: row[1:] for row in cursor.execute(together).fetchall()}
    found = [rows[number][0] for number in range(len(queries))]
    return rows[-1][: len(measures)], [*rows[-1][len(measures) :], *found]


def _one(cursor: "duckdb.DuckDBPyConnection", query: str) -> Sequence[Any]:
    row = cursor.execute(query).fetchone()
    assert row is not None
    return row


def measure_by(
    engine: DuckDB, file: Path, key: str, columns: Sequence[Column], event_time: str = ""
) -> dict[str | None, Measured]:
    """Measure a staged file by the values of `key` (SQL of a text), in their order."""
    measures = ", ".join(_measures(columns, event_time, engine.until))
    grouped = f"select {measures}, {key} {parquet([file])} group by {key} order by {key}"
    with engine.cursor() as cursor:
        rows = cursor.execute(grouped).fetchall()
    return {row[-1]: _measured(engine, columns, event_time, row) for row in rows}


def measure_tables(
    engine: DuckDB, tables: Sequence[StoredTable], columns: Sequence[Column]
) -> list[Measured]:
    """Measure stored tables of the same columns."""
    rows: list[Any] = []
    measures = ", ".join(_measures(columns, "", None))
    with engine.cursor() as cursor:
        for start in range(0, len(tables), _TABLES):
            batch = enumerate(tables[start : start + _TABLES], start)
            queries = [f"select {measures}, {number} {parquet(table)}" for number, table in batch]
            rows += cursor.execute(" union all ".join(queries)).fetchall()
    return [_measured(engine, columns, "", row) for row in sorted(rows, key=lambda row: row[-1])]


def measure_ranges(
    engine: DuckDB,
    file: Path,
    rows: Sequence[int],
    columns: Sequence[Column],
    event_time: str = "",
    *,
    parts: PartsCheck | None = None,
) -> list[Measured]:
    """Measure consecutive ranges of rows of a staged file; `rows` are their lengths.

    Rows that are not of the part of their range, by `parts`, are counted as `foreign_rows`.
    """
    ends = list(accumulate(rows))
    measures = _measures(columns, event_time, engine.until)
    by_range: dict[int, Any] = {}
    with engine.cursor() as cursor:
        for start in range(0, len(rows), _RANGES):
            batch = [(end, n) for n, end in enumerate(ends[start : start + _RANGES], start)]
            first, last = ends[start] - rows[start], batch[-1][0] - 1
            foreign = _is_foreign_to_range(parts, columns, start, len(batch))
            values = ", ".join(["__range", *measures, f"count_if({foreign or 'false'})"])
            query = (
                f"select {values} from (select *, {number_of_row(batch)} as __range {numbered(file)}"
                f" where file_row_number between {first} and {last}) group by __range"
            )
            by_range |= {row[0]: row[1:] for row in cursor.execute(query).fetchall()}
    measured = []
    for number in range(len(rows)):
        row = by_range.get(number, (0, None, None, 0))
        part = _measured(engine, columns, event_time, row)
        measured.append(replace(part, foreign_rows=row[-1]) if parts and row[-1] else part)
    return measured


def columns_of_file(engine: DuckDB, file: Path, types: Mapping[str, str]) -> tuple[Column, ...]:
    """Return the columns of a staged file that were written in these types."""
    with engine.cursor() as cursor:
        return _columns(cursor, parquet([file]), types)


def _is_foreign_to_range(
    parts: PartsCheck | None, columns: Sequence[Column], start: int, count: int
) -> str:
    """Return the SQL condition that a row is not of the part of its `__range`, from `start` on."""
    if parts is None:
        return ""
    keys = ", ".join(map(literal, parts.keys[start : start + count]))
    own = f"[{keys}][__range + {1 - start}]"
    key = _key_of(parts.column, parts.grain, columns)
    return f"{key} is distinct from {own}" if key else ""


def is_foreign_to(part: PartCheck | None, columns: Sequence[Column]) -> str:
    """Return the SQL condition that a row is of another part; '' where no column gives the part."""
    key = _key_of(part.column, part.grain, columns) if part else ""
    return f"{key} is distinct from {literal(part.key)}" if part and key else ""


def _key_of(name: str, grain: str, columns: Sequence[Column]) -> str:
    """Return the SQL of the key of a row's part; '' where no column has this name, in any case."""
    for column in columns:
        if column.name.lower() == name.lower():
            return keyed(identifier(column.name), grain, column.type)
    return ""


def columns_hint(name: str, columns: Iterable[str]) -> str:
    """Return the hint for a name that is none of these columns."""
    names = list(columns)
    return f"It has {', '.join(names)}. {nearest(name, names)}".strip()


def _measures(columns: Sequence[Column], event_time: str, until: datetime | None) -> list[str]:
    """Return SQL of the number of rows, the sum of their hashes, and the last event time, if any.

    Events after `until` are not counted: one mistyped year would make all data look new for ever.

    Raises ResultRefused if the event time is no column.
    """
    names = [column.name for column in columns]
    if event_time and event_time.lower() not in {name.lower() for name in names}:
        hint = columns_hint(event_time, names)
        raise ResultRefused(
            f"event_time names {event_time!r}, and the result has no such column", hint=hint
        )
    latest = [_latest(columns, event_time, until)] if event_time else []
    return ["count(*)", f"sum(hash({', '.join(_hashed(c) for c in columns)}))", *latest]


def _latest(columns: Sequence[Column], event_time: str, until: datetime | None) -> str:
    name = identifier(event_time)
    type = next(c.type for c in columns if c.name.lower() == event_time.lower())
    if until is None or not type.startswith(("DATE", "TIMESTAMP")):
        return f"max({name})"
    limit = f"timestamptz {literal(until.isoformat())}"
    if type != "TIMESTAMP WITH TIME ZONE":
        limit = f"timezone('UTC', {limit})"
    return f"max({name}) filter (where {name} <= {limit})"


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
    """Return the columns of a staged file; it is read only if a type may read back as another."""
    if types and all(_AS_WRITTEN.fullmatch(type) for type in types.values()):
        return tuple(Column(name=name, type=type) for name, type in types.items())
    described = cursor.execute(f"describe {staged}").fetchall()
    return tuple(_column(row[0], row[1], types.get(row[0], row[1])) for row in described)


def _column(name: str, read: str, written: str) -> Column:
    return Column(name=name, type=read, logical="" if same_type(written, read) else written)


def _hashed(column: Column) -> str:
    """Return the SQL to hash of a column, which differs for -0.0 and 0.0, and for [] and null."""
    name = identifier(column.name)
    if column.type in {"FLOAT", "DOUBLE"}:
        return f"{name}, signbit({name})"
    nested = column.type.endswith("]") or column.type.startswith(("STRUCT(", "MAP("))
    return f"cast(to_json({name}) as varchar)" if nested else name


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else None
