"""Queries of other dialects: translated so that DuckDB answers the same, or refused with their places."""

import random

import duckdb
import pytest

from assay.engines.sql.dialects import OURS, Refusal, dialects, place_in_source, translate
from tests.engines.sql.test_query_changes import QUERIES, with_changed_tokens

pytest.importorskip("sqlglot")

# What the dialects would answer to a query without tables, by their documentation.
ANSWERS = [
    ("snowflake", "select iff(1 > 2, 'a', 'b'), zeroifnull(null), dateadd(day, 1, date '2024-02-28')::date::text", ("b", 0, "2024-02-29")),
    ("snowflake", "select datediff('month', date '2024-01-31', date '2024-02-01'), split_part('a-b', '-', 2), div0(1, 0)", (1, "b", 0)),
    ("snowflake", "select x from (values (1), (null), (3)) t(x) order by x desc limit 1", (None,)),
    ("snowflake", "select dayofweek(date '2024-01-07'), weekofyear(date '2024-01-07'), date_trunc('week', date '2024-01-07')::date", (0, 1, "2024-01-01")),
    ("postgres", "select -7 / 2, 7 / 2.0, count(*) / 2, 9007199254740993 / 1, extract(dow from date '2024-01-07')", (-3, 3.5, 0, 9007199254740993, 0)),
    ("tsql", "select 7 / 2 + 1 as a, cast(7 as decimal(9, 2)) / 2 as b, (1 + 2) / 2 as c", (4, 3.5, 1)),
    ("mysql", "select 1 / 0, weekofyear(date '2024-01-07')", (None, 1)),
    ("snowflake", "select n from (values (1, 'a'), (2, 'a')) t(n, g) qualify row_number() over (partition by g order by n desc) = 1", (2,)),
    ("bigquery", "select safe_divide(1, 0), date_diff(date '2024-03-01', date '2024-02-01', day), if(true, 'x', 'y')", (None, 29, "x")),
    ("bigquery", "select `x` from (select 3 as `x`) where regexp_contains('abc', r'b.')", (3,)),
    ("postgres", "select 'a' || 'b', 7 / 2, to_char(date '2024-02-03', 'YYYY-MM'), '5'::int + 1", ("ab", 3, "2024-02", 6)),
    ("redshift", "select nvl(null, 2), dateadd(month, 1, date '2024-01-31')::date::varchar, len('abc')", (2, "2024-02-29", 3)),
    ("spark", "select nvl(null, 'x'), to_date(date_add('2024-02-28', 2)), size(array(1, 2))", ("x", "2024-03-01", 2)),
    ("databricks", "select if(1 = 1, 'y', 'n'), 7 / 2, coalesce(null, 4)", ("y", 3.5, 4)),
    ("mysql", "select ifnull(null, 1), date_format(date '2024-02-03', '%Y-%m'), 7 div 2, 7 / 2", (1, "2024-02", 3, 3.5)),
    ("tsql", "select top 1 isnull(null, 2) as a, iif(1 = 2, 'x', 'y') as b, charindex('b', 'abc') as c", (2, "y", 2)),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "query", "answer"), ANSWERS)
def test_duckdb_answers_what_the_dialect_would(dialect: str, query: str, answer: tuple) -> None:
    translation = translate(query, dialect)
    assert translation.refusals == ()
    [row] = duckdb.sql(translation.sql).fetchall()
    assert tuple(str(v) if hasattr(v, "isoformat") else v for v in row) == answer


