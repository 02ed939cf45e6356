"""Checks demands in DuckDB: one query for all rules, which skips rows by statistics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assay.engines.duckdb import DuckDB, parquet
from assay.engines.quoting import identifier
from assay.engines.tables import StoredTable
from assay.rules.answers import Answer, error_line
from assay.rules.compile import Aggregate, Rows, Unique, Way
from assay.rules.evidence import Evidence
from assay.rules.samples import SAMPLES, CompiledRule, records
from assay.rules.uniqueness import count_repeated_rows, repeated, repeats

if TYPE_CHECKING:
    import duckdb

SMALL = 100_000  # rows up to which one query that reads all rows is cheaper than pruning

_FIRST = 100  # failing rows, in order, of which samples show those that are not alike

MOST_COLUMNS = 64  # that one query is about, unless a rule is about more

DuckDBWay = Rows | Aggregate | Unique


def answer_rules(
    rules: Sequence[CompiledRule], evidence: Evidence, engine: DuckDB
) -> dict[str, Answer]:
    """Return the answers to the rules that DuckDB judges, with samples, by the rule's text."""
    ways = {rule.text: rule.way for rule in rules if isinstance(rule.way, DuckDBWay)}
    if not ways:
        return {}
    table, is_large = source(evidence.this), evidence.rows > SMALL
    with engine.cursor() as cursor:
        answers: dict[str, Answer] = {}
        if is_large:
            unique = {text: way for text, way in ways.items() if isinstance(way, Unique)}
            answers |= _answer_unique(cursor, unique, evidence, engine)
        remaining = {text: way for text, way in ways.items() if text not in answers}
        for batch in _by_columns(remaining):
            answers |= _answer_fused(cursor, batch, table, prune=is_large)
        for rule in rules:
            fails = condition(rule.way, table)
            if fails and rule.text in answers and answers[rule.text].failing:
                columns = ", ".join(map(identifier, rule.columns))
                first = f"select {columns} {table} where {fails} order by all limit {_FIRST}"
                cursor.execute(f"select distinct * from ({first}) order by all limit {SAMPLES}")
                answers[rule.text] = replace(answers[rule.text], samples=records(cursor))
    return answers


def _by_columns(ways: Mapping[str, DuckDBWay]) -> Iterator[dict[str, DuckDBWay]]:
    """Yield the rules in batches over few columns each, in order.

    DuckDB plans a query in a time that grows with the square of the columns that it aggregates: a
    minute for 2,000 columns, and 2 s in batches. Batches read different columns, as rules mostly
    come in the order of columns.
    """
    batch, columns = dict[str, DuckDBWay](), set[str]()
    for text, way in ways.items():
        if batch and len(columns.union(way.columns)) > MOST_COLUMNS:
            yield batch
            batch, columns = {}, set()
        batch[text] = way
        columns.update(way.columns)
    if batch:
        yield batch


def _answer_unique(
    cursor: "duckdb.DuckDBPyConnection",
    ways: Mapping[str, Unique],
    evidence: Evidence,
    engine: DuckDB,
) -> dict[str, Answer]:
    """Answer the rules about unique rows one by one."""
    sortable = 0 if engine.limited else evidence.rows
    answers = {}
    for text, way in ways.items():
        types = [column.type for column in evidence.columns if column.name in way.columns]
        failing = count_repeated_rows(
            cursor,
            way,
            evidence.this,
            type=types[0] if len(types) == 1 else "",
            sortable=sortable,
        )
        answers[text] = Answer(how="sorted", failing=failing)
    return answers


def _answer_fused(
    cursor: "duckdb.DuckDBPyConnection",
    ways: Mapping[str, DuckDBWay],
    table: str,
    *,
    prune: bool,
) -> dict[str, Answer]:
    """Answer all rules in one query; when it fails, each rule in a query of its own."""
    import duckdb

    try:
        row = cursor.execute(fused(ways.values(), table, prune=prune)).fetchone()
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        if len(ways) == 1:
            return dict.fromkeys(ways, Answer(how="fused", error=error_line(error)))
        answers: dict[str, Answer] = {}
        for text, way in ways.items():
            answers |= _answer_fused(cursor, {text: way}, table, prune=prune)
        return answers
    assert row is not None
    return {
        text: _answer(way, failing, prune=prune)
        for (text, way), failing in zip(ways.items(), row[1:], strict=True)
    }


def _answer(way: DuckDBWay, failing: int, *, prune: bool) -> Answer:
    if isinstance(way, Aggregate):
        message = "the column does not take exactly these values" if failing else ""
        return Answer(how="fused", holds=not failing, message=message)
    is_pruned = prune and isinstance(way, Rows) and way.prunes
    return Answer(how="pruned" if is_pruned else "fused", failing=failing)


def source(table: StoredTable) -> str:
    """Return the FROM clause that reads a table under the name `this`."""
    return f"{parquet(table)} as this"


def fused(ways: Iterable[DuckDBWay], table: str, *, prune: bool = False) -> str:
    """Return the one query that answers several rules.

    Its row has the number of rows, then for each rule the number of failing rows, or 1 where a
    column as a whole fails. With `prune`, rows that statistics and dictionaries can rule out are
    counted in subqueries, which skip them.
    """
    columns = ["count(*)"]
    for way in ways:
        match way:
            case Rows(fails=fails, prunes=True) if prune:
                columns.append(f"(select count(*) {table} where {fails})")
            case Rows(fails=fails):
                columns.append(f"coalesce(count_if({fails}), 0)")
            case Aggregate(passes=passes):
                columns.append(f"case when {passes} then 0 else 1 end")
            case Unique():
                columns.append(f"({repeats(way, table)})")
    return f"select {', '.join(columns)} {table}"


def condition(way: Way, table: str) -> str:
    """Return the condition that only failing rows meet; '' if DuckDB has none."""
    match way:
        case Rows(fails=fails):
            return fails
        case Unique():
            return repeated(way, table)
    return ""
