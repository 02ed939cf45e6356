"""Control totals of tables: the sum of each column of numbers, the same whenever it is asked."""

from collections.abc import Collection, Sequence

from assay.archive.form import TotalRecord
from assay.engines.difference import is_number
from assay.engines.duckdb import DuckDB
from assay.engines.quoting import identifier
from assay.model import Column

# With more threads, sums of floats would differ in their last digits from one time to the next.
ONE_THREAD = {"threads": "1"}


def totals_of(
    engine: DuckDB,
    query: str,
    columns: Sequence[Column],
    *,
    hidden: Collection[str] = (),
    promised: Collection[str] = (),
) -> tuple[int, tuple[TotalRecord, ...]]:
    """Return how many rows a query (from `FROM` on) gives, and the totals of its columns of numbers.

    Columns in `hidden` are left out; rules are about the totals of those in `promised`.
    """
    numbers = [c.name for c in columns if is_number(c.type) and c.name not in hidden]
    asked = ["count(*)"]
    for name in numbers:
        quoted = identifier(name)
        asked += [f"cast(sum({quoted}) as varchar)", f"count(*) - count({quoted})"]
    with engine.cursor() as cursor:
        [row] = cursor.execute(f"select {', '.join(asked)} {query}").fetchall()
    totals = tuple(
        TotalRecord(
            column=name,
            sum=row[1 + 2 * number],
            nulls=row[2 + 2 * number],
            promised=name in promised,
        )
        for number, name in enumerate(numbers)
    )
    return int(row[0]), totals
