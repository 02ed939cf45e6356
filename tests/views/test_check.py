"""`products check`: what does not fit, without any data: each kind of mistake once, with its place."""

import pytest

from tests.conftest import Place

TOTAL = 'sql_product("total", "select sum({})::bigint as total from numbers", owner="o")\n'

SOURCES = """
import polars as pl
import pandera.polars as pa
from assay import product, rule, source, sql_product

raw = source.files(
    "data/*.csv",
    columns={"id": pl.Int64, "amount": pl.Float64, "country": pl.String, "day": pl.Date},
)
lines = sql_product("lines", "select id, amount, country, day from raw", owner="o")
"""
MISTAKES = """
import datetime
import pandera.polars as pa
import polars as pl
from assay import rule, sql_product

def sql(name, text, **about):
    return sql_product(name, text, owner="o", **about)

sql_product("net", "net.sql", owner="o")
sql_product("missing", '''
    select day,
           sum(net_amount) as net
    from sales.lines
    group by day
''', owner="o")
sql_product("ambiguous", "select id from sales.lines a join sales.lines b on a.id = b.id", owner="o")
sql_product("unlike", "select a.id from sales.lines a join sales.lines b on a.id = b.country", owner="o")
sql_product("within", "with l as (select id, day from sales.lines) select amount, idd from l", owner="o")
sql_product("later", "select id, sum(quantity) as quantity from sales.lines group by id", owner="o")
sql_product("text", "select id from sales.lines where id > 0 and day > 'soon'", owner="o")
sql_product("function", "select nosuch(id) as x from sales.lines", owner="o")
sql("computed", f"select id{''},\\n idd from sales.lines")

class Lossy(pa.DataFrameModel):
    id: int
    amount: int
    gone: str
    class Config:
        strict = True
        ordered = True

sql_product("lossy", "select day, amount, id from sales.lines", contract=Lossy, owner="o")

class Wide(pa.DataFrameModel):
    id: int = pa.Field(str_startswith="a")
    day: datetime.date

sql_product("wide", "select id, day from sales.lines", contract=Wide, owner="o")
sql_product("interval", "select interval 1 day as i, id from sales.lines", owner="o")
sql_product("timed", "select id from sales.lines", event_time="day", owner="o")
sql_product("parts", "select id from sales.lines", partition_by="day(day)", owner="o")
sql_product("promised", "select nosuch as id, nosuch as amount, '' as gone from sales.lines", contract=Lossy, owner="o")
sql_product("reader", "select idd from promised", owner="o")
sql_product("below", "select id, total from missing", owner="o")

sql_product(
    "ruled",
    "select id, amount, country, day from sales.lines",
    owner="o",
    event_time="country",
    rules=[
        rule.sql("named", "select id from this where amont > 1"),
        rule.check("positive", "amount >= 0 and idd > 0"),
        rule.references("id", "sales.lines.nosuch"),
        rule.reconciles("amount", "sales.lines", "nett"),
        rule.changes("amount", within="10 %", by=["countri"]),
        rule.closed("dai", before="start of month"),
        rule.fresh_event_time(within="2 days"),
        rule.check("known", pa.Check.isin(["a"]), column="nosuch"),
        rule.sql("other", "select l.id from this t join sales.lines l on t.id = l.id where l.x = 1"),
        rule.check("text", "day < 'later' or country = '1'"),
        rule.references("id", "sales.lines.country"),
        rule.sql("fits", "select id from this join previous using (id)"),
    ],
)
"""
NET_SQL = "-- the net\n\n  select id,\n    nett\n  from sales.lines\n"


def test_what_fits_is_said_in_one_line(place: Place) -> None:
    place.write("products/sales.py", TOTAL.format("x"), header=True)
    checked = place.run("check")
    assert (checked.code, checked.out) == (
        0,
        "1 product checked: 0 errors, 0 warnings, 0 notes\n",
    )


def test_a_column_that_is_not_there_is_an_error(place: Place) -> None:
    place.write("products/sales.py", TOTAL.format("y"), header=True)
    checked = place.run("check")
    assert checked.code == 4
    assert checked.out.splitlines()[0] == (
        "products/sales.py:8:34: sales.total: no column y in sales.numbers; it has x"
    )
    assert not (place.root / ".products/store").exists(), "nothing is built"


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    """Return the findings of a project that has one of each mistake, by product."""
    place = Place(tmp_path_factory.mktemp("shop"))
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", SOURCES)
    place.write("products/finance.py", MISTAKES)
    place.write("products/net.sql", NET_SQL)
    checked = place.run("check", "--json")
    assert checked.code == 4, checked.err
    by_name: dict[str, list[dict]] = {}
    for finding in checked.json["findings"]:  # type: ignore[index, call-overload]
        by_name.setdefault(finding["name"].removeprefix("finance."), []).append(finding)
    return by_name


def line_of(part: str) -> int:
    return MISTAKES[: MISTAKES.index(part)].count("\n") + 1


def said(finding: dict) -> str:
    place = ":".join(str(finding[part]) for part in ("file", "line", "column") if finding.get(part))
    of = f" {finding['of']}" if finding.get("of") else ""
    return f"{place} {finding['level']}{of}: {finding['what']}"


