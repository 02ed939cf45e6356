"""What differs between two stored tables: rows, values and totals, found by DuckDB."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.damage import damage_reported
from assay.engines.duckdb import parquet, reading_room
from assay.engines.quoting import identifier, literal
from assay.engines.tables import StoredTable
from assay.engines.types import INTEGERS
from assay.errors import UsageError
from assay.model import Column
from assay.sensitive import HIDDEN

if TYPE_CHECKING:
    import duckdb

Number = int | float | Decimal
_FLOATS = {"FLOAT", "DOUBLE"}
_NUMERIC = {*INTEGERS, *_FLOATS, "DECIMAL"}
_SIDES = ("before", "after")


class RowChange(StrEnum):
    """What happened to a row."""

    NEW = "new"
    CHANGED = "changed"
    GONE = "gone"


class Total(Struct, frozen=True):
    """The sum of a column in both tables; None where there is no value."""

    before: Number | None
    after: Number | None

    @property
    def by(self) -> Number:
        """Return how much more it is after; a missing total counts as 0."""
        before, after = self.before or 0, self.after or 0
        if isinstance(before, float) or isinstance(after, float):
            return float(after) - float(before)
        return after - before


class DifferingRow(Struct, frozen=True):
    """A row that differs: its values by column, of the columns that were compared.

    `count` is how many equal rows there are more, or fewer, where rows are not matched by key.
    `differing` are the columns with another value, of a changed row.
    """

    change: RowChange
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    count: int = 1
    differing: tuple[str, ...] = ()


def is_number(type: str) -> bool:
    """Return whether a DuckDB type is that of numbers."""
    return not type.endswith("]") and type.partition("(")[0] in _NUMERIC


class Difference:
    """Two tables of one connection, `before_moved` and `after_moved`, compared row by row.

    `key` are the columns that identify a row; without them, equal rows are counted. Only `columns`
    are compared, which both tables have. With a key, floats are equal within `tolerance`, absolute
    or relative.
    """

    def __init__(
        self,
        connection: "duckdb.DuckDBPyConnection",
        columns: Sequence[Column],
        key: Sequence[str],
        tolerance: float = 0.0,
    ) -> None:
        self._connection, self._columns, self.key = connection, list(columns), tuple(key)
        self._numbers = {column.name: number for number, column in enumerate(columns)}
        self._tolerance = tolerance
        connection.execute(self._by_key() if key else self._as_rows())

    def counts(self) -> Mapping[RowChange, int]:
        """Return how many rows are new, changed and gone."""
        query = "select change, sum(copies)::bigint from differing group by change"
        found = dict(self._connection.execute(query).fetchall())
        return {change: int(found.get(str(change), 0)) for change in RowChange}

    def changed_columns(self) -> Mapping[str, int]:
        """Return in how many changed rows each column has another value, most first."""
        values = [c for c in self._columns if c.name not in self.key]
        if not self.key or not values:
            return {}
        sums = ", ".join(f"count(*) filter ({self._differs(column)})" for column in values)
        query = f"select {sums} from differing where change = 'changed'"
        [row] = self._connection.execute(query).fetchall()
        found = {c.name: n for c, n in zip(values, row, strict=True) if n}
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def rows(self, limit: int, measure: str = "") -> Iterator[DifferingRow]:
        """Yield at most `limit` rows: those with the largest change of a measure first."""
        order = ["change = 'gone'", "change = 'changed'"]
        order += [f"{self._side(name)} nulls first" for name in self.key]
        if measure:
            number = self._numbers[measure]
            order.insert(0, f"abs(coalesce(a{number}, 0)::double - coalesce(b{number}, 0)) desc")
        elif not self.key:
            order.append("all")
        listed = ", ".join(f"{side}{n}" for side in "ba" for n in range(len(self._columns)))
        values = [c for c in self._columns if c.name not in self.key] if self.key else []
        unlike = f"[{', '.join(map(self._differs, values))}]" if values else "[]"
        query = f"select change, copies, {unlike}, {listed} from differing"
        ordered = "order by all" if order[-1] == "all" else f"order by {', '.join(order)}"
        names = list(self._numbers)
        answer = self._connection.execute(f"{query} {ordered} limit {limit}")
        for change, copies, flags, *found in answer.fetchall():
            before = dict(zip(names, found[: len(names)], strict=True))
            after = dict(zip(names, found[len(names) :], strict=True))
            changed = change == RowChange.CHANGED
            differing = (c.name for c, unlike in zip(values, flags, strict=True) if unlike)
            yield DifferingRow(
                RowChange(change), before, after, copies, tuple(differing) if changed else ()
            )

    def write(self, file: Path, hidden: Sequence[str], options: str) -> None:
        """Write all rows that differ: what happened, the key, then values before and after."""
        columns = [("change", "change"), *([] if self.key else [("copies", "copies")])]
        for name, number in self._numbers.items():
            if name in hidden:
                columns.append((literal(HIDDEN), name))
            elif name in self.key:
                columns.append((self._side(name), name))
            else:
                columns += [(f"b{number}", f"{name} before"), (f"a{number}", f"{name} after")]
        names = _unlike_names([name for _, name in columns])
        selected = ", ".join(
            f"{sql} as {identifier(name)}" for (sql, _), name in zip(columns, names, strict=True)
        )
        order = ", ".join([*(self._side(name) for name in self.key), "differing.change"])
        query = f"select {selected} from differing order by {order}"
        self._connection.execute(f"copy ({query}) to {literal(str(file))} ({options})")

    # ------------------------------------------------------------------------------- queries

    def _side(self, name: str) -> str:
        """Return the SQL of the value of a column: after, or before where the row is gone."""
        number = self._numbers[name]
        return f"(case when differing.change = 'gone' then b{number} else a{number} end)"

    def _by_key(self) -> str:
        numbers = self._numbers.values()
        on = " and ".join(
            f"b{self._numbers[name]} is not distinct from a{self._numbers[name]}"
            for name in self.key
        )
        values = [c for c in self._columns if c.name not in self.key]
        differs = " or ".join(map(self._differs, values)) or "false"
        listed = ", ".join(f"b{n}, a{n}" for n in numbers)
        return (
            "create temp table differing as select case when __b is null then 'new'"
            f" when __a is null then 'gone' else 'changed' end as change, 1 as copies, {listed}"
            f" from (select true as __b, {self._numbered('b')} from before_moved)"
            f" full join (select true as __a, {self._numbered('a')} from after_moved) on {on}"
            f" where __b is null or __a is null or {differs}"
        )

    def _as_rows(self) -> str:
        numbers = self._numbers.values()
        sides = ", ".join(
            f"case when n {sign} 0 then v{number} end as {side}{number}"
            for side, sign in (("b", "<"), ("a", ">"))
            for number in numbers
        )
        grouped = ", ".join(f"v{number}" for number in numbers)
        return (
            "create temp table differing as select case when n > 0 then 'new' else 'gone' end"
            f" as change, abs(n)::bigint as copies, {sides} from"
            f" (select {grouped}, sum(s) as n from"
            f" (select {self._numbered('v')}, -1 as s from before_moved"
            f" union all select {self._numbered('v')}, 1 from after_moved)"
            f" group by {grouped} having sum(s) <> 0)"
        )

    def _numbered(self, side: str) -> str:
        return ", ".join(f"{identifier(name)} as {side}{n}" for name, n in self._numbers.items())

    def _differs(self, column: Column) -> str:
        before, after = (f"{side}{self._numbers[column.name]}" for side in "ba")
        differs = f"{before} is distinct from {after}"
        if self._tolerance and column.type in _FLOATS:
            least = f"{self._tolerance!r} * greatest(1, abs({before}), abs({after}))"
            finite = f"isfinite({before}) and isfinite({after})"
            near = f"{finite} and abs({before} - {after}) <= {least}"
            return f"({differs} and not coalesce({near}, false))"
        return f"({differs})"


@contextmanager
def comparing(
    tables: Mapping[str, StoredTable],
    columns: Sequence[Column],
    spill: Path,
    limits: Mapping[str, str],
    writable: Path | None = None,
) -> Iterator["duckdb.DuckDBPyConnection"]:
    """Provide a connection with a view of these columns for each stored table, by its name.

    It can reach nothing else but the file `writable`. Raises UsageError for values that cannot be
    compared or added up, and for a file that cannot be written.
    """
    import duckdb

    files = [file for table in tables.values() for file in table.files]
    views = {name: _view(table, columns) for name, table in tables.items()}
    with damage_reported(tables.values()):
        paths = list(files)
        if (
            writable
        ):  # DuckDB replaces a file that is there by one with this name, when it is written
            paths += [writable, writable.with_name(f"tmp_{writable.name}")]
        room = reading_room(list(dict.fromkeys(paths)), views, spill, limits)
        try:
            yield room
        except (duckdb.ConversionException, duckdb.OutOfRangeException):  # they tell values
            raise UsageError(
                "values cannot be compared or added up: they are too large, or of other types",
                hint="--measure adds up other columns.",
            ) from None
        except duckdb.IOException:
            if writable and not os.access(writable.absolute().parent, os.W_OK):
                raise UsageError(
                    f"{writable.name} cannot be written to {writable.parent}"
                ) from None
            raise
        finally:
            room.close()


def _view(table: StoredTable, columns: Sequence[Column]) -> str:
    if not table.files:
        nulls = ", ".join(f"null::{c.type} as {identifier(c.name)}" for c in columns)
        return f"select {nulls} where false"
    names = (
        f"{identifier(c.name)}::varchar as {identifier(c.name)}"
        if c.type == "VARCHAR"  # of the other table it may be anything
        else identifier(c.name)
        for c in columns
    )
    return f"select {', '.join(names)} {parquet(table)}"


def _unlike_names(names: Sequence[str]) -> list[str]:
    """Return names that are unlike each other whatever their case; columns keep theirs if they can."""
    found: dict[str, str] = {}
    for name in names:
        unlike = name
        while unlike.lower() in found:
            unlike += "_"
        found[unlike.lower()] = unlike
    return list(found.values())


def totals(
    connection: "duckdb.DuckDBPyConnection",
    measures: Sequence[str],
    by: Sequence[str] = (),
    limit: int = 0,
) -> Sequence[tuple[tuple[Any, ...], Mapping[str, Total]]]:
    """Return the sums of columns of `before` and `after`, by the values of the columns `by`.

    With `by`, only groups with another sum are returned, at most `limit`: those with the largest
    change of the first measure first.
    """
    groups = "".join(f"{identifier(name)} as g{i}, " for i, name in enumerate(by))
    sums = ", ".join(f"sum({identifier(name)}) as s{i}" for i, name in enumerate(measures))
    grouped = f" group by {', '.join(f'{i + 1}' for i in range(len(by)))}" if by else ""
    before, after = (f"(select {groups}{sums} from {side}{grouped})" for side in _SIDES)
    on = " and ".join(f"b.g{i} is not distinct from a.g{i}" for i in range(len(by))) or "true"
    keys = "".join(f"coalesce(b.g{i}, a.g{i}), " for i in range(len(by)))
    pairs = ", ".join(f"b.s{i}, a.s{i}" for i in range(len(measures)))
    query = f"select {keys}{pairs} from {before} b full join {after} a on {on}"
    if by:
        moved = " or ".join(f"b.s{i} is distinct from a.s{i}" for i in range(len(measures)))
        first = "abs(coalesce(a.s0, 0)::double - coalesce(b.s0, 0)) desc"
        numbered = "".join(f", {i + 1}" for i in range(len(by)))
        query += f" where {moved} order by {first}{numbered} limit {limit}"
    found = []
    for row in connection.execute(query).fetchall():
        values = row[len(by) :]
        sides = zip(measures, values[::2], values[1::2], strict=True)
        found.append((row[: len(by)], {name: Total(b, a) for name, b, a in sides}))
    return found


def repeated_key(
    connection: "duckdb.DuckDBPyConnection", side: str, key: Sequence[str]
) -> tuple[tuple[Any, ...], int] | None:
    """Return a key that several rows of a side have, and how many; None if there is none."""
    names = ", ".join(map(identifier, key))
    query = f"select {names}, count(*) from {side} group by all having count(*) > 1"
    row = connection.execute(f"{query} order by count(*) desc limit 1").fetchone()
    return None if row is None else (row[:-1], row[-1])
