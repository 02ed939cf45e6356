"""Totals: put together from what they are in each part, they say what all the rows say."""

import itertools
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.engines.duckdb import DuckDB, literal
from assay.engines.feed import Feed, Table
from assay.engines.totals import split
from assay.model import THIS, Code, Column, Contract, Input, Kind, Product, Rule, Where
from assay.rules.by_totals import Tallies, Tally, Totals, asked_of
from assay.rules.judge import Evidence, Judging, PartEvidence, judge

TYPES = {
    "k": "INTEGER", "i": "BIGINT", "u": "UBIGINT", "d": "DECIMAL(18,3)", "big": "DECIMAL(38,2)", "f": "DOUBLE",
    "b": "BOOLEAN", "s": "VARCHAR", "t": "TIMESTAMP", "z": "TIMESTAMP WITH TIME ZONE", "day": "DATE",
}  # fmt: skip
COLUMNS = tuple(Column(name=name, type=type) for name, type in TYPES.items())
VALUES: Mapping[str, Sequence[str]] = {
    "k": ["0", "1", "2"],
    "i": ["0", "-1", "7", "9223372036854775807", "-9223372036854775808"],
    "u": ["0", "3", "18446744073709551615"],
    "d": ["0", "0.001", "-12.345", "999999999999999.999", "-999999999999999.999"],
    "big": ["0.01", "-3.5", "9999999999999999999999999999999999.99", "-9999999999999999999999999999999999.99"],
    "f": ["0", "-0.0", "0.1", "0.2", "1e300", "-1e300", "nan", "inf", "-inf", "5e-324"],
    "b": ["true", "false"],
    "s": ["", "a", "A", "ä", "Z", "it's", "\u0001", "\U0001f600", "null"],
    "t": ["1969-12-31 23:59:59.999999", "2024-02-29", "infinity", "-infinity", "0001-01-01", "0044-03-15 (BC)", "9999-12-31 23:59:59.999999"],
    "z": ["2024-03-31 01:30:00+00", "2024-03-31 01:30:00.000001+00", "infinity", "0001-01-01 00:00:00+00"],
    "day": ["2024-02-29", "infinity", "0044-03-15 (BC)", "9999-12-31"],
}  # fmt: skip
NUMBERS, FLOATS = ["k", "i", "u", "d", "big"], ["f"]
AGGREGATES = st.one_of(
    st.just("count(*)"),
    st.builds("{}({})".format, st.sampled_from(["count", "min", "max"]), st.sampled_from(list(TYPES))),
    st.builds("{}({})".format, st.sampled_from(["sum", "avg", "mean"]), st.sampled_from(NUMBERS)),
    st.builds("sum({} * 2 + k)".format, st.sampled_from(["k", "i"])),
    st.builds("{}({})".format, st.sampled_from(["bool_and", "bool_or", "count_if", "sum"]), st.just("b")),
    st.builds("count_if({} > 0)".format, st.sampled_from([*NUMBERS, "f"])),
)
FILTERS = ["k > 0", "b", "f > 0", "s <> 'a'", "false", "i is not null"]
TOTAL = st.one_of(AGGREGATES, st.builds("{} filter (where {})".format, AGGREGATES, st.sampled_from(FILTERS)))
HAVING = ["", "having count(*) > 2", "having sum(k) > 1 or max(s) > 'a'", "having min(f) < 0", "having count(s) = 0"]
KEYS = ["", "k", "s", "day", "b", "k % 2", "k, s"]


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A query of the family whose totals are put together."""
    totals = draw(st.lists(TOTAL, min_size=1, max_size=3))
    if draw(st.booleans()):
        totals[0] = f"{totals[0]} is null or {totals[-1]} is not null"
    key = draw(st.sampled_from(KEYS))
    where = draw(st.sampled_from(["", *(f"where own.{condition}" for condition in FILTERS if condition != "false")]))
    named = [f"{total} as a{n}" if draw(st.booleans()) else total for n, total in enumerate(totals)]
    grouped = f"group by {draw(st.sampled_from([key, 'all']))}" if key else draw(st.sampled_from(["", "group by all"]))
    chosen = ", ".join([key, *named] if key else named)
    return f"select {chosen} from this as own {where} {grouped} {draw(st.sampled_from(HAVING))}"


ROW = st.fixed_dictionaries({name: st.one_of(st.none(), st.sampled_from(values)) for name, values in VALUES.items()})
TABLES = st.lists(st.lists(ROW, max_size=4), min_size=1, max_size=4)


class Bench:
    """A folder of tables in parts, and the engine that reads them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="totals"))
        self.engine = DuckDB([self.folder], self.folder)
        self.count = itertools.count(1)

    def part(self, rows: Sequence[Mapping[str, str | None]]) -> PartEvidence:
        """Write the rows of a part."""
        number = next(self.count)
        file = self.folder / f"{number}.parquet"
        tuples = [", ".join(typed(row[name], type) for name, type in TYPES.items()) for row in rows]
        none = "select " + ", ".join(f"null::{type} as {name}" for name, type in TYPES.items()) + " where false"
        query = " union all ".join([none, *(f"select {row}" for row in tuples)])
        with self.engine.cursor() as cursor:
            cursor.execute(f"copy ({query}) to {literal(str(file))} (format parquet)")
        return PartEvidence(key=str(number), id=number, table=Table((file,)), rows=len(rows))


