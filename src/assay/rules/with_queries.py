"""Judges rules that are queries, on a bench that sees `this`, `previous` and the products they read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from assay.engines.quoting import identifier, literal
from assay.engines.sql import reader
from assay.engines.sql.splitting import partwise
from assay.model import THIS, Column, Product, Rule
from assay.rules.answers import Answer, said
from assay.sensitive import secret
from assay.times import AHEAD

if TYPE_CHECKING:
    import duckdb

LATEST = "__latest_instant"  # stands for the last time, as a moment, whatever type its column has
_SPECIAL = "__measured, __fails"
_SOON = f"$now + interval {AHEAD.total_seconds():.0f} second"
_NOTHING = "nothing is published yet to compare with"


def split_of(product: Product, columns: Iterable[Column]) -> str:
    """Return the column by whose values the parts of a product are told apart; '' when its rows do not say."""
    partition = product.partition
    name = partition.names[0] if partition and partition.in_rows else ""
    return name if any(column.name == name for column in columns) else ""


def in_each_part(rule: Rule, split: str) -> bool:
    """Say whether what a query finds is what it finds in each part, put together; `split` tells the parts apart."""
    alone = {i.name for i in rule.inputs} <= {THIS} and not (rule.compares or rule.dated)
    return bool(rule.sql) and alone and partwise(rule.sql, split)


def query_of(rule: Rule, types: Mapping[str, str], *, whole: bool = True) -> str:
    """Return the query of a rule's violating rows, or of all that it compares.

    `types` are those of the columns, by name in lower case. The latest event is none of the future, unless it is put
    together from those of parts (not the `whole` is asked): then it is the last, whenever that is.
    """
    if rule.demand is not None:
        return f"select * from this where not (\n{rule.demand.arguments['sql']}\n)"
    if rule.dated and not rule.closes:
        time, column = (
            _instant_of(rule, types, identifier(rule.dated)),
            f"max({identifier(rule.dated)})",
        )
        past = f"max({time}) filter (where {time} <= {_SOON})"
        return rule.sql.replace(LATEST, past if whole else _instant_of(rule, types, column))
    return rule.sql


def _instant_of(rule: Rule, types: Mapping[str, str], time: str) -> str:
    """Return the SQL of a time as a moment, whatever type its column has."""
    return (
        time
        if _is_zoned(rule, types)
        else f"timezone({literal(rule.tz)}, cast({time} as timestamp))"
    )


def is_ahead(rule: Rule, answer: Answer) -> bool:
    """Say whether the latest event is so far in the future that rows of it do not count."""
    return (
        bool(rule.dated)
        and answer.measured is not None
        and -answer.measured * 3600 > AHEAD.total_seconds()
    )


def failing_of(rule: Rule, types: Mapping[str, str]) -> str:
    """Return the query of a rule's violating rows, as they are shown."""
    query = query_of(rule, types)
    if not rule.compares:
        return query
    worst = "order by abs(__measured) desc nulls first"
    return f"select * exclude ({_SPECIAL}) from (\n{query}\n) where __fails {worst}"


def _is_zoned(rule: Rule, types: Mapping[str, str]) -> bool:
    return types.get(rule.dated.lower()) == "TIMESTAMP WITH TIME ZONE"


def ask(
    rule: Rule, bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]
) -> Answer:
    """Return how a rule came out; raises what is the machinery's failure, not the rule's."""
    counted = "count(*), null, count(*)"
    if rule.compares:
        counted = "coalesce(count_if(__fails), 0), arg_max(__measured, abs(__measured)), count(*)"
    found = _run(bench, f"select {counted} from (\n{query}\n)", clock)
    if isinstance(found, Answer):
        return found
    [(failing, measured, compared)] = found
    if rule.compares and not compared:
        return Answer(how="sql", holds=None, message="there is nothing to compare with")
    return Answer(how="sql", failing=failing, measured=_plain(measured))