@pytest.mark.parametrize(
    ("name", "wanted"),
    {
        "net": [
            "net.sql:4:5 error: no column nett in sales.lines; it has id, amount, country, day"
        ],
        "missing": [
            f"finance.py:{line_of('sum(net_amount)')}:16 error:"
            " no column net_amount in sales.lines; it has amount"
        ],
        "ambiguous": [
            f"finance.py:{line_of('ambiguous')}:34 error: column id is ambiguous: write a.id or b.id"
        ],
        "unlike": [
            f"finance.py:{line_of('unlike')}:84 warning: b.country (VARCHAR) is compared with id"
            " (BIGINT): each value of b.country is converted to BIGINT"
        ],
        "within": [
            f"finance.py:{line_of('within')}:75 error: no column amount there;"
            " among others, there is day"
        ],
        "later": [
            f"finance.py:{line_of('later')}:38 error: no column quantity in sales.lines;"
            " it has id, amount, country, day"
        ],
        "text": [
            f"finance.py:{line_of('soon')}:72 error: day is DATE, and cannot be compared with 'soon'"
        ],
        "function": [
            f"finance.py:{line_of('nosuch(id)')}:33 error: no function nosuch; did you mean cosh?"
        ],
        "computed": [
            f"finance.py:{line_of('return sql_product')} error:"
            " no column idd in sales.lines; it has id (line 2 of its query)"
        ],
        "reader": [
            f"finance.py:{line_of('reader')}:31 error: no column idd in finance.promised; it has id"
        ],
        "below": [
            f"finance.py:{line_of('below')} note: the columns of finance.missing are not known"
        ],
        "timed": [
            f"finance.py:{line_of('timed')} error:"
            " event_time: no column day in what its code gives; it has id"
        ],
        "parts": [
            f"finance.py:{line_of('parts')} error:"
            " partition_by: no column day in what its code gives; it has id"
        ],
        "interval": [
            f"finance.py:{line_of('interval')} error: it would not be stored as it was computed:"
            " column i is INTERVAL: store a number of seconds or days instead"
        ],
        "wide": [
            f"finance.py:{line_of('wide')} error id:"
            " str_startswith is a check of texts, and column id is BIGINT"
        ],
    }.items(),
)
def test_a_mistake_is_said_where_it_is(
    name: str, wanted: list[str], mistakes: dict[str, list[dict]]
) -> None:
    assert [said(finding) for finding in mistakes[name]] == [f"products/{each}" for each in wanted]


def test_a_contract_that_its_code_cannot_meet(mistakes: dict[str, list[dict]]) -> None:
    at = f"products/finance.py:{line_of('lossy')} error"
    assert sorted(map(said, mistakes["lossy"])) == [
        f"{at} amount: column amount is DOUBLE; its contract says BIGINT",
        f"{at} columns are in the order of the contract: its columns are in the order"
        " amount, id; its contract says id, amount",
        f"{at} gone: no column gone in what its code gives; it has day, amount, id",
        f"{at} there are no other columns: day is not in its contract, which is strict",
    ]


def test_rules_that_do_not_fit(mistakes: dict[str, list[dict]]) -> None:
    told = {finding.get("of", ""): finding for finding in mistakes["ruled"]}
    assert {of: finding["what"] for of, finding in told.items()} == {
        "named": "no column amont in finance.ruled; it has amount",
        "positive": "no column idd in finance.ruled; it has id",
        "every id is in sales.lines.nosuch": (
            "no column nosuch in sales.lines; it has id, amount, country, day"
        ),
        "amount is nett of sales.lines": (
            "no column nett in sales.lines; it has id, amount, country, day"
        ),
        "amount by countri stays within 10 % of what is published": (
            "no column countri in finance.ruled; it has country"
        ),
        "settled rows do not change (before start of month)": (
            "no column dai in finance.ruled; it has day"
        ),
        "nosuch": "no column nosuch in what its code gives; it has id, amount, country, day",
        "text": "day is DATE, and cannot be compared with 'later'",
        "every id is in sales.lines.country": (
            "Cannot compare values of type BIGINT and VARCHAR in IN/ANY/ALL clause"
            " - an explicit cast is required"
        ),
        "other": "no column x in sales.lines; it has id, amount, country, day",
    }
    assert all(finding["level"] == "error" for finding in told.values())
    named, positive = told["named"], told["positive"]
    assert (named["line"], named["column"]) == (line_of("amont > 1"), 54)
    assert (positive["line"], positive["column"]) == (line_of("idd > 0"), 49)
    assert told["other"]["line"] == line_of("l.x = 1")


def test_a_catalog_that_cannot_be_read_is_a_note_where_it_matters(place: Place) -> None:
    place.write(
        "pyproject.toml", '[tool.products]\ncatalog = "postgresql://nobody@127.0.0.1:1/x"\n'
    )
    place.write("products/sales.py", TOTAL.format("x"), header=True)
    checked = place.run("check")
    assert (checked.code, checked.out.count("\n")) == (0, 1)
    rules = """rules=[rule.changes("total", within="10 %"), rule.changes("totl", within="1 %")]"""
    place.edit("products/sales.py", 'owner="o"', f'owner="o", {rules}')
    checked = place.run("check")
    assert checked.code == 4
    error, note, _ = checked.out.splitlines()
    assert "no column totl in sales.total; it has total" in error
    assert "unchecked: prod: the columns of published versions are not known: cannot use" in note
    assert place.run("lineage", "total.total").code == 1, "the control: other verbs need it"


def test_previous_is_what_is_published(place: Place) -> None:
    rule = """, rules=[rule.sql("is kept", "select {} from previous where total is null")]"""
    text = TOTAL.replace(', owner="o"', ', owner="o"' + rule)
    place.numbers("a", 1)
    place.write("products/sales.py", text.format("x", "total"), header=True)
    assert place.materialize()[""]["exit_code"] == 0
    place.edit("products/sales.py", "as total", "as total, 1 as added")
    place.edit("products/sales.py", "select total from", "select added from")
    checked = place.run("check")
    assert "no column added in sales.total as published; it has total" in checked.out
