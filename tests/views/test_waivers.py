"""`products waive` and `waivers`, through the command: what is held back goes out, and comes back when it ends."""

import pytest

import assay
from tests.conftest import Place

DECLARED = """
sql_product("days", "select x // 100 as day, x % 100 as net from numbers", owner="o", rules=[
    rule.sql("no large line", "select day, net from this where net > 50", because="One was mistyped."),
    rule.sql("never negative", "select day, net from this where net < 0"),
    rule.check("day is there", "day is not null")])
sql_product("total", "select sum(net)::bigint as net from days", owner="o")
"""
WAIVE = [
    "waive",
    "days",
    "--rule",
    "large",
    "--because",
    "it is known",
    "--now",
    "2024-01-05T07:00",
]
AT = ["--now", "2024-01-05T08:00"]


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", DECLARED, header=True)
    place.numbers("a", 101, 202)
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 0
    place.numbers("a", 101, 202, 399)
    assert place.run("materialize", "--now", "2024-01-05T06:00").code == 3
    return place


def test_what_is_waived_is_published_with_a_warning(shop: Place) -> None:
    waived = shop.run(*WAIVE, "--until", "2024-01-31", "--approved-by", "cfo")
    assert waived.code == 0, waived.err
    assert "waives 1 row as it was: other rows, or more, are held back" in waived.out
    assert "`products materialize` publishes what is held back" in waived.out
    assert shop.query("select net from total") == [{"net": 3}], "nothing is published by waiving"
    planned = shop.run("plan", *AT)
    assert "no large line: waived until 2024-01-31 by cfo" in planned.out
    done = shop.run("materialize", *AT)
    assert done.code == 0, done.out
    assert "waived until 2024-01-31 by cfo" in done.out
    assert shop.query("select net from total") == [{"net": 102}]
    [newest, *_] = shop.run("history", "days", "--json").json
    assert newest["verdict"] == "warning"
    assert newest["waived"][0].startswith("no large line: waived until 2024-01-31 by cfo")
    for verb in ("materialize", "status"):
        assert "waived until 2024-01-31" in shop.run(verb, "--now", "2024-01-06T07:00").out, verb
    [note] = assay.notes("days", project=shop.root)
    assert note.startswith("no large line: waived until 2024-01-31 by cfo")
    assert assay.notes("total", project=shop.root) == ()
    [listed] = shop.run("waivers", "--json", "--now", "2024-01-06T07:00").json
    assert (listed["state"], listed["used"], listed["approved_by"]) == ("open", True, "cfo")


