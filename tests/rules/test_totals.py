"""Totals: put together from what they are in each part, they say what all the rows say."""

import itertools
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.engines.duckdb import DuckDB
from assay.engines.quoting import literal
from assay.engines.tables import InputFiles, StoredTable
from assay.facts import Status
from assay.model import PREVIOUS, THIS, Code, Column, Contract, Input, Kind, Product, Rule, Where
from assay.rules.evidence import Evidence, PartEvidence
from assay.rules.incremental.total_queries import split
from assay.rules.incremental.totals import (
    PartTotals,
    TableTotals,
    Totals,
    total_queries_of,
    totals_digest,
)
from assay.rules.judge import RuleJudge, judge

TYPES = {
    "k": "INTEGER",
    "i": "BIGINT",
    "u": "UBIGINT",
    "d": "DECIMAL(18,3)",
    "big": "DECIMAL(38,2)",
    "f": "DOUBLE",
    "b": "BOOLEAN",
    "s": "VARCHAR",
    "t": "TIMESTAMP",
    "z": "TIMESTAMP WITH TIME ZONE",
    "day": "DATE",
}
COLUMNS = tuple(Column(name=name, type=type) for name, type in TYPES.items())
VALUES: Mapping[str, Sequence[str]] = {
    "k": ["0", "1", "2"],
    "i": ["0", "-1", "7", "9223372036854775807", "-9223372036854775808"],
    "u": ["0", "3", "18446744073709551615"],
    "d": ["0", "0.001", "-12.345", "999999999999999.999", "-999999999999999.999"],
    "big": [
        "0.01",
        "-3.5",
        "9999999999999999999999999999999999.99",
        "-9999999999999999999999999999999999.99",
    ],
    "f": ["0", "-0.0", "0.1", "0.2", "1e300", "-1e300", "nan", "inf", "-inf", "5e-324"],
    "b": ["true", "false"],
    "s": ["", "a", "A", "ä", "Z", "it's", "\u0001", "\U0001f600", "null"],
    "t": [
        "1969-12-31 23:59:59.999999",
        "2024-02-29",
        "infinity",
        "-infinity",
        "0001-01-01",
        "0044-03-15 (BC)",
        "9999-12-31 23:59:59.999999",
    ],
    "z": [
        "2024-03-31 01:30:00+00",
        "2024-03-31 01:30:00.000001+00",
        "infinity",
        "0001-01-01 00:00:00+00",
    ],
    "day": ["2024-02-29", "infinity", "0044-03-15 (BC)", "9999-12-31"],
}
NUMBERS = ["k", "i", "u", "d", "big"]
AGGREGATES = st.one_of(
    st.just("count(*)"),
    st.builds(
        "{}({})".format, st.sampled_from(["count", "min", "max"]), st.sampled_from(list(TYPES))
    ),
    st.builds("{}({})".format, st.sampled_from(["sum", "avg", "mean"]), st.sampled_from(NUMBERS)),
    st.builds("sum({} * 2 + k)".format, st.sampled_from(["k", "i"])),
    st.builds(
        "{}({})".format, st.sampled_from(["bool_and", "bool_or", "count_if", "sum"]), st.just("b")
    ),
    st.builds("count_if({} > 0)".format, st.sampled_from([*NUMBERS, "f"])),
)
FILTERS = ["k > 0", "b", "f > 0", "s <> 'a'", "false", "i is not null"]
TOTAL = st.one_of(
    AGGREGATES, st.builds("{} filter (where {})".format, AGGREGATES, st.sampled_from(FILTERS))
)
HAVING = [
    "",
    "having count(*) > 2",
    "having sum(k) > 1 or max(s) > 'a'",
    "having min(f) < 0",
    "having count(s) = 0",
]
KEYS = ["", "k", "s", "day", "b", "k % 2", "k, s"]


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A query of the family whose totals are put together."""
    totals = draw(st.lists(TOTAL, min_size=1, max_size=3))
    if draw(st.booleans()):
        totals[0] = f"{totals[0]} is null or {totals[-1]} is not null"
    key = draw(st.sampled_from(KEYS))
    where = draw(
        st.sampled_from(
            ["", *(f"where own.{condition}" for condition in FILTERS if condition != "false")]
        )
    )
    named = [f"{total} as a{n}" if draw(st.booleans()) else total for n, total in enumerate(totals)]
    grouped = (
        f"group by {draw(st.sampled_from([key, 'all']))}"
        if key
        else draw(st.sampled_from(["", "group by all"]))
    )
    chosen = ", ".join([key, *named] if key else named)
    return f"select {chosen} from this as own {where} {grouped} {draw(st.sampled_from(HAVING))}"


ROW = st.fixed_dictionaries(
    {name: st.one_of(st.none(), st.sampled_from(values)) for name, values in VALUES.items()}
)
TABLES = st.lists(st.lists(ROW, max_size=4), min_size=1, max_size=4)


class Bench:
    """A folder of tables in parts, and the engine that reads them."""

    def __init__(self) -> None:
        self.kept = tempfile.TemporaryDirectory(prefix="totals")
        self.folder = Path(self.kept.name)
        self.engine = DuckDB([self.folder], self.folder)
        self.count = itertools.count(1)

    def part(self, rows: Sequence[Mapping[str, str | None]]) -> PartEvidence:
        """Write the rows of a part."""
        number = next(self.count)
        file = self.folder / f"{number}.parquet"
        tuples = [", ".join(typed(row[name], type) for name, type in TYPES.items()) for row in rows]
        none = (
            "select "
            + ", ".join(f"null::{type} as {name}" for name, type in TYPES.items())
            + " where false"
        )
        query = " union all ".join([none, *(f"select {row}" for row in tuples)])
        with self.engine.cursor() as cursor:
            cursor.execute(f"copy ({query}) to {literal(str(file))} (format parquet)")
        return PartEvidence(key=str(number), id=number, table=StoredTable((file,)), rows=len(rows))


def typed(value: str | None, type: str) -> str:
    return f"{literal(value)}::{type}" if value is not None else f"null::{type}"


@cache
def bench() -> Bench:
    return Bench()


def ruled(sql: str, *inputs: str) -> Product:
    read = tuple(Input(alias=name, name=name) for name in (THIS, *inputs))
    contract = Contract(
        digest="c",
        columns=COLUMNS,
        rules=(Rule(text="r", where=Where("x.py", 1), sql=sql, inputs=read),),
    )
    code = Code(digest="d", reached={})
    return Product(
        name="b.p", where=Where("x.py", 1), kind=Kind.SQL, code=code, contract=contract, owner="o"
    )


def whole(parts: Sequence[PartEvidence]) -> StoredTable:
    return StoredTable(tuple(file for part in parts for file in part.table.files))


def evidence_of(parts: Sequence[PartEvidence], **others: Sequence[PartEvidence]) -> Evidence:
    inputs = tuple(
        InputFiles(alias=name, name=name, table=whole(of)) for name, of in others.items()
    )
    rows, now = sum(part.rows for part in parts), datetime(2024, 1, 1, tzinfo=UTC)
    return Evidence(
        this=whole(parts), columns=COLUMNS, rows=rows, other_tables=inputs, before=COLUMNS, now=now
    )


def in_parts(
    sql: str, remembered: Mapping[int, Any], **tables: Sequence[PartEvidence]
) -> tuple[Any, Totals]:
    """Judge by parts; what is remembered of a part is not read."""
    asked = split(sql, frozenset((name, frozenset(TYPES)) for name in tables))
    assert asked, sql
    queries = total_queries_of([asked], set(tables))
    tallies = {}
    for name, parts in tables.items():
        known = [
            replace(
                p,
                table=StoredTable(()) if p.id in remembered else p.table,
                remembered=remembered.get(p.id),
            )
            for p in parts
        ]
        tallies[name] = TableTotals(rules="digest", queries=queries, parts=known)
    others = {name: parts for name, parts in tables.items() if name != THIS}
    product, evidence = ruled(sql, *others), evidence_of(tables[THIS], **others)
    judging = RuleJudge(
        product, evidence, bench().engine, lambda: pytest.fail("no schema is asked")
    )
    totals = Totals(judging.queries, PartTotals(rules={"r": asked}, tables=tallies))
    judging.answers |= totals.answer()
    [result] = judging.run()
    return result, totals


def over_all(sql: str, **tables: Sequence[PartEvidence]) -> Any:
    others = {name: parts for name, parts in tables.items() if name != THIS}
    evidence = evidence_of(tables[THIS], **others)
    [result] = judge(
        ruled(sql, *others), evidence, bench().engine, lambda: pytest.fail("no schema is asked")
    )
    return result


def told(result: Any) -> Any:
    """What a rule's result says; of groups, which are in no order, a few are shown, and errors meet any of them first."""
    samples = (
        sorted(map(repr, result.samples)) if (result.failing or 0) <= 5 else len(result.samples)
    )
    message = (
        re.sub(r"-?\d+", "N", result.message) if result.status is Status.ERROR else result.message
    )
    return result.status, result.failing, result.measured, message, samples


