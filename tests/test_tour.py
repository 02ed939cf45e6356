"""The story of README, through the real command: what builds is a process of its own; every figure against plain SQL."""

import json
import shutil
from decimal import Decimal

import duckdb
import pytest

from tests.conftest import ROOT, Place

COLUMNS = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
]


def truth(place: Place) -> duckdb.DuckDBPyConnection:
    """The drops as they lie there, as plain SQL sees them: `raw` as text, `lines` distinct and typed."""
    connection = duckdb.connect()
    spec = ", ".join(f"'{name}': 'VARCHAR'" for name in COLUMNS)
    connection.execute(
        f"create table raw as from read_csv('{place.root}/fixtures/retail/*.csv.gz', auto_detect=false, header=true,"
        f" delim=',', quote='\"', escape='\"', columns={{{spec}}})"
    )
    connection.execute(
        "create table lines as select *, Quantity::bigint * UnitPrice::decimal(18,2) as amount,"
        " InvoiceDate::timestamp::date as day from (select distinct * from raw)"
    )
    return connection


def ask(place: Place, sql: str) -> list[dict]:
    ran = place.run("query", "--format", "json", sql)
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


def land(place: Place, night: str) -> None:
    shutil.copyfile(
        ROOT / "fixtures/nights" / night, place.root / "fixtures/retail/2011-12-09.csv.gz"
    )


def events(place: Place) -> tuple[int, dict[str, dict]]:
    ran = place.spawn("materialize", "--json")
    assert ran.err == ""
    *told, last = [json.loads(line) for line in ran.out.splitlines()]
    assert last["exit_code"] == ran.code
    return ran.code, {t["product"]: t for t in told}


def agrees(place: Place) -> None:
    """Hold what readers see of lines, days and months against plain SQL over the drops."""
    plain = truth(place)
    [lines] = ask(place, "select count(*) as n, sum(amount) as net from sales.sales_lines")
    assert (lines["n"], lines["net"]) == plain.execute(
        "select count(*), sum(amount)::varchar from lines"
    ).fetchone()
    days = plain.execute(
        "select day::varchar, count(*), count(distinct InvoiceNo), sum(amount)::varchar from lines group by 1 order by 1"
    ).fetchall()
    seen = ask(place, "select day, lines, invoices, net from finance.daily_revenue order by day")
    assert [tuple(row.values()) for row in seen] == days
    months = plain.execute(
        """
        select date_trunc('month', day)::date::varchar, count(*), sum(amount)::varchar,
          sum(amount) filter (regexp_matches(StockCode, '^[0-9]{5}') or StockCode like 'DCGS%')::varchar
        from lines group by 1 order by 1
        """
    ).fetchall()
    seen = ask(
        place, "select month, lines, net, merchandise_net from finance.month_close order by month"
    )
    assert [tuple(row.values()) for row in seen] == months


def euros(place: Place) -> float:
    """Net revenue at the last known rate, from the wide file, by plain SQL."""
    plain = truth(place)
    plain.execute(
        f"create table rates as select Date::date as day, GBP::double as rate"
        f" from read_csv('{place.root}/fixtures/fx/eurofxref-2011q4.csv', all_varchar=true)"
    )
    (total,) = plain.execute(
        """
        select sum(net / (select rate from rates where rates.day <= d.day order by rates.day desc limit 1))
        from (select day, sum(amount)::double as net from lines group by 1) d
        """
    ).fetchone()
    return total