def test_a_reason_that_names_another_waiver_does_not_use_it(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31", "--rule", "negative", "--rows", "1").code == 0
    [other] = shop.run("waivers", "--json", *AT).json
    because = ["--because", f"as in ({other['id']}): known"]
    assert shop.run(*WAIVE, "--until", "2024-01-31", *because).code == 0
    assert shop.run("materialize", *AT).code == 0
    used = {w["id"]: w["used"] for w in shop.run("waivers", "--json", *AT).json}
    assert used.pop(other["id"]) is False
    assert list(used.values()) == [True]


def test_when_it_expires_the_block_is_back(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31").code == 0
    assert shop.run("materialize", *AT).code == 0
    [soon] = shop.run("waivers", "--json", "--now", "2024-01-30T07:00").json
    assert soon["state"] == "expiring"
    after = shop.run("materialize", "--now", "2024-02-01T00:00")
    assert after.code == 3
    assert "expired on 2024-01-31" in after.out
    assert shop.query("select net from total") == [{"net": 102}], "readers keep what they have"
    assert shop.run("waivers", "--json", "--now", "2024-02-01T07:00").json[0]["state"] == "expired"
    again = [*WAIVE[:-1], "2024-02-01T07:00", "--until", "2024-02-29"]
    assert shop.run(*again).code == 0
    assert shop.run("materialize", "--now", "2024-02-01T08:00").code == 0


def test_other_rows_are_held_back(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31").code == 0
    shop.numbers("a", 101, 202, 398)
    assert shop.run("materialize", *AT).code == 3
    shop.numbers("a", 101, 202, 399, 477)
    assert shop.run("materialize", "--now", "2024-01-05T09:00").code == 3
    shop.numbers("a", 111, 202, 399)
    assert shop.run("materialize", "--now", "2024-01-05T10:00").code == 0, "others may change"


def test_a_number_of_rows_in_advance(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31", "--rows", "2").code == 0
    shop.numbers("a", 101, 298, 377)
    assert shop.run("materialize", *AT).code == 0
    shop.numbers("a", 198, 298, 377)
    assert shop.run("materialize", "--now", "2024-01-05T09:00").code == 3


def test_only_rows_with_a_value(shop: Place) -> None:
    shop.numbers("a", 101, 298, 399)
    assert shop.run("materialize", "--now", "2024-01-05T06:30").code == 3
    none = shop.run(*WAIVE, "--until", "2024-01-31", "--key", "dya=3")
    assert none.code == 2
    assert "failing rows have no column 'dya'" in none.err
    one = shop.run(*WAIVE, "--until", "2024-01-31", "--key", "day=2")
    assert "waives 1 row as it was" in one.out
    assert "what fails now is more than it lets through" in one.out
    assert shop.run("materialize", *AT).code == 3
    assert shop.run(*WAIVE, "--until", "2024-01-31", "--key", "DAY=3").code == 0
    assert shop.run("materialize", "--now", "2024-01-05T08:30").code == 0


def test_withdrawn_it_does_not_count(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31").code == 0
    [listed] = shop.run("waivers", "--json", *AT).json
    assert shop.run("waive", listed["id"], "--withdraw", *AT).code == 0
    held = shop.run("materialize", "--now", "2024-01-05T09:00")
    assert held.code == 3
    assert "withdrawn on 2024-01-05" in held.out
    twice = shop.run("waive", listed["id"], "--withdraw", *AT)
    assert twice.code == 2
    assert "was withdrawn on 2024-01-05" in twice.err


def test_in_another_environment_it_does_not_count(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31").code == 0
    shop.environment("dev")
    assert shop.run("materialize", "--env", "dev", *AT).code == 3
    assert shop.run("waivers", "--env", "dev", *AT).out == "no waivers\n"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--until", "2024-01-04"], "--until 2024-01-04 is in the past"),
        (["--until", "2024-12-31"], "is more than 180 days away: at most 2024-07-03"),
        (["--until", "soon"], "write it as 2012-01-31"),
        (["--until", "2024-01-31", "--rule", "nosuch"], "sales.days has no rule 'nosuch'"),
        (["--until", "2024-01-31", "--rule", "no lrage"], "Did you mean 'no large line'?"),
        (["--until", "2024-01-31", "--rule", "negative"], "nothing fails 'never negative' now"),
        (["--until", "2024-01-31", "--because", " "], "--because should say why"),
        (
            ["--until", "2024-01-31", "--part", "x"],
            "no row that fails 'no large line' is in part x",
        ),
        (["--until", "2024-01-31", "--key", "day=9"], "'no large line' is one with day=9"),
        (["--until", "2024-01-31", "--measured", "1"], "has no limit that a value may exceed"),
        (["--until", "2024-01-31", "--rows", "1", "--measured", "1"], "not both"),
        (["--until", "2024-01-31", "--key", "day"], "--key should be COLUMN=VALUE"),
        (["--until", "2024-01-31", "--rows", "1", "--part", "x"], "sales.days is not in parts"),
        (
            ["--until", "2024-01-31", "--rows", "1", "--key", "day=3"],
            "--key is about the rows that fail now: it goes with no --rows or --measured",
        ),
        (["--until", "2024-01-31", "--because", "x" * 1001], "have at most 1,000 characters"),
        ([], "a waiver needs --rule and --until"),
    ],
)
@pytest.mark.long
def test_mistakes(shop: Place, options: list[str], told: str) -> None:
    done = shop.run(*WAIVE, *options)
    assert done.code == 2
    assert told in done.err
    assert shop.run("waivers").out == "no waivers\n", "nothing is recorded"


def test_who_may_approve_is_a_setting(shop: Place) -> None:
    setting = '[tool.products]\nwaiver_approvers = ["cfo@shop"]\nwaiver_days = 10\n'
    shop.write("pyproject.toml", setting)
    wrong = shop.run(*WAIVE, "--until", "2024-01-31", "--approved-by", "ann")
    assert "ann may not approve: one of cfo@shop" in wrong.err
    assert "is more than 10 days away" in wrong.err, "all mistakes at once"
    assert shop.run(*WAIVE, "--until", "2024-01-14", "--approved-by", "cfo@shop").code == 0


def test_one_that_is_declared(shop: Place) -> None:
    waiver = (
        'waiver("sales.days", rule="no large line", rows=1, until="2024-01-31", because="known")'
    )
    shop.write(
        "products/sales.py", f"from assay import waiver\n{DECLARED}\n{waiver}\n", header=True
    )
    done = shop.run("materialize", *AT)
    assert done.code == 0, done.out
    assert "not built again" in done.out
    [listed] = shop.run("waivers", "--json", *AT).json
    assert listed["where"].startswith("products/sales.py:")
    assert listed["used"] is True
    assert shop.run("materialize", "--now", "2024-02-01T07:00").code == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ('"sales.dyas", rule="large", rows=1', "a waiver of 'sales.dyas', which is no product"),
        ('"sales.days", rule="nosuch", rows=1', "sales.days has no rule 'nosuch'"),
        ('"sales.days", rule="large"', "it needs rows= or measured="),
        ('"sales.days", rule="large", rows=0', "rows=0 should be a number of rows"),
        ('"sales.days", rule="large", measured=1', "measures no such value"),
        ('"sales.days", rule="large", rows=1, parts="x"', "parts='x' should be a list of texts"),
        ('"sales.days", rule="large", rows=1, parts=["x"]', "sales.days is not in parts"),
    ],
)
@pytest.mark.long
def test_mistakes_in_a_declaration(shop: Place, arguments: str, told: str) -> None:
    waiver = f'waiver({arguments}, until="2024-01-31", because="known")'
    shop.write(
        "products/sales.py", f"from assay import waiver\n{DECLARED}\n{waiver}\n", header=True
    )
    done = shop.run("materialize", *AT)
    assert done.code == 2
    assert told in done.err
    assert "products/sales.py:" in done.err


def test_a_part_that_is_waived_goes_out_beside_one_that_is_held(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
visits = source.files("visits/{day:date}.csv", columns={"n": "bigint"})
sql_product("parts", "select day, n from visits", owner="o", partition_by="day", on_failed_part="hold_part",
    rules=[rule.sql("few", "select day, n from this where n > 9")])
""",
        header=True,
    )
    for day, n in enumerate((1, 2, 3), 1):
        place.write(f"visits/2024-01-0{day}.csv", f"n\n{n}\n")
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 0
    place.write("visits/2024-01-02.csv", "n\n20\n")
    place.write("visits/2024-01-03.csv", "n\n30\n")
    place.run("materialize", "--now", "2024-01-05T06:00")
    assert [row["n"] for row in place.query("from parts order by day")] == [1, 2, 3]
    waive = ["waive", "parts", "--rule", "few", "--part", "2024-01-02", "--until", "2024-01-31"]
    done = place.run(*waive, "--because", "known", "--now", "2024-01-05T07:00")
    assert done.code == 0, done.err
    place.run("materialize", *AT)
    assert [row["n"] for row in place.query("from parts order by day")] == [1, 20, 3]


def test_a_part_in_advance_is_one_that_can_come(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
visits = source.files("visits/{day:date}.csv", columns={"n": "bigint"})
sql_product("parts", "select day, n from visits", owner="o", partition_by="day",
    rules=[rule.sql("few", "select day, n from this where n > 9")])
""",
        header=True,
    )
    place.write("visits/2024-01-01.csv", "n\n1\n")
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 0
    waive = ["waive", "parts", "--rule", "few", "--until", "2024-01-31", "--rows", "1"]
    waive += ["--because", "known", "--now", "2024-01-05T07:00", "--part"]
    wrong = place.run(*waive, "2024-1-2")
    assert wrong.code == 2
    assert "--part: '2024-1-2' is no day" in wrong.err
    assert place.run(*waive, "2024-01-02").code == 0
    place.write("visits/2024-01-02.csv", "n\n20\n")
    assert place.run("materialize", "--now", "2024-01-05T08:00").code == 0
    place.write("visits/2024-01-03.csv", "n\n30\n")
    assert place.run("materialize", "--now", "2024-01-05T09:00").code == 3


def test_none_one_and_many_are_listed(shop: Place) -> None:
    assert shop.run("waivers", "--json").json == []
    assert shop.run("waivers").out == "no waivers\n"
    ends = ["2024-03-31", "2024-01-06", "2024-01-31"]
    for n, until in enumerate(ends):
        done = shop.run(*WAIVE, "--until", until, "--rows", "1", "--because", f"reason {n}")
        assert done.code == 0, done.err
    listed = shop.run("waivers", "--json", "--now", "2024-01-18T00:00").json
    assert [(w["until"], w["state"]) for w in listed] == [
        ("2024-01-31", "expiring"),
        ("2024-03-31", "open"),
        ("2024-01-06", "expired"),
    ]
    text = shop.run("waivers", "--now", "2024-01-18T00:00").out
    assert [line.split()[1] for line in text.splitlines()[::3]] == [
        "expiring,", "open,", "expired,"
    ]  # fmt: skip
    assert shop.run("waivers", "total", "--json").json == []


BOUNDS = """
@product(owner="o")
def ledger(numbers):
    return numbers.filter(pl.col("x") < 100).select(k=pl.col("x") // 10, x="x")

@product(owner="o", rules=[
    rule.reconciles("x", "ledger", "x", by=["k"], within="1 %", text="as booked"),
    rule.changes("x", within="10 %", text="as before"),
    rule.rows(at_least=2)])
def total(numbers, ledger):
    return numbers.select(k=pl.col("x") % 100 // 10, x=pl.col("x") % 100)
"""


@pytest.fixture
def ledger(place: Place) -> Place:
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/sales.py", BOUNDS, header=True)
    place.numbers("a", 11, 12, 21)
    assert place.run("materialize", "--now", "2024-01-04T07:00").code == 0
    return place


def bound(rule: str, measured: str) -> list[str]:
    given = ["waive", "total", "--rule", rule, "--until", "2024-01-31", "--because", "known"]
    return [*given, "--measured", measured, "--now", "2024-01-05T07:00"]


def test_a_fall_is_as_much_as_a_rise(ledger: Place) -> None:
    assert ledger.run(*bound("before", "0.2")).code == 0
    ledger.numbers("a", 1, 2)
    held = ledger.run("materialize", *AT)
    assert held.code == 3, held.out


def test_a_group_that_was_never_booked_is_more_than_any_value(ledger: Place) -> None:
    assert ledger.run(*bound("booked", "0.2")).code == 0
    assert ledger.run(*bound("before", "99")).code == 0
    ledger.numbers("a", 11, 12, 21, 131)
    held = ledger.run("materialize", *AT)
    assert held.code == 3, held.out


@pytest.mark.parametrize("measured", ["nan", "inf", "-1"])
def test_a_bound_is_a_number(ledger: Place, measured: str) -> None:
    wrong = ledger.run(*bound("before", measured))
    assert wrong.code == 2
    assert "--measured should be a number, 0 or more" in wrong.err


def test_too_few_rows_have_no_bound(ledger: Place) -> None:
    wrong = ledger.run(*bound("at least 2 rows", "5"))
    assert wrong.code == 2
    assert "has no limit that a value may exceed; --rows N bounds its rows" in wrong.err
    declared = (
        'waiver("sales.total", rule="at least 2 rows", measured=5, until="2024-01-31", because="x")\n'
        'waiver("sales.total", rule="as before", measured=float("inf"), until="2024-01-31", because="x")\n'
        'waiver("sales.total", rule="as before", measured=True, until="2024-01-31", because="x")\n'
    )
    ledger.write("products/sales.py", f"from assay import waiver\n{BOUNDS}{declared}", header=True)
    wrong = ledger.run("check")
    assert wrong.err.count("measures no such value") == 3, wrong.err


def test_a_waiver_from_tomorrow_does_not_count_today(shop: Place) -> None:
    assert shop.run(*WAIVE[:-1], "2030-01-05T07:00", "--until", "2030-01-31").code == 0
    assert shop.run("materialize", *AT).code == 3
    assert "waived until 2030-01-31" in shop.run("plan", "--now", "2030-01-05T08:00").out


def test_no_id_is_no_waiver(shop: Place) -> None:
    assert shop.run(*WAIVE, "--until", "2024-01-31").code == 0
    wrong = shop.run("waive", "", "--withdraw", *AT)
    assert wrong.code == 2
    assert "'' is no waiver" in wrong.err


def test_rows_with_maps(shop: Place) -> None:
    rows = "select day, map {date '2024-01-01': net} as m, [1.5, net] as l from this where net > 50"
    declared = DECLARED.replace("select day, net from this where net > 50", rows)
    shop.write("products/sales.py", declared, header=True)
    held = shop.run("materialize", "--now", "2024-01-05T06:30")
    assert held.code == 3, held.out
    assert shop.run(*WAIVE, "--until", "2024-01-31").code == 0
    assert shop.run("materialize", *AT).code == 0


def test_texts_are_recorded_without_control_characters(shop: Place) -> None:
    hostile = "known\x1b[31m\u202e\ud800"
    texts = [hostile if word == "it is known" else word for word in WAIVE]
    done = shop.run(*texts, "--until", "2024-01-31", "--approved-by", hostile)
    assert done.code == 0, done.err
    [listed] = shop.run("waivers", "--json", *AT).json
    for text in (listed["because"], listed["approved_by"]):
        assert text.startswith("known")
        assert not set("\x1b\u202e\ud800") & set(text)
    assert shop.run("materialize", *AT).code == 0


def test_the_last_day_there_is(shop: Place) -> None:
    declared = (
        "from assay import waiver\n"
        + DECLARED
        + 'waiver("sales.days", rule="no large line", rows=1,'
        ' until="9999-12-31", because="known")\n'
    )
    shop.write("products/sales.py", declared, header=True)
    done = shop.run("materialize", *AT)
    assert done.code == 0, done.out + done.err
    assert "until 9999-12-31" in shop.run("waivers").out


def test_what_it_does_beside_the_others(shop: Place) -> None:
    declared = DECLARED.replace('"day is not null")', '"day < 3")')
    shop.write("products/sales.py", declared, header=True)
    assert shop.run("materialize", "--now", "2024-01-05T06:30").code == 3
    first = shop.run(*WAIVE, "--until", "2024-01-31")
    assert "still held back by day is there" in first.out
    rest = ["day is there" if word == "large" else word for word in WAIVE]
    both = shop.run(*rest, "--until", "2024-01-31")
    assert "`products materialize` publishes what is held back" in both.out
    assert shop.run("materialize", *AT).code == 0