def memory(totals: Totals, some: set[int]) -> dict[int, Any]:
    """What is remembered of some parts, as a catalog gives it back."""
    return {
        id: json.loads(json.dumps(found))
        for (_, id), found in totals.computed.items()
        if id in some
    }


@pytest.mark.long
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(queries(), TABLES, st.sets(st.integers(0, 3)))
def test_totals_by_parts_are_those_of_all(sql: str, tables: Sequence[Any], some: set[int]) -> None:
    parts = [bench().part(rows) for rows in tables]
    expected = over_all(sql, this=parts)
    fresh, totals = in_parts(sql, {}, this=parts)
    assert told(fresh) == told(expected)
    again, _ = in_parts(
        sql, memory(totals, {part.id for n, part in enumerate(parts) if n in some}), this=parts
    )
    assert told(again) == told(expected)
    assert again.how == fresh.how


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    TABLES,
    st.sets(st.integers(0, 3)),
    st.sampled_from(["sum(f)", "avg(f)", "avg(f) filter (where k > 0)"]),
)
def test_a_sum_of_floats_does_not_depend_on_what_is_remembered(
    tables: Sequence[Any], some: set[int], total: str
) -> None:
    parts = [bench().part(rows) for rows in tables]
    sql = f"select {total} as x from this having {total} is not null"
    fresh, totals = in_parts(sql, {}, this=parts)
    again, _ = in_parts(
        sql, memory(totals, {part.id for n, part in enumerate(parts) if n in some}), this=parts
    )
    assert (told(again), fresh.how, again.how) == (told(fresh), "totals", "totals")
    expected = over_all(sql, this=parts)
    assert (fresh.status, fresh.failing) == (expected.status, expected.failing)
    for mine, theirs in zip(fresh.samples, expected.samples, strict=True):
        either = [float(mine["x"]), float(theirs["x"])]
        assert either[0] == pytest.approx(either[1], rel=1e-9, abs=1e290, nan_ok=True) or not all(
            map(isfinite, either)
        )