@pytest.mark.long
def test_the_night_when_every_task_was_green(example: Place) -> None:
    # 1: drops up to 12-08
    code, told = events(example)
    assert code == 0
    assert {t["result"] for t in told.values()} == {"published"}
    assert len(told) == 10
    assert len({t["release"] for t in told.values()}) == 1, "one connected set, one release"
    [lines] = ask(example, "select count(*) as n, sum(amount) as net from sales_lines")
    assert lines == {"n": 106_964, "net": "1856734.95"}
    months = ask(example, "select month, net from month_close order by month")
    assert [m["net"] for m in months] == ["1456145.80", "400589.15"]
    agrees(example)

    # 2: nothing
    code, told = events(example)
    assert code == 0
    assert not any(t["built"] or t["judged"] for t in told.values())
    assert {t["result"] for t in told.values()} == {"unchanged"}

    checked = example.spawn("verify")
    assert (checked.code, "every byte is as it was written" in checked.out) == (0, True), (
        checked.out
    )

    # 3: an early drop with one mistyped line
    land(example, "2011-12-09.at-0920.csv.gz")
    before = ask(example, "from finance.daily_revenue order by day")
    code, held = events(example)
    assert code == 3
    assert {n: t["result"] for n, t in held.items() if t["result"].startswith("held")} == {
        "finance.daily_revenue": "held back",
        "finance.daily_revenue_eur": "held",
        "finance.month_close": "held",
        "finance.cfo_pack": "held",
    }
    [failed] = held["finance.daily_revenue"]["rules"]
    assert failed["text"] == "no single line is over a quarter of the day's gross"
    assert failed["failing"] == 1
    [sample] = failed["samples"]
    assert (sample["day"], sample["largest_line"], sample["gross"]) == (
        "2011-12-09",
        "168469.60",
        "173117.43",
    )
    assert held["finance.daily_revenue"]["readers"]["data_as_of"].startswith("2011-12-08")
    assert any("discount desk" in who for who in held["finance.daily_revenue"]["affects"])
    [lines] = ask(example, "select count(*) as n, sum(amount) as net from sales_lines")
    assert lines == {"n": 107_109, "net": "2029852.38"}
    assert ask(example, "from finance.daily_revenue order by day") == before
    bad = held["finance.daily_revenue"]["version"]

    # 4: nothing: the same words, nothing computed
    text = example.spawn("materialize")
    again = example.spawn("materialize")
    assert (text.code, again.code, again.out) == (3, 3, text.out)
    assert "no single line is over a quarter of the day's gross: 1 row" in text.out
    assert "readers keep" in text.out
    code, told = events(example)
    assert code == 3
    assert not any(t["built"] or t["judged"] for t in told.values())
    assert told["finance.daily_revenue"]["version"] == bad

    # 5: the full drop replaces the cut one
    land(example, "2011-12-09.csv.gz")
    code, told = events(example)
    assert code == 0
    [lines] = ask(example, "select count(*) as n, sum(amount) as net from sales_lines")
    assert lines == {"n": 108_589, "net": "1888846.86"}
    assert ask(example, "select net from month_close where month = '2011-12-01'") == [
        {"net": "432701.06"}
    ]
    agrees(example)
    history = example.spawn("history", "finance.daily_revenue", "--json").json
    assert next(v for v in history if v["version"] == bad)["released"] == [], (
        "what was held back was never visible"
    )
    [total] = ask(example, "select sum(net_eur) as eur from finance.daily_revenue_eur")
    assert total["eur"] == pytest.approx(euros(example), abs=0.005)
    assert total["eur"] == pytest.approx(2_203_216.32, abs=0.005)

    # 6: the rule's threshold edited
    example.edit("products/finance/revenue.py", "0.25 * gross", "0.30 * gross")
    code, told = events(example)
    assert code == 0
    assert [n for n, t in told.items() if t["judged"]] == ["finance.daily_revenue"]
    assert not any(t["built"] for t in told.values())

    # 7: rates joined plainly
    example.edit("products/finance/fx.py", 'join_asof(pounds, on="day")', 'join(pounds, on="day")')
    code, told = events(example)
    assert code == 3
    [failed] = told["finance.daily_revenue_eur"]["rules"]
    assert failed["failing"] == 5
    assert [s["day"] for s in failed["samples"]] == [
        "2011-11-06",
        "2011-11-13",
        "2011-11-20",
        "2011-11-27",
        "2011-12-04",
    ]
    assert sum(round(float(s["net"]) * 100) for s in failed["samples"]) == 15_483_556
    assert told["finance.month_close"]["result"] == "held"


@pytest.mark.long
def test_countries_are_not_lost(example: Place) -> None:
    events(example)
    assert ask(example, "select alpha2 from countries_mapped where country = 'Namibia'") == [
        {"alpha2": "NA"}
    ]
    [seen] = ask(example, "select sum(lines) as lines from countries_mapped")
    assert seen["lines"] == 106_964

    example.edit(
        "products/sales.py", "pl.concat([known, aliases, unknown])", "pl.concat([known, unknown])"
    )
    code, told = events(example)
    assert code == 3
    [failed] = [
        r
        for r in told["sales.countries_mapped"]["rules"]
        if r["text"] == "no line's country is unknown"
    ]
    assert failed["samples"][0]["country"] == "United Kingdom"
    land(example, "2011-12-09.csv.gz")
    names = "select list(distinct \"CLDR display name\") from read_csv('{0}', all_varchar=true)"
    known = (
        duckdb.connect()
        .execute(names.format(example.root / "fixtures/reference/country-codes.csv"))
        .fetchone()[0]
    )
    lost = (
        truth(example)
        .execute("select count(*) from raw where Country not in (select unnest(?))", [known])
        .fetchone()
    )
    assert lost[0] == 104_179

    example.edit(
        "products/sales.py",
        '"Region Name": (pl.String, "continent"),\n    },\n',
        '"Region Name": (pl.String, "continent"),\n    },\n    null_values=["NA"],\n',
    )
    _, told = events(example)
    assert "alpha2 is never missing" in [r["text"] for r in told["sales.countries_mapped"]["rules"]]


def test_the_cut_night_is_what_the_full_one_held_at_twenty_past_nine(example: Place) -> None:
    land(example, "2011-12-09.csv.gz")
    full = (
        truth(example)
        .execute(
            "select * exclude (amount, day) from lines where InvoiceDate between '2011-12-09' and '2011-12-09 09:20:00' order by all"
        )
        .fetchall()
    )
    land(example, "2011-12-09.at-0920.csv.gz")
    cut = truth(example)
    rows = cut.execute(
        "select * exclude (amount, day) from lines where day = '2011-12-09' order by all"
    ).fetchall()
    assert rows == full
    assert cut.execute(
        "select count(*), sum(amount), max(amount) from lines where day = '2011-12-09'"
    ).fetchone() == (
        145,
        Decimal("173117.43"),
        Decimal("168469.60"),
    )