def none_fails(
    cursor: "duckdb.DuckDBPyConnection", table: str, queries: Sequence[str]
) -> list[bool]:
    """Return for each query of violating rows, over `this` alone, whether it finds none; all are asked at once.

    False also where one of them cannot be answered: asked on its own, each says why.
    """
    counted = (
        f"select {index}, count(*) from (\n{query}\n)" for index, query in enumerate(queries)
    )
    once = "materialized" if len(queries) > 1 else ""
    found = _run(cursor, f"with this as {once} ({table}) {' union all '.join(counted)}", {})
    counts = {} if isinstance(found, Answer) else dict(found)
    return [counts.get(index) == 0 for index in range(len(queries))]


def with_later(
    rule: Rule,
    answer: Answer,
    bench: "duckdb.DuckDBPyConnection",
    clock: Mapping[str, datetime],
    types: Mapping[str, str],
    *,
    shown: bool,
) -> Answer:
    """Return the answer on the age of the latest event with the rows of the future, which do not count."""
    time = _instant_of(rule, types, identifier(rule.dated))
    found = _run(bench, f"select count(*), max({time}) from this where {time} > {_SOON}", clock)
    if answer.error or isinstance(found, Answer) or not (count := found[0][0]):
        return answer
    until = f", up to {found[0][1]:%Y-%m-%d %H:%M:%S}" if shown else ""
    what = "1 row is in the future" if count == 1 else f"{count:,} rows are in the future"
    return replace(answer, warns=True, message=f"{what}{until}, and not counted")


def bind(bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]) -> Answer:
    """Return that there is nothing to compare with, or what is wrong with the names in a query."""
    found = _run(bench, f"select * from (\n{query}\n) limit 0", clock)
    return found if isinstance(found, Answer) else Answer(how="sql", holds=None, message=_NOTHING)


def sample(
    bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime], limit: int
) -> list[dict[str, Any]] | Answer:
    """Return the first rows of a query; counting them may have spared what now turns out not to be computable."""
    found = _run(bench, f"select * from (\n{query}\n) limit {limit}", clock)
    return found if isinstance(found, Answer) else _named(bench, found)


def some(
    bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime], limit: int
) -> list[dict[str, Any]]:
    """Return the first rows of a query; none, when it cannot be computed."""
    found = sample(bench, query, clock, limit)
    return [] if isinstance(found, Answer) else found


def records(found: "duckdb.DuckDBPyConnection") -> list[dict[str, Any]]:
    """Return the rows that were found, each by the names of its columns."""
    return _named(found, found.fetchall())


def _named(
    asked: "duckdb.DuckDBPyConnection", rows: Iterable[Sequence[Any]]
) -> list[dict[str, Any]]:
    names = [column[0] for column in asked.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows]


def _run(
    bench: "duckdb.DuckDBPyConnection", query: str, clock: Mapping[str, datetime]
) -> list[Any] | Answer:
    """Return the rows of a query; what is wrong with it, or with the values it meets, is the rule's own error.

    Rows are computed as they are fetched, so that such an error may come as late.
    """
    import duckdb

    try:
        return bench.execute(query, dict(clock) or None).fetchall()
    except (duckdb.OutOfMemoryException, duckdb.IOException, duckdb.InterruptException):
        raise
    except duckdb.Error as error:
        return Answer(how="sql", error=said(error))


def hidden(query: str, names: Sequence[str], sensitive: Collection[str]) -> set[str]:
    """Return which columns of a query's result may hold values of sensitive columns.

    All, when the query names a sensitive column or may bring one under another name; else those of their names.
    """
    if not sensitive:
        return set()
    return set(names) if names_secret(query, sensitive) else secret(names, sensitive)


def names_secret(query: str, sensitive: Iterable[str]) -> bool:
    """Say whether a query names a sensitive column, or may bring one out under another name."""
    named = reader.columns(query)
    return bool(secret(named.names, sensitive)) or named.opaque


def _plain(value: Any) -> float | int | None:
    return value if value is None or isinstance(value, int | float) else float(value)
