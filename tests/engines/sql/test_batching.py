"""Queries that compute many parts at once, and those that have to be computed part by part."""

import json

import duckdb
import pytest

from assay.engines.sql.batching import batched, order_counts

TABLES = frozenset({"raw", "sales.lines"})
# Rows of two parts, one of them without rows, and a table that is read whole.
RAW = {0: [(1, "a", 2), (2, "b", 3), (2, "b", 3)], 1: [(1, "a", 5), (3, None, 7)], 2: []}
FITS = [
    "select id, code from raw where n > 2",
    "from raw",
    "select * exclude (id) from raw",
    "select r.*, c.name from raw r left join codes c using (code)",
    "select distinct code from raw",
    "select code, sum(n), count(*) from raw group by all",
    "select code, sum(n) as n from raw group by 1 having sum(n) > 3 order by all",
    "select count(*) as n, max(n) from raw",
    "select max(n) as n from raw group by all",
    "with r as (select id, n from raw), s as (select id, sum(n) as n from r group by id) select * from s where n > 2",
    "select a.id, b.n from raw a join raw b on a.id = b.id and a.n <> b.n",
    "select a.id, b.id as other from raw a left join raw b using (n)",
    "select id from raw a semi join raw b on a.id = b.n",
    "select id from raw a anti join raw b on a.id = b.n",
    "select id from raw union all select n from raw",
    "select id from raw except select n from raw",
    "select s.id from (select id from raw where n > 2) s",
    "select id, (select min(name) from codes where codes.code = raw.code) as name from raw where true group by all",
    "select id from raw where code in (select code from codes)",
    "select id, x from raw, unnest([n, n + 1]) as t(x)",
]
UNFIT = [
    "select * from raw limit 1",
    "select * from (select * from raw limit 1) s",
    "select random() as x from raw",
    "select now() as x from raw",
    "select id, row_number() over (order by n) as r from raw",
    "select raw from raw",
    "select id from raw where id in (select n from raw)",
    "select id from raw union all select 1",
    "select count(*) as n from raw union all select n from raw",
    "with t as (select count(*) as n from raw) select n from t",
    "select id, (select max(name) from codes) as name from raw",
    "select * from codes left join raw using (code)",
    "select * from raw a full join raw b using (id)",
    "select * from raw a, raw b",
    "select distinct on (code) * from raw",
    "select columns(*) from raw",
    "with recursive t as (select id from raw union all select id + 1 from t where id < 3) select * from t",
    "select * from raw using sample 1 rows",
    "select __part from raw",
    "select code from codes",
    "no query",
]


def ask(rows: list[tuple], query: str, columns: str) -> list[tuple]:
    connection = duckdb.connect()
    connection.execute(f"create table raw (id bigint, code varchar, n bigint{columns})")
    connection.execute(
        "create table codes as select 'a' as code, 'A' as name union all select 'b', 'B'"
    )
    if rows:
        connection.executemany(f"insert into raw values ({', '.join('?' * len(rows[0]))})", rows)
    return sorted(connection.execute(query).fetchall(), key=repr)


@pytest.mark.parametrize("sql", FITS)
def test_each_part_gets_the_rows_that_it_gets_alone(sql: str) -> None:
    query = batched(sql, TABLES)
    assert query is not None
    tagged = [(*row, part) for part, rows in RAW.items() for row in rows]
    together = ask(tagged, query.sql, ", __part bigint")
    for part, rows in RAW.items():
        mine = [row[:-1] for row in together if row[-1] == part]
        if mine or not query.has_totals:
            assert mine == ask(rows, sql, ""), part


@pytest.mark.parametrize("sql", UNFIT)
def test_others_are_left(sql: str) -> None:
    assert batched(sql, TABLES) is None


@pytest.mark.parametrize(
    ("aggregates", "counts"),
    [
        ("count(*), min(x), max(x), bool_and(x > 1), sum(n), avg(n), count(distinct x)", False),
        ("sum(x::decimal(9, 2))", False),
        ("sum(x)", True),
        ("avg(n / 2)", True),
        ("first(n)", True),
        ("list(n order by n)", True),
        ("arg_max(n, x)", True),
        ("string_agg(n::varchar, ',')", True),
    ],
)
def test_aggregates_that_depend_on_the_order_of_rows(aggregates: str, counts: bool) -> None:
    query = f"select {aggregates} from (select null::double as x, null::bigint as n)"
    with duckdb.connect() as own:
        [plan] = own.execute("select json_serialize_plan(?)", [query]).fetchone()
    assert order_counts(plan) is counts
    assert order_counts(json.dumps({"error": True}))
