"""Column lineage of SQL against what happens: when a column is dropped, and when its values change."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import duckdb
import pytest

from assay.engines.binding import EmptyTables, Unbound
from assay.model import Input
from assay.plan.flows import ROWS, Flow, How, TableFlows
from tests.conftest import mostly_long
from tests.engines import tpch

SHOP = {
    "shop.lines": {
        "id": "INTEGER",
        "day": "DATE",
        "amount": "DECIMAL(18,2)",
        "qty": "INTEGER",
        "country": "VARCHAR",
        "tags": "VARCHAR[]",
        "s": "STRUCT(a INTEGER, b STRUCT(c VARCHAR))",
    },
    "shop.t": {"a": "INTEGER", "b": "INTEGER", "c": "INTEGER"},
    "shop.u": {"a": "INTEGER", "b": "INTEGER", "d": "INTEGER"},
}


@pytest.fixture(scope="module")
def shop() -> Iterator[EmptyTables]:
    yield from _tables(SHOP)


@pytest.fixture(scope="module")
def tpch_tables() -> Iterator[EmptyTables]:
    yield from _tables({f"tpch.{name}": columns for name, columns in tpch.TABLES.items()})


def _tables(columns_of: Mapping[str, Mapping[str, str]]) -> Iterator[EmptyTables]:
    with EmptyTables() as tables:
        for name, columns in columns_of.items():
            tables.add(name, columns.items())
        yield tables


def spelled(flows: Iterable[Flow]) -> str:
    """Return flows as `t.a identity+window, u.b join`, without the domain, and without rows."""
    return ", ".join(
        f"{flow.of.partition('.')[2]}.{flow.column} {'+'.join(flow.how)}"
        for flow in flows
        if flow.column != ROWS
    )


def sources(flows: Iterable[Flow]) -> set[str]:
    return {flow.column for flow in flows} - {ROWS}


# What the columns of a query are made of, and, after "rows", what decides its rows.
CASES: dict[str, dict[str, str]] = {
    "select a, b + c as bc, 1 as one, count(*) over () as n from t": {
        "a": "t.a identity",
        "bc": "t.b computed, t.c computed",
        "one": "",
        "n": "",
        "rows": "",
    },
    "select country, sum(amount) * 2 as net, count(*) as n from lines where qty > 0 group by all": {
        "country": "lines.country identity",
        "net": "lines.amount aggregated",
        "n": "",
        "rows": "lines.country group, lines.qty filter",
    },
    "select sum(a) filter (where b > 0) as s, string_agg(b::varchar, ',' order by c) as l from t having max(c) > 1": {
        "s": "t.a aggregated, t.b condition",
        "l": "t.b aggregated, t.c order",
        "rows": "t.c filter",
    },
    "select case when a > 0 then b else c end as x, coalesce(a, b) as y from t": {
        "x": "t.a condition, t.b computed, t.c computed",
        "y": "t.a computed, t.b computed",
        "rows": "",
    },
    # By name, not by place.
    "select a, b from t union all by name select b, d from u": {
        "a": "t.a identity",
        "b": "t.b identity, u.b identity",
        "d": "u.d identity",
        "rows": "",
    },
    "select a from t union select d from u": {
        "a": "t.a identity, u.d identity",
        "rows": "t.a group, u.d group",
    },
    "select a from t except select d from u": {
        "a": "t.a identity",
        "rows": "t.a filter+group, u.d filter",
    },
    "select max(columns('a|b')) from t": {
        "a": "t.a aggregated",
        "b": "t.b aggregated",
        "rows": "",
    },
    "select columns(* exclude (c)) from t": {"a": "t.a identity", "b": "t.b identity", "rows": ""},
    "select * replace (a + c as b) from t": {
        "a": "t.a identity",
        "b": "t.a computed, t.c computed",
        "c": "t.c identity",
        "rows": "",
    },
    "select country.upper().trim() as x from lines": {"x": "lines.country computed", "rows": ""},
    "select s.b.c, s from lines": {"c": "lines.s computed", "s": "lines.s identity", "rows": ""},
    "select list_filter(tags, lambda x: x = country) as l from lines": {
        "l": "lines.country computed, lines.tags computed",
        "rows": "",
    },
    "select id, unnest(tags) as tag from lines": {
        "id": "lines.id identity",
        "tag": "lines.tags computed",
        "rows": "lines.tags unnest",
    },
    "select id, x from lines, unnest(tags) as u(x)": {
        "id": "lines.id identity",
        "x": "lines.tags computed",
        "rows": "lines.tags unnest",
    },
    "select t.a, x.y from t, lateral (select t.b + u.d as y from u where u.a = t.a) x": {
        "a": "t.a identity",
        "y": "t.b computed, u.d computed",
        "rows": "t.a filter, u.a filter",
    },
    "select a, r from t, range(t.b) x(r)": {
        "a": "t.a identity",
        "r": "t.b computed",
        "rows": "t.b unnest",
    },
    # A subquery gives one value a row: it decides that column, not the rows.
    "select b, (select max(d) from u where u.a = t.a) as m, (select min(d) from u where b > 0) as n from t": {
        "b": "t.b identity",
        "m": "t.a join, u.a condition+join, u.d aggregated",
        "n": "u.b condition, u.d aggregated",
        "rows": "",
    },
    "select exists (select * from u where u.a = t.a) as e from t": {
        "e": "t.a condition, u.a condition",
        "rows": "",
    },
    "select b from t where exists (select * from u where u.a = t.a and d > 0)": {
        "b": "t.b identity",
        "rows": "t.a filter, u.a filter, u.d filter",
    },
    "select a from t where b not in (select d from u)": {
        "a": "t.a identity",
        "rows": "t.b filter, u.d filter",
    },
    "select b from t semi join u using (a)": {"b": "t.b identity", "rows": "t.a join, u.a join"},
    "select b from t anti join u on t.a = u.a and u.d > t.c": {
        "b": "t.b identity",
        "rows": "t.a join, t.c join, u.a join, u.d join",
    },
    "select a, t.b, u.d from t full join u using (a)": {
        "a": "t.a computed, u.a computed",
        "b": "t.b identity",
        "d": "u.d identity",
        "rows": "t.a join, u.a join",
    },
    "select t.b, u.d from t asof join u on t.a = u.a and t.b >= u.b": {
        "b": "t.b identity",
        "d": "u.d identity",
        "rows": "t.a join, t.b join, u.a join, u.b join",
    },
    "select sum(a) over (partition by b order by c) as s, lag(a) over (order by b) as l from t": {
        "s": "t.a aggregated, t.b window, t.c window",
        "l": "t.a computed, t.b window",
        "rows": "",
    },
    "select a from t qualify row_number() over (partition by b order by c) = 1": {
        "a": "t.a identity",
        "rows": "t.b filter, t.c filter",
    },
    "select a from t order by b limit 3": {"a": "t.a identity", "rows": "t.b order"},
    "select distinct on (a) a, b from t order by c": {
        "a": "t.a identity",
        "b": "t.b identity",
        "rows": "t.a group, t.c order",
    },
    # The order of a subquery decides what comes first.
    "select first(a) as f, sum(a) as s from (from t order by b)": {
        "f": "t.a aggregated, t.b order",
        "s": "t.a aggregated",
        "rows": "",
    },
    "select a, b, sum(c) as s, grouping(a) as g from t group by rollup (a, b)": {
        "a": "t.a identity",
        "b": "t.b identity",
        "s": "t.c aggregated",
        "g": "",
        "rows": "t.a group, t.b group",
    },
    "from (pivot t on a in (1, 2) using sum(b) group by c)": {
        "c": "t.c identity",
        "1": "t.a condition, t.b aggregated",
        "2": "t.a condition, t.b aggregated",
        "rows": "t.c group",
    },
    "from (unpivot t on b, c into name k value v)": {
        "a": "t.a identity",
        "k": "",
        "v": "t.b computed, t.c computed",
        "rows": "t.b filter+unnest, t.c filter+unnest",
    },
    "with recursive r(n, k) as (select a, b from t union all select n + 1, k + d from r join u on u.a = n where n < 5) from r": {
        "n": "t.a identity+computed",
        "k": "t.b identity+computed, u.d computed",
        "rows": "t.a filter+join, u.a join",
    },
    "with x as materialized (select a, b from t where c > 0) select x.a, y.b from x join x y using (a)": {
        "a": "t.a identity",
        "b": "t.b identity",
        "rows": "t.a join, t.c filter",
    },
    "select x, b from (values (1, 2), (3, 4)) v(x, y) join t on t.a = v.x": {
        "x": "",
        "b": "t.b identity",
        "rows": "t.a join",
    },
    "select t as whole from t": {"whole": "t.a computed, t.b computed, t.c computed", "rows": ""},
    "select 1 as x where false": {"x": "", "rows": ""},
}


@pytest.mark.parametrize("query", CASES)
def test_what_columns_are_made_of(query: str, shop: EmptyTables) -> None:
    bound = shop.bind(query, "shop", [])
    assert not bound.unknown
    flows = {column.name: spelled(column.flows) for column in bound.columns}
    assert {**flows, "rows": spelled(bound.rows)} == CASES[query]


def test_which_rows_a_query_is_made_of(shop: EmptyTables) -> None:
    """Those of a subquery that gives a value decide the value."""
    query = "select count(*) as n, (select count(*) from lines) as m from t semi join u using (a)"
    bound = shop.bind(query, "shop", [])
    assert [flow for flow in bound.rows if flow.column == ROWS] == [
        Flow("shop.t", ROWS, (How.ROWS,)),
        Flow("shop.u", ROWS, (How.ROWS,)),
    ]
    assert [column.flows for column in bound.columns] == [
        (),
        (Flow("shop.lines", ROWS, (How.CONDITION,)),),
    ]


def test_types_are_those_of_the_query(shop: EmptyTables) -> None:
    bound = shop.bind(
        "select sum(amount) as net, day + 1 as next, s from lines group by all", "shop", []
    )
    assert [(column.name, column.type) for column in bound.columns] == [
        ("net", "DECIMAL(38,2)"),
        ("next", "DATE"),
        ("s", "STRUCT(a INTEGER, b STRUCT(c VARCHAR))"),
    ]


TYPES = (
    *("BOOLEAN", "TINYINT", "UBIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL(9,4)", "VARCHAR"),
    *("BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP_NS", "TIMESTAMP_S", "UUID", "INTERVAL"),
    *("TIMESTAMP WITH TIME ZONE", "INTEGER[]", "JSON", "MAP(VARCHAR, INTEGER)", "ENUM('a', 'b')"),
)


@pytest.mark.parametrize("type", TYPES)
def test_types_are_spelled_as_by_a_relation(type: str, shop: EmptyTables) -> None:
    query = f"select null::{type} as x, a from t"
    [column, _] = shop.bind(query, "shop", []).columns
    relation = duckdb.connect().sql(f"select null::{type} as x")
    assert (column.name, column.type) == ("x", str(relation.types[0]))


def test_names_are_those_of_a_relation(shop: EmptyTables) -> None:
    """A table made of a query would have other names for columns of one name."""
    bound = shop.bind("select a, b as a, c as a_1 from t", "shop", [])
    relation = duckdb.sql("select 1 as a, 2 as a, 3 as a_1")
    assert [column.name for column in bound.columns] == relation.columns
    assert (
        shop.bind("select a + 1, sum(b) from t group by 1", "shop", []).columns[0].name == "(a + 1)"
    )


def test_an_input_has_the_name_that_the_query_gives_it(shop: EmptyTables) -> None:
    """An alias goes before a product of that name in the domain; full names keep their meaning."""
    inputs = [Input(alias="t", name="shop.u"), Input(alias="shop.t", name="shop.t")]
    query = "select t.d, x.c from t join shop.t x using (a)"
    bound = shop.bind(query, "shop", inputs)
    assert [spelled(column.flows) for column in bound.columns] == ["u.d identity", "t.c identity"]
    other = shop.bind(
        "select amount from sold", "finance", [Input(alias="sold", name="shop.lines")]
    )
    assert spelled(other.columns[0].flows) == "lines.amount identity"
    assert spelled(shop.bind("select a from t", "shop", []).columns[0].flows) == "t.a identity"


@pytest.mark.parametrize(
    ("query", "problem", "place"),
    [
        ("select nosuch from t", "no column nosuch in shop.t; it has", "nosuch"),
        ("select a from t join u using (b)", "column a is ambiguous: write t.a or u.a", "a from"),
        ("select a + tags from t, lines", "No function matches", "+"),
        ("from nothing", "no table nothing", "nothing"),
    ],
)
def test_a_query_that_does_not_fit(query: str, problem: str, place: str, shop: EmptyTables) -> None:
    with pytest.raises(Unbound, match=problem) as raised:
        shop.bind(query, "shop", [])
    assert raised.value.offset == query.index(place)


@pytest.mark.parametrize("query", ["from 'pyproject.toml'", "from read_text('*.md')", "from rows"])
def test_queries_reach_nothing_else(query: str, shop: EmptyTables) -> None:
    rows = duckdb.sql("select 1 as x")  # a variable of Python is no table
    with pytest.raises(Unbound):
        shop.bind(query, "shop", [])
    assert rows


# ------------------------------------------------------------------------------------------- oracles


def numbered() -> list[int]:
    return list(range(1, len(tpch.QUERIES) + 1))


def mentioned(bound: TableFlows) -> set[str]:
    """Return the columns that take part in a query, in whichever way."""
    return sources(bound.rows).union(*(sources(column.flows) for column in bound.columns))


@pytest.mark.parametrize("number", numbered())
def test_a_column_takes_part_if_the_query_needs_it(number: int, tpch_tables: EmptyTables) -> None:
    """Drop each column, and bind again: the lineage names the columns whose loss is an error."""
    query = tpch.QUERIES[number - 1]
    connection = duckdb.connect()
    tpch.create(connection)
    needed = set()
    for table, columns in tpch.TABLES.items():
        for column in columns:
            connection.execute(f"begin; alter table {table} drop column {column}")
            try:
                connection.execute(f"explain {query}")
            except duckdb.BinderException:
                needed.add(column)
            connection.execute("rollback")
    assert mentioned(tpch_tables.bind(query, "tpch", [])) == needed


@pytest.fixture(scope="module")
def filled() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    tpch.create(connection, rows=True)
    connection.execute("create schema changed")
    return connection


# Other values for a column: those of another row; those of few rows; the same for all, or none.
CHANGES = (
    "lead({0}, 1, {0}) over (order by rowid)",
    "first_value({0}) over (order by hash({0}))",
    "case when rowid % 3 = 0 then max({0}) over () else {0} end",
    "case when rowid % 2 = 0 then null else {0} end",
)


def answers(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, list[str]]:
    """Return the values of each column of a query, sorted, as texts."""
    result = connection.execute(query)
    names = [column[0] for column in result.description or ()]
    rows = result.fetchall()
    return {name: sorted(_text(row[i]) for row in rows) for i, name in enumerate(names)}


def _text(value: Any) -> str:
    """Return a value as text; a sum of floats in another order may have other last digits."""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("number", mostly_long(numbered(), 6, 13, 15, 22))
def test_other_columns_change_nothing(
    number: int, tpch_tables: EmptyTables, filled: duckdb.DuckDBPyConnection
) -> None:
    """Change the values of each column: a column of the answer changes only if it is made of that."""
    query = tpch.QUERIES[number - 1]
    bound = tpch_tables.bind(query, "tpch", [])
    before = answers(filled, query)
    changed = 0
    for table, columns in tpch.TABLES.items():
        if table not in query:
            continue
        for column in columns:
            for change in CHANGES:
                for name, values in _after(filled, query, table, column, change).items():
                    if values != before[name]:
                        changed += 1
                        made_of = bound.column(name)
                        assert made_of is not None
                        allowed = sources(made_of.flows) | sources(bound.rows)
                        assert column in allowed, (name, column, change)
    assert changed  # the oracle has something to say about each query


def _after(
    connection: duckdb.DuckDBPyConnection, query: str, table: str, column: str, change: str
) -> dict[str, list[str]]:
    """Return the answer to a query where a column has other values."""
    value = change.format(column)
    connection.execute(
        f"create or replace view changed.{table} as"
        f" select * replace (({value})::{tpch.TABLES[table][column]} as {column}) from main.{table}"
    )
    connection.execute("set search_path = 'changed,main'")
    try:
        return answers(connection, query)
    finally:
        connection.execute("set search_path = 'main'")
        connection.execute(f"drop view changed.{table}")