DIVISION = (
    "postgres drops the remainder when it divides whole numbers, and DuckDB does not; whether these are whole numbers"
    " is not known: cast one of them (to a decimal type, or both to integers)"
)
REFUSED = [
    ("snowflake", "select a\nfrm t x y", [Refusal("syntax error at or near 't'", 2, 5)]),
    ("snowflake", "select a\n  from t\n where", [Refusal("where is not complete", 3, 2)]),
    ("bigquery", "select count(\n) over (partition from t", [Refusal("expecting )", 2, 19)]),
    ("snowflake", "select 'a from t", [Refusal("this cannot be read as snowflake: a quote may not be closed")]),
    ("tsql", "select a from t; select b from t", [Refusal("this is 2 statements; give one query")]),
    ("mysql", "", [Refusal("this is 0 statements; give one query")]),
    ("mysql", "create table x as select 1", [Refusal("this is not a query: give one SELECT")]),
    ("postgres", "delete from t returning a", [Refusal("this is not a query: give one SELECT")]),
    ("mysql", "select find_in_set(a, b),\n  substring_index(a, '-', 1) from t", [
        Refusal("DuckDB has no function find_in_set", 1, 8),
        Refusal("DuckDB has no function substring_index", 2, 3),
    ]),
    ("snowflake", "select a,\n  ratio_to_report(b) over (partition by a)\nfrom t", [Refusal("DuckDB has no function ratio_to_report", 2, 3)]),
    ("snowflake", "select a,\n  approx_top_k(b, 3),\n  my_udf(c) from t", [
        Refusal("APPROX_TOP_K cannot be transpiled to DuckDB due to incompatible return types", 2, 3),
        Refusal("DuckDB has no function my_udf", 3, 3),
    ]),
    ("postgres", "select a,\n  b / c as d from t where x / 2 > 3", [Refusal(DIVISION, 2, 3), Refusal(DIVISION, 2, 27)]),
    ("bigquery", "select\nextract(dayofweek from d) from t", [Refusal("bigquery numbers the days of the week from 1, and DuckDB from 0 (Sunday)", 2, 24)]),
    ("mysql", "select dayofweek(d), week(d) from t", [
        Refusal("mysql numbers the days of the week from 1, and DuckDB from 0 (Sunday)", 1, 8),
        Refusal("mysql numbers weeks in another way than DuckDB, which counts ISO weeks", 1, 22),
    ]),
    ("tsql", "select datepart(weekday, d) as a from t", [Refusal("tsql numbers the days of the week from 1, and DuckDB from 0 (Sunday)", 1, 26)]),
    ("snowflake", "select " + "(" * 3000 + "a" + ")" * 3000, [Refusal("this is nested too deeply")]),
    ("snowflake", "select a from t where b = '" + "x" * 100_000 + "'", [Refusal("it is longer than 100,000 characters")]),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "query", "refusals"), REFUSED)
def test_what_cannot_be_translated_is_refused(
    dialect: str, query: str, refusals: list[Refusal]
) -> None:
    translation = translate(query, dialect)
    assert (translation.sql, list(translation.refusals)) == ("", refusals)


@pytest.mark.parametrize(
    "query",
    [
        "select coalesce(a, b), ifnull(a, b), extract(year from d), grouping(a), cast(a as int) from t group by all",
        "select row_number() over (), lag(a) over (order by b), count(*) filter (a > 1), a[1], [x + 1 for x in l], {'k': a} from t",
        "select sum(a), list(b order by c), arg_max(a, b), a.b, trim(both from a), position('a' in b), a similar to 'b' from t group by all",
        "select unnest(l), current_date, now(), a at time zone 'UTC', nullif(a, b), if(a, b, c), try_cast(a as date) from t, range(3)",
    ],
)
def test_what_duckdb_has_is_no_unknown_function(query: str) -> None:
    from assay.engines.sql.dialects import _unknown_functions

    assert _unknown_functions(query) == []
    assert _unknown_functions(
        query.replace("from t", ", no_such(a), nor_such() over () from t")
    ) == ["no_such", "nor_such"]


@pytest.mark.parametrize(
    "dialect",
    ["snowflake", "bigquery", "postgres", "spark", "mysql", "tsql", "oracle", "clickhouse"],
)
def test_any_text_is_translated_or_refused(dialect: str) -> None:
    rng = random.Random(7)
    translated = refused = 0
    for query in QUERIES * 2:
        for text in (query, with_changed_tokens(rng, query)):
            translation = translate(text, dialect)
            assert bool(translation.sql) != bool(translation.refusals)
            translated += bool(translation.sql)
            refused += bool(translation.refusals)
            lines = text.split("\n")
            for refusal in translation.refusals:
                assert refusal.line <= len(lines) and refusal.what.isprintable()
                assert not refusal.line or refusal.column <= len(lines[refusal.line - 1]) + 1
    assert translated > 20 and refused > 5


def test_dialects_are_those_of_the_library() -> None:
    known = dialects("this test")
    assert {
        OURS,
        "snowflake",
        "bigquery",
        "postgres",
        "spark",
        "redshift",
        "mysql",
        "tsql",
        "databricks",
    } <= set(known)
    assert "" not in known


def test_places_are_found_in_what_was_translated() -> None:
    text = "select iff(a > 1, b, a) as c,\n  -- é\n  bb\nfrom t"
    sql = translate(text, "snowflake").sql
    for word in ("bb", "t", "c"):
        offset = sql.encode().rindex(word.encode())
        at = place_in_source(text, "snowflake", sql, offset)
        assert text.encode()[at:].startswith(word.encode())
    assert place_in_source(text, "snowflake", sql, sql.index("CASE")) == -1, "it is not in the text"
    assert place_in_source(text, "snowflake", f"{sql} ", 3) == -1, "it is another query"
