"""Whether rows are unique in some columns, in the cheapest way that is exact."""

import math
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from assay.engines.duckdb import parquet
from assay.engines.quoting import identifier
from assay.engines.tables import StoredTable
from assay.engines.types import INTEGERS
from assay.rules.compile import Unique
from assay.rules.with_polars import count_repeated_values

if TYPE_CHECKING:
    import duckdb

# Types of numbers for which a bitmap can be used, and of values that Polars sorts in memory.
_BITMAP_TYPES = INTEGERS - {"HUGEINT", "UHUGEINT", "UBIGINT"}
_SORTED_TYPES = INTEGERS | {"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"}
_IN_MEMORY = (2_000_000, 50_000_000)  # least and most rows that are sorted in memory
# Largest bitmap: bits for each row, and altogether (100 MB in each thread).
_BITS, _MOST_BITS = 64, 800_000_000


def count_repeated_rows(
    cursor: "duckdb.DuckDBPyConnection",
    way: Unique,
    table: StoredTable,
    *,
    type: str = "",
    sortable: int = 0,
) -> int:
    """Return the number of rows that are equal to another row in some columns.

    `type` is the type of a single column ('' for several columns), and `sortable` the number of
    rows if they may be sorted in memory, else 0. The cheapest proof that no row is repeated comes
    first: values that increase from row to row need no memory, then comes a bitmap of whole numbers
    that lie close together. Else values are sorted in memory, or hashes of them, which may spill to
    disk. Rows are grouped only when a hash is repeated.
    """
    source = parquet(table)
    if _may_increase(cursor, way, table) and _row(cursor, increasing(way, source))[0] <= 1:
        return 0
    if type in _BITMAP_TYPES and _distinct_by_bitmap(cursor, identifier(way.columns[0]), source):
        return 0
    if type in _SORTED_TYPES and _IN_MEMORY[0] <= sortable <= _IN_MEMORY[1]:
        return count_repeated_values(table, way.columns[0])
    repeated_hashes, unsorted_hashes = _row(cursor, hashes(way, source))
    if not repeated_hashes and not unsorted_hashes:
        return 0
    return int(_row(cursor, repeats(way, source))[0])


def repeats(way: Unique, table: str) -> str:
    """Return the query that counts the rows that are equal to another row."""
    names = ", ".join(map(identifier, way.columns))
    groups = f"select count(*) as n {table} group by {names} having n > 1"
    return f"select coalesce(sum(n), 0)::bigint from ({groups})"


def repeats_of_one(column: str) -> str:
    """Return the aggregate that is 0 if no two rows are equal in a column."""
    name = identifier(column)
    return f"count(*) - count(distinct {name}) - cast(count(*) > count({name}) as bigint)"


def repeated(way: Unique, table: str) -> str:
    """Return the condition that is true of the rows that are equal to another row."""
    names = [identifier(name) for name in way.columns]
    same = " and ".join(
        f"d.__k{index} is not distinct from {name}" for index, name in enumerate(names)
    )
    keys = ", ".join(f"{name} as __k{index}" for index, name in enumerate(names))
    groups = f"select {keys} {table} group by {', '.join(names)} having count(*) > 1"
    return f"exists (select 1 from ({groups}) d where {same})"


def increasing(way: Unique, table: str) -> str:
    """Return the query that counts rows that are not above the row before them.

    The first row always counts: the result is 1 when all rows increase.
    """
    names = [identifier(name) for name in way.columns]
    previous = ", ".join(f"lag({name}) over () as p{index}" for index, name in enumerate(names))
    above = []
    for last, name in enumerate(names):
        equal = [f"{names[index]} = p{index}" for index in range(last)]
        above.append(f"({' and '.join([*equal, f'{name} > p{last}'])})")
    return (
        f"select coalesce(count_if(({' or '.join(above)}) is not true), 0) "
        f"from (select {', '.join(names)}, {previous} {table})"
    )


def hashes(way: Unique, table: str) -> str:
    """Return the query that counts repeated hashes among sorted ones, and hashes out of order.

    The second count is 0 when the hashes are sorted, so that the first one can be trusted.
    """
    names = ", ".join(map(identifier, way.columns))
    return (
        "select coalesce(count_if(h = p), 0), coalesce(count_if(h < p), 0) "
        "from (select h, lag(h) over () as p from "
        f"(select hash({names}) as h {table} order by h))"
    )


def _distinct_by_bitmap(cursor: "duckdb.DuckDBPyConnection", name: str, table: str) -> bool:
    """Return whether a bitmap shows that no number is repeated; False if it would be too large."""
    import duckdb

    low, high, values, rows = _row(
        cursor, f"select min({name}), max({name}), count({name}), count(*) {table}"
    )
    if not values or rows - values > 1 or high - low >= min(_BITS * rows, _MOST_BITS):
        return False
    bits = f"bitstring_agg({name}::bigint, ({low})::bigint, ({high})::bigint)"
    with suppress(duckdb.OutOfMemoryException):  # bits do not spill; sorting does
        return bool(_row(cursor, f"select bit_count({bits}) {table}")[0] == values)
    return False


def _may_increase(cursor: "duckdb.DuckDBPyConnection", way: Unique, table: StoredTable) -> bool:
    """Return whether, by the statistics of row groups, the first column may never decrease."""
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
    """Return a statistic as a value that orders as the column does: a number, or a date or text."""
    try:
        return (float(statistic or ""), "")
    except ValueError:
        return (math.inf, statistic or "")


def _row(cursor: "duckdb.DuckDBPyConnection", query: str) -> tuple[Any, ...]:
    row = cursor.execute(query).fetchone()
    assert row is not None
    return tuple(row)