def some(**values: str) -> dict[str, str | None]:
    return {**dict.fromkeys(TYPES), **values}


BOTH = "select * from (select k, sum(d) as a from this group by all) full join (select k, sum(d) as b from {} group by all) using (k) where a is distinct from b"


@pytest.mark.parametrize("other", [PREVIOUS, "ledger"])
def test_another_table_in_parts_is_asked_by_its_parts(other: str) -> None:
    mine = [
        bench().part([some(k="1", d="0.5"), some(k="2", d="7")]),
        bench().part([some(k="1", d="0.25")]),
    ]
    theirs = [
        bench().part([some(k="1", d="0.75")]),
        bench().part([some(k="2", d="6.999"), some(d="1")]),
    ]
    tables = {THIS: mine, other: theirs}
    sql = BOTH.format(other)
    fresh, totals = in_parts(sql, {}, **tables)
    assert (fresh.failing, fresh.how) == (2, "totals")
    again, _ = in_parts(sql, memory(totals, {part.id for part in [*mine, *theirs]}), **tables)
    assert told(again) == told(fresh) == told(over_all(sql, **tables))


HUGE = "99999999999999999999999999999999999999"


@pytest.mark.parametrize("spread", [False, True])
def test_a_sum_that_is_too_large_is_told_as_ever(spread: bool) -> None:
    rows = [some(big=f"{HUGE[:36]}.99")] * 2
    parts = (
        [bench().part([row]) for row in rows] if spread else [bench().part(rows), bench().part([])]
    )
    sql = "select sum(big) from this"
    judged, totals = in_parts(sql, {}, this=parts)
    assert str(judged.status) == "error"
    assert told(judged) == told(over_all(sql, this=parts))
    assert bool(totals.computed) == spread, (
        "nothing is remembered where a value could not be computed"
    )


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        (
            "select i, count(*) from this group by i having sum(k) > 1000",
            [some(i=str(n)) for n in range(101)],
        ),
        ("select max(s) from this having max(s) is null", [some(s="long" * 300)]),
        (
            "select f, count(*) from this group by f having sum(k) > 1000",
            [some(f="-0.0"), some(f="0.0")],
        ),
        ("select max(list_value(k)) from this having max(list_value(k)) is null", [some(k="1")]),
        ("select sum(nope) from this", [some(k="1")]),
    ],
)
def test_what_is_not_worth_remembering_is_read(sql: str, rows: Sequence[Any]) -> None:
    parts = [bench().part(rows), bench().part([some(k="1")])]
    judged, totals = in_parts(sql, {}, this=parts)
    assert judged.how == "sql"
    assert told(judged) == told(over_all(sql, this=parts))
    assert not any(totals.computed[name] for name in totals.computed if name[1] == parts[0].id)
    again, _ = in_parts(sql, memory(totals, {parts[1].id}), this=parts)
    assert (again.how, told(again)) == ("sql", told(judged))


