"""Writes rows that break a rule to a file of their own, so that the rest can be published."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.duckdb import COPY, DuckDB, numbered, parquet, parquet_of_parts
from assay.engines.quoting import identifier, literal
from assay.engines.tables import PartRows, StoredTable
from assay.errors import BuildError
from assay.model import Column, Product, Rule
from assay.rules.answers import Answer, error_line
from assay.rules.compile import ByPandera, Rows, Text, Way, ways_of
from assay.rules.evidence import Evidence
from assay.rules.samples import SAMPLES, CompiledRule, by_lower, records, sample_columns
from assay.rules.schema import Schema
from assay.rules.with_polars import FileScan, request_of

if TYPE_CHECKING:
    import duckdb

_AT_ONCE = 1024  # parts in one query
BROKE = "broke"  # the column of a quarantined row that lists the rules that it broke


class QuarantinedFiles(Struct, frozen=True, kw_only=True):
    """The file of the rows to publish, that of the quarantined rows, and the number of all rows."""

    passed: Path
    quarantined: Path
    rows: int


def split(
    product: Product,
    staged: Path,
    columns: Sequence[Column],
    bench: "duckdb.DuckDBPyConnection",
    schema: Callable[[], Schema],
    *,
    target: Path | None = None,
) -> QuarantinedFiles:
    """Move the rows of a staged file that break a quarantining rule to a file of their own.

    That is `target`, or a file beside the staged one.

    `bench` has `this` and the tables that rules read. The staged file stays as it is when no row
    breaks a rule. Raises BuildError when a rule cannot be checked, or rows cannot be written.
    """
    _check_columns(product, columns)
    bench.execute("create table __marks (rule varchar, row bigint)")
    ways = ways_of(product, columns)
    for rule in product.contract.rules:
        if rule.quarantines:
            _mark(rule, ways.get(rule.text), staged, bench, schema)
    return _write(staged, bench, target or staged.with_name("quarantine.parquet"))


def marked_rows(bench: "duckdb.DuckDBPyConnection") -> list[int]:
    """Return the numbers of the rows of the staged file that `split` moved, sorted."""
    rows = bench.execute("select distinct row from __marks order by row").fetchall()
    return [number for (number,) in rows]


def sees_single_rows(product: Product, columns: Sequence[Column]) -> bool:
    """Return whether no quarantining rule can see more of a table than one row at a time."""
    ways = ways_of(product, columns)
    return all(
        isinstance(ways.get(rule.text), Rows | Text | None)
        for rule in product.contract.rules
        if rule.quarantines
    )


def _check_columns(product: Product, columns: Sequence[Column]) -> None:
    """Raise BuildError for columns that a file of quarantined rows cannot have."""
    reserved = {BROKE, "file_row_number"} & {column.name.lower() for column in columns}
    if reserved:
        raise BuildError(
            f"{product.name} has a column {min(reserved)!r}, "
            "which is what rows set aside say of themselves",
            hint="Call it something else.",
            where=product.where,
        )
    unsupported = [f"{column.name} ({column.logical})" for column in columns if column.logical]
    if unsupported:
        raise BuildError(
            f"rows with {', '.join(unsupported)} cannot be set aside as they are",
            hint="Cast it to a type that DuckDB has too.",
            where=product.where,
        )


def _mark(
    rule: Rule,
    way: Way | None,
    staged: Path,
    bench: "duckdb.DuckDBPyConnection",
    schema: Callable[[], Schema],
) -> None:
    """Insert the number of each row that breaks a rule into the table of marks."""
    import duckdb

    assert rule.demand is not None
    match way:
        case Rows(fails=fails):
            rows = f"{numbered(staged)} where {fails}"
        case None:  # the rule reads other products
            rows = f"{numbered(staged)} where not (\n{rule.demand.arguments['sql']}\n)"
        case Text() | ByPandera() if numbers := _numbers_by_polars(rule, way, staged, schema):
            rows = f"from read_parquet({literal(str(numbers))})"
        case _:
            raise BuildError(
                f"{rule.text!r} is not about single rows, so it sets none aside", where=rule.where
            )
    try:
        bench.execute(f"insert into __marks select {literal(rule.text)}, file_row_number {rows}")
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        raise BuildError(
            f"{rule.text!r} cannot be judged: {error_line(error)}", where=rule.where
        ) from error


def _numbers_by_polars(
    rule: Rule, way: Text | ByPandera, staged: Path, schema: Callable[[], Schema]
) -> Path | None:
    """Write the numbers of the rows that break a rule of Polars; None when it is not about rows."""
    assert rule.demand is not None
    compiled = CompiledRule(text=rule.text, demand=rule.demand, way=way, columns=())
    request = request_of(compiled, schema)
    if request is None:
        return None
    scan = FileScan(StoredTable((staged,)), {rule.text: request})
    answer = scan.run()[rule.text]
    if answer.error:
        raise BuildError(f"{rule.text!r} cannot be judged: {answer.error}", where=rule.where)
    if answer.failing is None:
        return None
    numbers = staged.with_name("marks.parquet")
    scan.numbers(rule.text, "file_row_number").sink_parquet(numbers)
    return numbers


def _write(staged: Path, bench: "duckdb.DuckDBPyConnection", quarantined: Path) -> QuarantinedFiles:
    """Write the passed and the quarantined rows of a staged file, each in their order."""
    passed = staged.with_name("kept.parquet")
    [(rows, marked)] = bench.execute(
        f"select count(*), (select count(*) from __marks) {numbered(staged)}"
    ).fetchall()
    broke = f"select row, list_sort(list(distinct rule)) as {BROKE} from __marks group by row"
    _copy(
        bench,
        f"select t.* exclude (file_row_number), b.{BROKE} {numbered(staged)} t join ({broke}) b "
        "on b.row = t.file_row_number order by t.file_row_number",
        quarantined,
    )
    if marked:
        _copy(
            bench,
            f"select * exclude (file_row_number) {numbered(staged)} t "
            "where file_row_number not in (select row from __marks) order by file_row_number",
            passed,
        )
        staged.unlink()
    staged.with_name("marks.parquet").unlink(missing_ok=True)
    return QuarantinedFiles(passed=passed if marked else staged, quarantined=quarantined, rows=rows)


def _copy(bench: "duckdb.DuckDBPyConnection", query: str, target: Path) -> None:
    bench.execute(f"copy ({query}) to {literal(str(target))} {COPY}")


# ------------------------------------------------------------------------------ answers


def quarantine_answers(
    product: Product, rules: Sequence[Rule], evidence: Evidence, engine: DuckDB
) -> dict[str, Answer]:
    """Return the answers that follow from the quarantined rows: to these rules, and on lost rows."""
    if evidence.quarantined is None or evidence.rows_in is None:
        return {}
    answers = {}
    with engine.cursor() as cursor:
        for rule in rules:
            if rule.quarantines:
                answers[rule.text] = _quarantine_answer(product, rule, evidence, cursor)
            elif is_accounting(rule):
                count = _count(cursor, parquet(evidence.quarantined))
                lost = evidence.rows_in - evidence.rows - count
                answers[rule.text] = Answer(how="schema", holds=not lost, measured=lost)
    return answers


def _quarantine_answer(
    product: Product, rule: Rule, evidence: Evidence, cursor: "duckdb.DuckDBPyConnection"
) -> Answer:
    assert evidence.quarantined is not None
    source = f"{parquet(evidence.quarantined)} where {broke_rule(rule)}"
    failing = _count(cursor, source)
    if not failing:
        return Answer(how="fused", failing=0)
    names = sample_columns(product, by_lower(evidence.columns), rule.demand, None)
    columns = ", ".join(map(identifier, names))
    cursor.execute(f"select {columns} {source} limit {SAMPLES}")
    return Answer(how="fused", failing=failing, samples=records(cursor))


def set_aside_by_part(
    product: Product,
    rule: Rule,
    evidence: Evidence,
    asides: Mapping[str, StoredTable],
    engine: DuckDB,
) -> dict[str, tuple[int, list[dict[str, Any]]]]:
    """Return how many rows of each part a rule set aside, and some of them, where there are any.

    `asides` are the rows that were set aside of each part that has any, by its key.
    """
    names = sample_columns(product, by_lower(evidence.columns), rule.demand, None)
    columns, keys = ", ".join(map(identifier, names)), list(asides)
    found: dict[str, tuple[int, list[dict[str, Any]]]] = {}
    with engine.cursor() as cursor:
        for start in range(0, len(keys), _AT_ONCE):
            rows = [
                PartRows(number, file, first, length)
                for number, key in enumerate(keys[start : start + _AT_ONCE], start)
                for file in asides[key].files
                for first, length in asides[key].cuts.get(file, ((0, None),))
            ]
            cursor.execute(
                f"select __part, {columns}, count(*) over (partition by __part) as __count"
                f" from ({parquet_of_parts(rows)}) where {broke_rule(rule)}"
                f" qualify row_number() over (partition by __part) <= {SAMPLES}"
            )
            for row in records(cursor):
                key, count = keys[row.pop("__part")], row.pop("__count")
                found.setdefault(key, (count, []))[1].append(row)
    return found


def _count(cursor: "duckdb.DuckDBPyConnection", source: str) -> int:
    [(count,)] = cursor.execute(f"select count(*) {source}").fetchall()
    return int(count)


def is_accounting(rule: Rule) -> bool:
    """Return whether a rule says that every row is published or set aside."""
    return rule.demand is not None and rule.demand.kind == "accounted"


def broke_rule(rule: Rule) -> str:
    """Return the condition that is true of quarantined rows that broke a rule."""
    return f"list_contains({BROKE}, {literal(rule.text)})"
