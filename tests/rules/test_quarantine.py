"""Rows that break a rule are set aside: the rest is published, nothing is lost, and too much of it blocks."""

import pytest

from tests.conftest import Place

MAKE = {
    "a condition": "rule.check('x is small', 'x < 100', {})",
    "a check of pandera's": "rule.check('x is small', pa.Check.lt(100), column='x', {})",
    "a check of one's own": "rule.check('x is small', pa.Check(lambda d: d.lazyframe.select(pl.col(d.key) < 100)), column='x', {})",
    "what another product says": "rule.references('x', 'known.x', text='x is small', {})",
}
KNOWN = 'sql_product("known", "from range(100) t(x)", owner="o")\n'
FUNCTION = "@product(owner='o', {about} rules=[{rules}])\ndef p(numbers): return numbers.sort('x')"
SQL = "sql_product('p', 'from numbers order by x', owner='o', {about} rules=[{rules}])"


def declare(place: Place, rules: str, *, made_by: str = SQL, about: str = "") -> None:
    place.write("products/sales.py", KNOWN + made_by.format(rules=rules, about=about), header=True)


def quarantined(limit: str = "fail_above='50 %'") -> str:
    return f"{limit}, on_failure='quarantine'"


@pytest.mark.parametrize("made_by", [SQL, FUNCTION], ids=["SQL", "a function"])
@pytest.mark.parametrize("kind", MAKE)
def test_the_rest_is_published(place: Place, kind: str, made_by: str) -> None:
    place.numbers("b", 500, 4, 600, 5)
    declare(place, MAKE[kind].format(quarantined()), made_by=made_by)
    told = place.materialize()
    assert told[""]["exit_code"] == 0
    [rule] = told["sales.p"]["rules"]
    assert (rule["status"], rule["failing"], rule["rows"]) == ("warning", 2, 7)
    assert rule["message"] == "set aside in sales.p__quarantine"
    assert [row["x"] for row in place.query("from p")] == [1, 2, 3, 4, 5], (
        "in the order in which they were"
    )
    assert place.query("from p__quarantine") == [
        {"x": 500, "broke": ["x is small"]},
        {"x": 600, "broke": ["x is small"]},
    ]


def test_each_row_says_all_that_it_broke(place: Place) -> None:
    place.numbers("b", 500, -7)
    rules = f"rule.check('small', 'x < 100', {quarantined()}), rule.check('odd', 'x % 2 <> 0', {quarantined()})"
    declare(place, rules)
    place.materialize()
    assert place.query("from p__quarantine order by x") == [
        {"x": 2, "broke": ["odd"]},
        {"x": 500, "broke": ["odd", "small"]},
    ]
    assert place.query("select count(*) as n from p") == [{"n": 3}]


def test_when_nothing_breaks_a_rule_the_quarantine_is_empty(place: Place) -> None:
    declare(place, MAKE["a condition"].format(quarantined()))
    assert place.materialize()[""]["exit_code"] == 0
    assert place.query("from p__quarantine") == []
    assert (
        place.run("ls", "--json")
        .json[-2]["purpose"]
        .startswith("The rows of sales.p that broke a rule")
    )


def test_too_much_of_it_blocks(place: Place) -> None:
    place.numbers("b", 500, 4, 600, 5)
    declare(place, MAKE["a condition"].format(quarantined("fail_above='10 %'")))
    told = place.materialize()
    assert told["sales.p"]["result"] == "held back"
    assert told["sales.p__quarantine"]["result"] == "held"
    ran = place.run("materialize")
    assert (
        "x is small: 2 rows, 28.57% (warns above 0 rows, fails above 10 %)" in ran.out
        or "2 rows, 28.57%" in ran.out
    )
    shown = place.run("show", "p", "--held", "--failures", "x is small", "--json").json
    assert shown == [{"x": 500, "broke": ["x is small"]}, {"x": 600, "broke": ["x is small"]}]


def test_it_goes_with_its_product(place: Place) -> None:
    """A row that only the quarantine has is a change too; both are of one release, also when one is asked for."""
    declare(place, MAKE["a condition"].format(quarantined()))
    place.materialize()
    place.numbers("b", 500)
    told = place.materialize("-s", "p")
    assert told["sales.p"]["release"] == told["sales.p__quarantine"]["release"]
    assert place.query("select x from p__quarantine") == [{"x": 500}]
    assert place.materialize()["sales.p"]["result"] == "unchanged"


def test_the_contract_is_for_what_is_kept(place: Place) -> None:
    about = "contract=pa.DataFrameSchema({'x': pa.Column(int, pa.Check.lt(3), nullable=False)}), "
    rules = f"rule.check('x is known', 'x is not null', {quarantined()}), rule.check('small', 'x < 3', {quarantined()})"
    some_null = SQL.replace("from numbers", "select case when x <> 2 then x end as x from numbers")
    declare(place, rules, about=about, made_by=some_null)
    told = place.materialize()
    assert told[""]["exit_code"] == 0, told
    results = place.run(
        "history", "p", "--rule", "every row is published or set aside", "--json"
    ).json
    assert [(r["status"], r["value"]) for r in results] == [("passed", 0)]
    assert place.query("select x from p") == [{"x": 1}]


def test_another_rule_sets_other_rows_aside(place: Place) -> None:
    place.numbers("b", 500)
    declare(place, MAKE["a condition"].format(quarantined()))
    place.materialize()
    place.edit("products/sales.py", "x < 100", "x < 3")
    told = place.materialize()
    assert told["sales.p"]["reasons"] == ["code changed (quarantine)"]
    assert place.query("select x from p__quarantine order by x") == [{"x": 3}, {"x": 500}]
    place.edit("products/sales.py", "rules=[", "rules=[rule.rows(at_least=1), ")
    assert not place.materialize()["sales.p"]["built"], "any other rule only judges again"


def test_what_cannot_be_told_apart_by_rows_fails_the_build(place: Place) -> None:
    declare(place, f"rule.check('r', pa.Check(lambda d: False), column='x', {quarantined()})")
    ran = place.run("materialize")
    assert ran.code == 1
    assert "'r' is not about single rows, so it sets none aside" in ran.out


def test_a_column_called_broke_is_refused(place: Place) -> None:
    declare(
        place,
        f"rule.check('r', 'x < 3', {quarantined()})",
        made_by=SQL.replace("from numbers", "select x, 1 as broke from numbers"),
    )
    assert "has a column 'broke'" in place.run("materialize").out


def test_its_name_is_taken(place: Place) -> None:
    declare(
        place,
        f"rule.check('r', 'x < 3', {quarantined()})",
        made_by=SQL + "\nsql_product('p__quarantine', 'select 1 as x', owner='o')",
    )
    ran = place.run("ls")
    assert ran.code == 2
    assert "sales.p__quarantine is where the rows go that sales.p sets aside" in ran.err
