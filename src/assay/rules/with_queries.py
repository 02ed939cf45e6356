"""Checks rules that are queries, on a bench with `this`, `previous` and other products."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from assay.engines.quoting import identifier, literal
from assay.engines.sql import reader
from assay.engines.sql.splitting import partwise
from assay.model import THIS, Column, Product, Rule
from assay.rules.answers import Answer, error_line
from assay.rules.samples import named_rows
from assay.sensitive import secret
from assay.times import AHEAD

if TYPE_CHECKING:
    import duckdb

LATEST = "__latest_instant"  # placeholder for the latest moment, whatever the type of its column
# Queries in one: DuckDB plans a union in a time that grows with the square of its branches.
MOST_TOGETHER = 200
_SPECIAL = "__measured, __fails"
_SOON = f"$now + interval {AHEAD.total_seconds():.0f} second"
_NOTHING = "nothing is published yet to compare with"


def split_of(product: Product, columns: Iterable[Column]) -> str:
    """Return the column of a table that names the part of each row; '' when there is none."""
    partition = product.partition
    name = partition.names[0] if partition and partition.in_rows else ""
    return name if any(column.name == name for column in columns) else ""


def in_each_part(rule: Rule, split: str) -> bool:
    """Return whether a query finds the same rows in all parts together as in each part.

    `split` is the column that names the part of a row.
    """
    if not rule.sql or rule.compares or rule.dated:
        return False
    return {i.name for i in rule.inputs} <= {THIS} and partwise(rule.sql, split)


def query_of(rule: Rule, types: Mapping[str, str], *, in_parts: bool = False) -> str:
    """Return the query of a rule's failing rows, or of all rows that it compares.

    `types` maps columns, in lower case, to their types. The latest event is the latest that is not
    in the future. `in_parts` includes the future: such a query can be computed from totals of
    parts.
    """
    if rule.demand is not None:
        return f"select * from this where not (\n{rule.demand.arguments['sql']}\n)"
    if rule.dated and not rule.closes:
        column = identifier(rule.dated)
        if in_parts:
            return rule.sql.replace(LATEST, _instant_of(rule, types, f"max({column})"))
        time = _instant_of(rule, types, column)
        return rule.sql.replace(LATEST, f"max({time}) filter (where {time} <= {_SOON})")
    return rule.sql


def _instant_of(rule: Rule, types: Mapping[str, str], time: str) -> str:
    """Return the SQL of a time as a moment, whatever the type of its column."""
    if types.get(rule.dated.lower()) == "TIMESTAMP WITH TIME ZONE":
        return time
    return f"timezone({literal(rule.tz)}, cast({time} as timestamp))"


def is_ahead(rule: Rule, answer: Answer) -> bool:
    """Return whether the latest event is so far in the future that it does not count."""
    if not rule.dated or answer.measured is None:
        return False
    return -answer.measured * 3600 > AHEAD.total_seconds()


def failing_of(rule: Rule, types: Mapping[str, str]) -> str:
    """Return the query of a rule's failing rows, the worst first for a rule that compares."""
    query = query_of(rule, types)
    if not rule.compares:
        return query
    worst = "order by abs(__measured) desc nulls first"
    return f"select * exclude ({_SPECIAL}) from (\n{query}\n) where __fails {worst}"


def ask(
    rule: Rule, bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]
) -> Answer:
    """Return the answer to a rule; raises an error of DuckDB when memory or disk is exhausted."""
    counts = "count(*), null, count(*)"
    if rule.compares:
        counts = "coalesce(count_if(__fails), 0), arg_max(__measured, abs(__measured)), count(*)"
    rows = _run(bench, f"select {counts} from (\n{query}\n)", clock)
    if isinstance(rows, Answer):
        return rows
    [(failing, measured, compared)] = rows
    if rule.compares and not compared:
        return Answer(how="sql", holds=None, message="there is nothing to compare with")
    return Answer(how="sql", failing=failing, measured=_number(measured))


def none_fails(
    cursor: "duckdb.DuckDBPyConnection", table: str, queries: Sequence[str]
) -> list[bool]:
    """Return for each query over `this` whether it returns no rows, from one query for many.

    All that were asked together are False when one of them cannot be computed.
    """
    failing: dict[int, int] = {}
    for start in range(0, len(queries), MOST_TOGETHER):
        batch = enumerate(queries[start : start + MOST_TOGETHER], start)
        counts = [f"select {index}, count(*) from (\n{sql}\n)" for index, sql in batch]
        materialized = "materialized" if len(counts) > 1 else ""
        together = f"with this as {materialized} ({table}) {' union all '.join(counts)}"
        rows = _run(cursor, together, {})
        failing |= {} if isinstance(rows, Answer) else dict(rows)
    return [failing.get(index) == 0 for index in range(len(queries))]


def with_later(
    rule: Rule,
    answer: Answer,
    bench: "duckdb.DuckDBPyConnection",
    clock: Mapping[str, datetime],
    types: Mapping[str, str],
    *,
    shown: bool,
) -> Answer:
    """Return an answer on the latest event, with a warning about rows in the future.

    `shown` says whether the time of the latest of these rows may be shown.
    """
    time = _instant_of(rule, types, identifier(rule.dated))
    rows = _run(bench, f"select count(*), max({time}) from this where {time} > {_SOON}", clock)
    if answer.error or isinstance(rows, Answer):
        return answer
    [(count, latest)] = rows
    if not count:
        return answer
    until = f", up to {latest:%Y-%m-%d %H:%M:%S}" if shown else ""
    subject = "1 row is in the future" if count == 1 else f"{count:,} rows are in the future"
    return replace(answer, warns=True, message=f"{subject}{until}, and not counted")


def bind(bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]) -> Answer:
    """Return the answer that there is nothing to compare with, or the error in a query's names."""
    rows = _run(bench, f"select * from (\n{query}\n) limit 0", clock)
    return rows if isinstance(rows, Answer) else Answer(how="sql", holds=None, message=_NOTHING)


def sample(
    bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime], limit: int
) -> list[dict[str, Any]] | Answer:
    """Return the first rows of a query, or the answer that it cannot be computed.

    Counting the rows may have succeeded because DuckDB did not compute all columns.
    """
    rows = _run(bench, f"select * from (\n{query}\n) limit {limit}", clock)
    return rows if isinstance(rows, Answer) else named_rows(bench, rows)


def _run(
    bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]
) -> list[Any] | Answer:
    """Return the rows of a query, or an answer with the error in the query or in its values.

    DuckDB computes rows as they are fetched: an error may come late.
    """
    import duckdb

    try:
        return bench.execute(query, dict(clock) or None).fetchall()
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        return Answer(how="sql", error=error_line(error))


def hidden(query: str, names: Sequence[str], sensitive: Collection[str]) -> set[str]:
    """Return the columns of a query's result that may hold values of sensitive columns.

    These are all columns when the query may use a sensitive column, else those with sensitive
    names.
    """
    if not sensitive:
        return set()
    return set(names) if names_secret(query, sensitive) else secret(names, sensitive)


def names_secret(query: str, sensitive: Iterable[str]) -> bool:
    """Return whether a query names a sensitive column, or may return one under another name."""
    columns = reader.columns(query)
    return bool(secret(columns.names, sensitive)) or columns.opaque


def _number(value: Any) -> float | int | None:
    return value if value is None or isinstance(value, int | float) else float(value)
