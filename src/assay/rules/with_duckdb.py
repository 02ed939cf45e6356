"""Judges rows in DuckDB: one query for all rules, in which what statistics rule out is not read; uniqueness alone."""

import math
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from assay.engines.duckdb import parquet
from assay.engines.quoting import identifier
from assay.engines.tables import StoredTable
from assay.engines.types import INTEGERS
from assay.rules.compile import Rows, Unique, Way, Whole
from assay.rules.with_polars import alike

if TYPE_CHECKING:
    import duckdb

_COUNTED = INTEGERS - {
    "HUGEINT",
    "UHUGEINT",
    "UBIGINT",
}  # numbers that a bit for each can tell apart
_SORTED = INTEGERS | {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
_IN_MEMORY = (
    2_000_000,
    50_000_000,
)  # values of eight bytes that are worth sorting there, where no limit is set
_BITS, _MOST_BITS = (
    64,
    800_000_000,
)  # for each row, and altogether (100 MB in each thread), that numbers may take
SMALL = 100_000  # rows up to which reading them once is cheaper than looking at statistics for each rule


def fused(ways: Iterable[Rows | Whole | Unique], table: str, *, prune: bool = False) -> str:
    """Return the one query that judges all of these: failing rows of each, or 1 where a column as a whole is bad.

    With `prune`, the rows that statistics and dictionaries can rule out are looked for on their own.
    """
    parts = ["count(*)"]
    for way in ways:
        match way:
            case Rows(fails=fails, prunes=True) if prune:
                parts.append(f"(select count(*) {table} where {fails})")
            case Rows(fails=fails):
                parts.append(f"coalesce(count_if({fails}), 0)")
            case Whole(passes=passes):
                parts.append(f"case when {passes} then 0 else 1 end")
            case Unique():
                parts.append(f"({repeats(way, table)})")
    return f"select {', '.join(parts)} {table}"


def repeats(way: Unique, table: str) -> str:
    """Return the query that counts the rows that are not the only one of their kind."""
    names = ", ".join(map(identifier, way.columns))
    return f"select coalesce(sum(n), 0)::bigint from (select count(*) as n {table} group by {names} having n > 1)"


def repeated(way: Unique, table: str) -> str:
    """Return the condition that is true of the rows that are not the only one of their kind."""
    names = [identifier(name) for name in way.columns]
    same = " and ".join(
        f"d.__k{index} is not distinct from {name}" for index, name in enumerate(names)
    )
    kept = ", ".join(f"{name} as __k{index}" for index, name in enumerate(names))
    grouped = f"select {kept} {table} group by {', '.join(names)} having count(*) > 1"
    return f"exists (select 1 from ({grouped}) d where {same})"


def condition(way: Way, table: str) -> str:
    """Return the condition that is true of exactly the failing rows; '' where it is not about rows of DuckDB's."""
    match way:
        case Rows(fails=fails):
            return fails
        case Unique():
            return repeated(way, table)
    return ""


def unique(
    cursor: "duckdb.DuckDBPyConnection",
    way: Unique,
    table: StoredTable,
    *,
    type: str = "",
    fits: int = 0,
) -> int:
    """Return how many rows are not the only one of their kind.

    First, whether the columns increase from row to row (no memory at all); then, of whole numbers that lie close
    together, a bit for each; then the values sorted in memory, where they are of a `type` and number that `fits`, or
    hashes of them (it spills, and no repeated hash proves it); only when one is repeated, groups.
    """
    read = parquet(table)
    if _may_increase(cursor, way, table) and _one(cursor, increasing(way, read))[0] <= 1:
        return 0
    if type in _COUNTED and _apart(cursor, identifier(way.columns[0]), read):
        return 0
    if type in _SORTED and _IN_MEMORY[0] <= fits <= _IN_MEMORY[1]:
        return alike(table, way.columns[0])
    same, disordered = _one(cursor, hashes(way, read))
    return 0 if not same and not disordered else int(_one(cursor, repeats(way, read))[0])


def _apart(cursor: "duckdb.DuckDBPyConnection", name: str, table: str) -> bool:
    """Say whether a bit for each number shows that none is there twice; False where they lie too far apart to tell."""
    import duckdb

    low, high, there, rows = _one(
        cursor, f"select min({name}), max({name}), count({name}), count(*) {table}"
    )
    if not there or rows - there > 1 or high - low >= min(_BITS * rows, _MOST_BITS):
        return False
    bits = f"bitstring_agg({name}::bigint, ({low})::bigint, ({high})::bigint)"
    with suppress(duckdb.OutOfMemoryException):  # bits do not spill; sorting does
        return bool(_one(cursor, f"select bit_count({bits}) {table}")[0] == there)
    return False


def increasing(way: Unique, table: str) -> str:
    """Return the query that counts the rows that do not come after the one before them: 1 (the first) when all do."""
    names = [identifier(name) for name in way.columns]
    before = ", ".join(f"lag({name}) over () as p{index}" for index, name in enumerate(names))
    after = " or ".join(
        f"({' and '.join([*(f'{n} = p{i}' for i, n in enumerate(names[:last])), f'{names[last]} > p{last}'])})"
        for last in range(len(names))
    )
    return f"select coalesce(count_if(({after}) is not true), 0) from (select {', '.join(names)}, {before} {table})"


def hashes(way: Unique, table: str) -> str:
    """Return the query that counts repeated hashes among the sorted ones, and those out of order (none, if sorted)."""
    names = ", ".join(map(identifier, way.columns))
    return (
        "select coalesce(count_if(h = p), 0), coalesce(count_if(h < p), 0) from (select h, lag(h) over () as p from "
        f"(select hash({names}) as h {table} order by h))"
    )


def _may_increase(cursor: "duckdb.DuckDBPyConnection", way: Unique, table: StoredTable) -> bool:
    """Say whether the statistics of a file's row groups leave it open that the first column never decreases."""
    if len(table.files) != 1 or table.cuts:
        return False
    rows = cursor.execute(
        "select stats_min_value, stats_max_value from parquet_metadata(?) where path_in_schema = ?"
        " order by row_group_id",
        [str(table.files[0]), way.columns[0]],
    ).fetchall()
    bounds = [(_ordered(low), _ordered(high)) for low, high in rows]
    return all(before[1] <= after[0] for before, after in pairwise(bounds))


def _ordered(statistic: str | None) -> tuple[float, str]:
    """Return a statistic as something that orders as the values do: numbers, or texts (dates, times)."""
    try:
        return (float(statistic or ""), "")
    except ValueError:
        return (math.inf, statistic or "")


def _one(cursor: "duckdb.DuckDBPyConnection", query: str) -> tuple[Any, ...]:
    row = cursor.execute(query).fetchone()
    assert row is not None
    return tuple(row)