def typed(value: str | None, type: str) -> str:
    return f"{literal(value)}::{type}" if value is not None else f"null::{type}"


@cache
def bench() -> Bench:
    return Bench()


def ruled(sql: str, *inputs: str) -> Product:
    read = tuple(Input(alias=name, name=name) for name in (THIS, *inputs))
    contract = Contract(
        digest="c", columns=COLUMNS, rules=(Rule(text="r", where=Where("x.py", 1), sql=sql, inputs=read),)
    )
    code = Code(digest="d", parts={})
    return Product(name="b.p", where=Where("x.py", 1), kind=Kind.SQL, code=code, contract=contract, owner="o")


def whole(parts: Sequence[PartEvidence]) -> Table:
    return Table(tuple(file for part in parts for file in part.table.files))


def evidence_of(parts: Sequence[PartEvidence], **others: Sequence[PartEvidence]) -> Evidence:
    feeds = tuple(Feed(alias=name, name=name, table=whole(of)) for name, of in others.items())
    rows, now = sum(part.rows for part in parts), datetime(2024, 1, 1, tzinfo=UTC)
    return Evidence(this=whole(parts), columns=COLUMNS, rows=rows, others=feeds, before=COLUMNS, now=now)


def in_parts(sql: str, remembered: Mapping[int, Any], **tables: Sequence[PartEvidence]) -> tuple[Any, Totals]:
    """Judge by parts; what is remembered of a part is not read."""
    asked = split(sql, frozenset((name, frozenset(TYPES)) for name in tables))
    assert asked, sql
    queries = asked_of([asked], set(tables))
    tallies = {}
    for name, parts in tables.items():
        known = [
            replace(p, table=Table(()) if p.id in remembered else p.table, remembered=remembered.get(p.id))
            for p in parts
        ]
        tallies[name] = Tally(rules="digest", queries=queries, parts=known)
    others = {name: parts for name, parts in tables.items() if name != THIS}
    product, evidence = ruled(sql, *others), evidence_of(tables[THIS], **others)
    judging = Judging(product, evidence, bench().engine, lambda: pytest.fail("no schema is asked"))
    totals = Totals(judging, Tallies(rules={"r": asked}, tables=tallies))
    totals.answer()
    [result] = judging.run()
    return result, totals


def over_all(sql: str, **tables: Sequence[PartEvidence]) -> Any:
    others = {name: parts for name, parts in tables.items() if name != THIS}
    evidence = evidence_of(tables[THIS], **others)
    [result] = judge(ruled(sql, *others), evidence, bench().engine, lambda: pytest.fail("no schema is asked"))
    return result


def told(result: Any) -> Any:
    """What a rule's result says; of groups, which are in no order, a few are shown."""
    samples = sorted(map(repr, result.samples)) if (result.failing or 0) <= 5 else len(result.samples)
    return result.status, result.failing, result.measured, result.message, samples


def memory(totals: Totals, some: set[int]) -> dict[int, Any]:
    """What is remembered of some parts, as a catalog gives it back."""
    return {id: json.loads(json.dumps(found)) for (_, id), found in totals.judged.items() if id in some}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(queries(), TABLES, st.sets(st.integers(0, 3)))
def test_totals_by_parts_are_those_of_all(sql: str, tables: Sequence[Any], some: set[int]) -> None:
    parts = [bench().part(rows) for rows in tables]
    expected = over_all(sql, this=parts)
    fresh, totals = in_parts(sql, {}, this=parts)
    assert told(fresh) == told(expected)
    again, _ = in_parts(sql, memory(totals, {part.id for n, part in enumerate(parts) if n in some}), this=parts)
    assert told(again) == told(expected)
    assert again.how == fresh.how