def test_floats_are_not_compared_with_those_of_a_table_that_is_read_as_it_is() -> None:
    parts, table = [bench().part([some(f="0.1")]), bench().part([some(f="0.2")])], frozenset(TYPES)
    sql = "select * from (select sum(f) as a from this) join (select sum(f) as b from ledger) on a <> b"
    asked = split(sql, frozenset({(THIS, table)}))
    assert asked is not None
    assert asked.tables == {"ledger"}
    tally = TableTotals(rules="digest", queries=total_queries_of([asked], {THIS}), parts=parts)
    judging = RuleJudge(
        ruled(sql, "ledger"),
        evidence_of(parts, ledger=parts),
        bench().engine,
        lambda: pytest.fail(""),
    )
    totals = Totals(judging.queries, PartTotals(rules={"r": asked}, tables={THIS: tally}))
    assert not totals.answer()


SPLIT = {
    "select sum(x) from this having sum(x) > 3": 1,
    "select this.day, count(*) as n from this group by 1 having n > 3 order by n": 1,
    "select d, sum(x) as total from (select y as d, x from this) group by d": 0,
    "select x.y from (select sum(x) as y from this) as x": 1,
    "select day as d, sum(x) from this group by d": 1,
    "select sum(x) as s from this t having s > (select sum(x) from previous)": 2,
    "select epoch($now) - epoch(l) from (select max(day) as l from this) where l > $now": 1,
    "with t as (select day, sum(x) as x from this group by all) select * from t a join t b using (x)": 1,
    "select sum(x) as y from this having y > 3": 0,  # it may be the column
    "select sum(x) from this limit 1": 0,
    "select distinct sum(x) from this": 0,
    "select median(x) from this": 0,
    "select sum(distinct x) from this": 0,
    "select string_agg(x, ',' order by y) from this": 0,
    "select max(x, 2) from this": 0,
    "select first(x) from this": 0,
    "select sum(random()) from this": 0,
    "select sum(x) from this where day < current_date": 0,
    "select sum(x) from this where day < $now": 0,
    "select sum(x) from this where x > (select max(x) from this)": 0,
    "select sum(x) from this having sum(x) > (select sum(x) from this where x in (from previous select x))": 0,
    "select sum(x) over () from this": 0,
    "select sum(sum(x)) over () from this": 0,
    "select max(x collate nocase) from this": 0,
    "select sum(columns(*)) from this": 0,
    "select day, sum(x) from this group by rollup (day)": 0,
    "select 'a' as a, sum(x) from this group by 1": 0,
    "select sum(x) from this tablesample 10%": 0,
    "select sum(x) from this t(x, y)": 0,
    "select sum(x) from shop.this": 0,
    "select sum(x) from this, previous": 0,
    "with this as (select 1 as x) select sum(x) from this": 0,
    "select sum(x) from this union all select x from this": 0,
    "select x from this": 0,
    "select count(*) from (select distinct x from this)": 0,
}


@pytest.mark.parametrize("sql", SPLIT)
def test_which_totals_are_put_together(sql: str) -> None:
    columns = frozenset({"x", "y", "day"})
    asked = split(sql, frozenset({(THIS, columns), (PREVIOUS, columns)}))
    assert (len(asked.blocks) if asked else 0) == SPLIT[sql], asked


def test_other_columns_or_queries_are_remembered_apart() -> None:
    queries, wider = ("select sum(x) from __part",), Column(name="i", type="HUGEINT")
    digests = [
        totals_digest(queries, COLUMNS),
        totals_digest(queries, [*COLUMNS, wider]),
        totals_digest((), COLUMNS),
    ]
    assert (
        len({*digests, totals_digest(queries, [replace(c, type="BIGINT") for c in COLUMNS])}) == 4
    )
