"""Computes many parts of a product in one query, and writes them to one file, part after part."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from assay.engines.duckdb import COPY, DuckDB, columns_of, select
from assay.engines.quoting import identifier, literal
from assay.engines.sql.batching import PART, Batched, order_counts
from assay.engines.tables import InputFiles, PartRows, StoredTable
from assay.engines.types import casts, check_names

GROUP_ROWS = 16_384  # of a row group: a reader of one part skips the others
_COPY = f"{COPY.removesuffix(')')}, row_group_size {GROUP_ROWS})"


DomainInputs = tuple[Sequence[InputFiles], str]  # inputs, and the domain of the product


def together(inputs: Sequence[InputFiles]) -> InputFiles:
    """Return an input of several parts, in their order, as one input with the number of each."""
    part_rows: list[PartRows] = []
    for number, files in enumerate(inputs):
        for file in files.paths:
            ranges = files.table.cuts.get(file)
            if ranges is None:
                part_rows.append(PartRows(number, file))
            else:
                part_rows += [PartRows(number, file, first, n) for first, n in ranges if n]
    origin = inputs[0].table.origin
    if origin:
        sums = {f: s for i in inputs if i.table.origin for f, s in i.table.origin.sums.items()}
        origin = replace(origin, sums=sums)
    paths = tuple(dict.fromkeys(rows.file for rows in part_rows))
    return replace(
        inputs[0],
        table=StoredTable(paths, origin=origin),
        observed=tuple(file for files in inputs for file in files.observed),
        part_rows=tuple(part_rows),
    )


def is_exact(engine: DuckDB, query: Batched, sql: str, domain_inputs: DomainInputs) -> bool:
    """Return whether a query gives each part the rows that `sql` gives it alone.

    Only types decide: whether columns are called the same, and no result depends on the order of
    rows. The inputs are those of any parts; their rows are not read.
    """
    inputs, domain = domain_inputs
    with engine.cursor() as cursor:
        types = {
            files.alias: cursor.execute(f"describe ({select(files)})").fetchall()
            for files in inputs
        }

    def without_rows(files: InputFiles) -> str:
        nulls = (f"null::{row[1]} as {identifier(row[0])}" for row in types[files.alias])
        return f"select {', '.join(nulls)} where false"

    def alone(files: InputFiles) -> str:
        unnumbered = without_rows(files)
        return f"select * exclude ({PART}) from ({unnumbered})" if files.part_rows else unnumbered

    with engine.bench(inputs, domain, read=alone) as bench:
        columns = columns_of(bench, sql)
    with engine.bench(inputs, domain, read=without_rows) as bench:
        if columns_of(bench, query.sql)[:-1] != columns:
            return False
        [(plan,)] = bench.execute("select json_serialize_plan(?)", [query.sql]).fetchall()
    return not order_counts(plan)


def stage_parts(
    engine: DuckDB,
    query: Batched,
    inputs: DomainInputs,
    target: Path,
    want: Mapping[str, str],
) -> tuple[dict[str, str], Counter[int]]:
    """Write the rows of many parts to a Parquet file, in the contract's types where casts are exact.

    Returns the type of each column as written, and the number of rows of each part by its number;
    the file has them in this order.
    """
    with engine.bench(*inputs) as bench:
        described = columns_of(bench, query.sql)[:-1]
        check_names([name for name, _ in described])
        have = dict(described)
        changed = casts(have, want)
        values = [
            f"cast({identifier(c)} as {changed[c]}) as {identifier(c)}"
            if c in changed
            else identifier(c)
            for c in have
        ]
        rows = f"select {', '.join(values)}, {PART} from (\n{query.sql}\n)"
        bench.execute(f"create temp table __parts as {rows}")
        counts = bench.execute(
            f"select {PART}, count(*), min(rowid), max(rowid) from __parts group by all order by 1"
        ).fetchall()
        start, is_sorted = 0, True
        for _, count, first, last in counts:
            is_sorted &= (first, last) == (start, start + count - 1)
            start += count
        order = "" if is_sorted else f" order by {PART}, rowid"
        bench.execute(
            f"copy (select * exclude ({PART}) from __parts{order}) to {literal(str(target))} {_COPY}"
        )
    return have | changed, Counter({number: count for number, count, _, _ in counts})
