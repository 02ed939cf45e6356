"""Sets the rows aside that break a rule, so that the rest can be published; no row is lost on the way."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines import duckdb as duck
from assay.engines.quoting import literal
from assay.engines.tables import StoredTable
from assay.errors import BuildError
from assay.model import Column, Product, Rule
from assay.rules import with_polars
from assay.rules.answers import said
from assay.rules.compile import ByPandera, Rows, Text, Way, ways_of
from assay.rules.schema import Schema

if TYPE_CHECKING:
    import duckdb

BROKE = "broke"  # the column of a row that was set aside: the rules that it broke


class QuarantinedFiles(Struct, frozen=True, kw_only=True):
    """The file of the rows that are kept, the file of those set aside, and how many there were before."""

    kept: Path
    aside: Path
    rows: int


def split(
    product: Product,
    staged: Path,
    columns: Sequence[Column],
    bench: "duckdb.DuckDBPyConnection",
    schema: Callable[[], Schema],
) -> QuarantinedFiles:
    """Write the rows of a staged file that break a rule which quarantines to a file of their own.

    `bench` sees `this` and what the rules read. When all rows are good, the staged file is the one that is kept. Raises
    BuildError when rows cannot be told apart.
    """
    if taken := {BROKE, "file_row_number"} & {column.name.lower() for column in columns}:
        told = f"{product.name} has a column {min(taken)!r}, which is what rows set aside say of themselves"
        raise BuildError(told, hint="Call it something else.", where=product.where)
    if odd := [f"{column.name} ({column.logical})" for column in columns if column.logical]:
        hint = "Cast it to a type that DuckDB has too."
        raise BuildError(
            f"rows with {', '.join(odd)} cannot be set aside as they are",
            hint=hint,
            where=product.where,
        )
    bench.execute("create table __marks (rule varchar, row bigint)")
    ways = ways_of(product, columns)
    for rule in product.contract.rules:
        if rule.quarantines:
            _mark(rule, ways.get(rule.text), staged, bench, schema)
    return _write(staged, bench)


def _mark(
    rule: Rule,
    way: Way | None,
    staged: Path,
    bench: "duckdb.DuckDBPyConnection",
    schema: Callable[[], Schema],
) -> None:
    """Note the number of every row that breaks a rule."""
    import duckdb

    assert rule.demand is not None
    match way:
        case Rows(fails=fails):
            found = f"{_numbered(staged)} where {fails}"
        case None:  # it reads other products
            found = f"{_numbered(staged)} where not (\n{rule.demand.arguments['sql']}\n)"
        case Text() | ByPandera() if numbers := _by_polars(rule, way, staged, schema):
            found = f"from read_parquet({literal(str(numbers))})"
        case _:
            raise BuildError(
                f"{rule.text!r} is not about single rows, so it sets none aside", where=rule.where
            )
    try:
        bench.execute(f"insert into __marks select {literal(rule.text)}, file_row_number {found}")
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        raise BuildError(
            f"{rule.text!r} cannot be judged: {said(error)}", where=rule.where
        ) from error


def _numbered(staged: Path) -> str:
    return f"from read_parquet({literal(str(staged))}, file_row_number = true, hive_partitioning = false)"


def _by_polars(
    rule: Rule, way: Text | ByPandera, staged: Path, schema: Callable[[], Schema]
) -> Path | None:
    """Write the numbers of the rows that break a rule which Polars judges; None when it is not about rows."""
    assert rule.demand is not None
    ask: Text | with_polars.Lazy
    if isinstance(way, ByPandera):
        ask = with_polars.Lazy(check=schema().checks[rule.demand.place], column=rule.demand.column)
    else:
        ask = way
    one = with_polars.Pass(StoredTable((staged,)), {rule.text: ask})
    answer = one.run()[rule.text]
    if answer.error:
        raise BuildError(f"{rule.text!r} cannot be judged: {answer.error}", where=rule.where)
    if answer.failing is None:
        return None
    numbers = staged.with_name("marks.parquet")
    one.numbers(rule.text, "file_row_number").sink_parquet(numbers)
    return numbers


def _write(staged: Path, bench: "duckdb.DuckDBPyConnection") -> QuarantinedFiles:
    """Copy the rows to where they belong, in the order in which they were."""
    kept, aside = staged.with_name("kept.parquet"), staged.with_name("quarantine.parquet")
    found = bench.execute(
        f"select count(*), (select count(*) from __marks) {_numbered(staged)}"
    ).fetchone()
    assert found is not None
    rows, marked = found
    broke = f"select row, list_sort(list(distinct rule)) as {BROKE} from __marks group by row"
    _copy(
        bench,
        f"select t.* exclude (file_row_number), b.{BROKE} {_numbered(staged)} t join ({broke}) b "
        "on b.row = t.file_row_number order by t.file_row_number",
        aside,
    )
    if marked:
        _copy(
            bench,
            f"select * exclude (file_row_number) {_numbered(staged)} t "
            "where file_row_number not in (select row from __marks) order by file_row_number",
            kept,
        )
        staged.unlink()
    staged.with_name("marks.parquet").unlink(missing_ok=True)
    return QuarantinedFiles(kept=kept if marked else staged, aside=aside, rows=rows)


def _copy(bench: "duckdb.DuckDBPyConnection", query: str, target: Path) -> None:
    bench.execute(f"copy ({query}) to {literal(str(target))} {duck.COPY}")
