"""Budgets that are spent: people are told once, and what is waived or restated then needs approval."""

import sqlite3
from contextlib import closing

import pytest

from assay.users import user
from tests.conftest import Place

PRODUCTS = """
sql_product("days", "select x // 100 as day, x % 100 as net from numbers", owner="o", budget="1 held back a month",
    rules=[rule.sql("no large line", "select day, net from this where net > 50")])
"""
DAILY = """
raw = source.files("in/{day:date}.csv", columns={"x": "bigint"})
sql_product("daily", "select day, sum(x)::bigint as x from raw group by 1", owner="o", partition_by="day",
    budget="1 held back a month", rules=[rule.closed("day", before="start of month")])
"""
WAIVE = ["waive", "days", "--rule", "large", "--because", "known", "--until", "2024-01-31"]
AT = ["--now", "2024-01-05T08:00"]


def settings(place: Place, policy: str = "", more: str = "") -> None:
    lines = f'[tool.products.policy]\nbudget = "{policy}"\n' if policy else ""
    place.write("pyproject.toml", f"[tool.products]\n{more}\n{lines}")


@pytest.fixture
def spent(place: Place) -> Place:
    place.write("products/sales.py", PRODUCTS, header=True)
    place.numbers("a", 101, 202)
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 0
    place.numbers("a", 101, 202, 399)
    assert place.run("materialize", "--now", "2024-01-05T06:00").code == 3
    return place


def test_it_is_shown_everywhere(spent: Place) -> None:
    shown = "budget spent: 1 of 1 held back this month"
    [status, *_] = spent.run("status", "--json", *AT).json
    assert shown in status["because"]
    assert shown in spent.run("record", "days", *AT).out
    assert shown in spent.run("plan", *AT).err
    [incident] = [
        i for i in spent.run("incidents", "--json", *AT).json if i["kind"] == "budget spent"
    ]
    assert (incident["about"], incident["reason"]) == (
        "sales.days",
        "1 of 1 held back this month",
    )
    assert "`products record sales.days`" in incident["to_do"]
    [status, *_] = spent.run("status", "--json", "--now", "2024-02-01T00:00").json
    assert "budget" not in status["because"], "another month has begun"


def test_people_are_told_once_and_when_it_is_counted_anew(spent: Place) -> None:
    for day in ("05T07:00", "06T07:00"):
        spent.run("materialize", "--now", f"2024-01-{day}")

    def budgets() -> list[tuple]:
        with closing(sqlite3.connect(spent.root / ".products/catalog.db")) as connection:
            query = "select opened, closed, ending from incidents where about = 'sales.days: budget spent'"
            return connection.execute(query).fetchall()

    [(opened, closed, _)] = budgets()
    assert (opened[:16], closed) == ("2024-01-05T06:00", None)
    spent.run("materialize", "--now", "2024-02-01T07:00")
    [(_, closed, ending)] = budgets()
    assert (closed[:16], ending) == ("2024-02-01T07:00", "restored")


def test_without_a_policy_nothing_is_refused(spent: Place) -> None:
    ran = spent.run(*WAIVE, *AT)
    assert (ran.code, "budget" in ran.out) == (0, False)


def test_a_warning_is_shown_with_what_is_waived(spent: Place) -> None:
    settings(spent, "warning")
    ran = spent.run(*WAIVE, *AT)
    assert ran.code == 0, ran.err
    assert "the budget of sales.days is spent: 1 of 1 held back this month" in ran.out


def test_nothing_is_waived_without_approval(spent: Place) -> None:
    settings(spent, "error")
    refused = spent.run(*WAIVE, *AT)
    assert refused.code == 2
    assert (
        "sales.days is not waived: the budget of sales.days is spent: 1 of 1 held back this month,"
        " and --approved-by is needed: who else agrees to it"
    ) in refused.err
    myself = spent.run(*WAIVE, *AT, "--approved-by", user())
    assert (myself.code, "cannot approve what they ask for" in myself.err) == (2, True)
    assert spent.run("waivers", "--json").json == []
    settings(spent, "error", 'waiver_approvers = ["cfo@shop"]')
    other = spent.run(*WAIVE, *AT, "--approved-by", "ann@shop")
    assert (other.code, "ann@shop may not approve: one of cfo@shop" in other.err) == (2, True)
    assert spent.run(*WAIVE, *AT, "--approved-by", "cfo@shop").code == 0


def test_nothing_is_restated_without_approval(place: Place) -> None:
    settings(place, "error")
    place.write("products/sales.py", DAILY, header=True)
    place.write("in/2024-06-29.csv", "x\n1\n")
    place.write("in/2024-06-30.csv", "x\n1\n")
    assert place.run("materialize", "--now", "2024-07-01T07:00").code == 0
    place.write("in/2024-06-29.csv", "x\n7\n")
    assert place.run("materialize", "--now", "2024-07-02T07:00").code == 3
    restate = [
        "materialize",
        "--restate",
        "daily",
        "--because",
        "late",
        "--now",
        "2024-07-03T07:00",
    ]
    refused = place.run(*restate)
    assert refused.code == 2
    assert "sales.daily is not restated: the budget of sales.daily is spent" in refused.err
    assert place.query("select x from daily where day = '2024-06-29'") == [{"x": 1}]
    done = place.run(*restate, "--approved-by", "cfo@shop")
    assert done.code == 0, done.err
    assert place.query("select x from daily where day = '2024-06-29'") == [{"x": 7}]
    [view] = place.run("record", "daily", "--json", "--now", "2024-07-04T07:00").json
    assert (view["restated"], view["restated_by"]) == (1, {"cfo@shop": 1})
    assert (
        "1 time, by cfo@shop (1)" in place.run("record", "daily", "--now", "2024-07-04T07:00").out
    )
    alone = place.run("materialize", "--approved-by", "cfo@shop")
    assert (alone.code, "--restate NAME" in alone.err) == (2, True)


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ('budget="often"', "budget 'often' is no budget"),
        ('budget="0 held back a week"', "allows none, so it would always be spent"),
        ('budget="1 miss a month"', "budget '1 miss a month' counts promises, and it has none"),
        ("budget=3", "budget"),
    ],
)
def test_budgets_that_have_no_meaning(place: Place, keywords: str, told: str) -> None:
    place.write(
        "products/sales.py",
        f'sql_product("p", "select 1 as x", owner="o", {keywords})',
        header=True,
    )
    ran = place.run("ls")
    assert ran.code == 2
    assert told in ran.err
    assert "products/sales.py:" in ran.err


def test_the_settings_have_a_budget_for_all(place: Place) -> None:
    settings(place, more='budget = "2 misses a month"')
    place.write(
        "products/sales.py",
        'sql_product("a", "select 1 as x", owner="o")\n'
        'sql_product("b", "select 1 as x", owner="o", budget="")\n'
        'sql_product("c", "select 1 as x", owner="o", budget="3  Held back per quarter")',
        header=True,
    )
    views = place.run("record", "--json").json if place.run("materialize").code == 0 else []
    budgets = {view["product"]: view["budget"] and view["budget"]["budget"] for view in views}
    assert budgets == {
        "sales.a": "2 misses a month",
        "sales.b": None,
        "sales.c": "3 held back a quarter",
    }
    settings(place, more='budget = "sometimes"')
    ran = place.run("ls")
    assert (ran.code, "budget 'sometimes' is no budget" in ran.err) == (2, True), ran.err
    assert 'Write "1 miss a month"' in ran.err
