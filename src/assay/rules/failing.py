"""All rows that fail one rule, for `show --failures`."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.duckdb import DuckDB, parquet
from assay.errors import BuildError
from assay.model import Product, Rule
from assay.rules import with_duckdb, with_pandera, with_polars
from assay.rules.answers import Answer
from assay.rules.compile import Aggregate, DecidedByColumns, ways_of
from assay.rules.evidence import Evidence
from assay.rules.hiding import HiddenValues
from assay.rules.quarantine import broke_rule
from assay.rules.query_rules import QueryRules
from assay.rules.samples import CompiledRule
from assay.rules.schema import Schema
from assay.sensitive import HIDDEN

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_AT_ONCE = 1000  # rows fetched at a time


class FailingRows(Struct, frozen=True, kw_only=True):
    """The rows that fail a rule, with the names of their columns; `hidden` returns those to mask."""

    names: list[str]
    rows: Iterator[Sequence[Any]]
    hidden: Callable[[], Collection[str]]

    def masked(self) -> Iterator[Sequence[Any]]:
        """Return the rows with the values of sensitive columns masked."""
        hidden = self.hidden()
        masks = [name in hidden for name in self.names]
        return (
            tuple(HIDDEN if mask else value for mask, value in zip(masks, row, strict=True))
            for row in self.rows
        )


@contextmanager
def failing_rows(
    product: Product,
    rule: Rule,
    evidence: Evidence,
    engine: DuckDB,
    schema: Callable[[], Schema],
    *,
    hiding: HiddenValues | None = None,
) -> Iterator[FailingRows]:
    """Give all rows that fail a rule.

    Raises BuildError when the rule cannot be judged.
    """
    hiding = hiding or HiddenValues(evidence, engine)
    table = with_duckdb.source(evidence.this)
    way = ways_of(product, evidence.columns).get(rule.text)

    def of_this(names: list[str], rows: Iterator[Sequence[Any]]) -> FailingRows:
        return FailingRows(names=names, rows=rows, hidden=lambda: hiding.in_this(names))

    if rule.quarantines and evidence.quarantined:
        with engine.cursor() as cursor:
            cursor.execute(f"{parquet(evidence.quarantined)} where {broke_rule(rule)}")
            yield of_this(_names(cursor), _fetched(cursor))
    elif rule.demand is None or way is None:
        queries = QueryRules(product, evidence, engine, hiding)
        if queries.lacks_previous(rule):
            raise BuildError("nothing is published yet to compare with")
        with queries.bench() as bench:
            query, arguments = queries.failing_of(rule)
            bench.execute(query, arguments or None)
            names = _names(bench)
            yield FailingRows(
                names=names,
                rows=_fetched(bench),
                hidden=lambda: queries.hidden(rule, query, names),
            )
    elif fails := with_duckdb.condition(way, table):
        with engine.cursor() as cursor:
            cursor.execute(f"select * {table} where {fails}")
            yield of_this(_names(cursor), _fetched(cursor))
    else:
        names = [column.name for column in evidence.columns]
        compiled = CompiledRule(text=rule.text, demand=rule.demand, way=way, columns=names)
        frame = _failing_frame(compiled, evidence, schema)
        if isinstance(frame, Answer):
            raise BuildError(hiding.veiled(rule, frame.error))
        yield of_this(names, iter(frame.rows()))


def _failing_frame(
    rule: CompiledRule, evidence: Evidence, schema: Callable[[], Schema]
) -> "pl.DataFrame | Answer":
    """Return the rows that fail a rule of Polars or pandera: none when it is not about rows.

    Returns the answer of the rule when it cannot be judged.
    """
    table = evidence.this
    request = with_polars.request_of(rule, schema)
    if request is not None:
        scan = with_polars.FileScan(table, {rule.text: request})
        answer = scan.run()[rule.text]
        if answer.failing:
            return scan.rows(rule.text, rule.columns).collect(engine="streaming")
        numbers: list[int] = []
    elif isinstance(rule.way, DecidedByColumns | Aggregate):
        return with_pandera.rows_of(table, [], rule.columns)
    else:
        answer, numbers = with_pandera.ask(rule.demand, schema(), table)
    return answer if answer.error else with_pandera.rows_of(table, numbers, rule.columns)


def _names(cursor: "duckdb.DuckDBPyConnection") -> list[str]:
    return [column[0] for column in cursor.description or ()]


def _fetched(cursor: "duckdb.DuckDBPyConnection") -> Iterator[Sequence[Any]]:
    while batch := cursor.fetchmany(_AT_ONCE):
        yield from batch
