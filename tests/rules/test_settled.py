"""Settled rows: what readers saw as settled stays; what they never saw settled may come."""

from datetime import datetime

import pytest

from assay.times import settled_before
from tests.conftest import HEADER, ROOT, Place

DAILY = """
raw = source.files("in/{{day:date}}.csv", columns={{"shop": pl.String, "x": pl.Int64}})
daily = sql_product("daily", "select day, shop, sum(x)::bigint as x from raw group by 1, 2", owner="o", partition_by="day",
                    rules=[rule.closed("day", before="start of month"{more})])
"""


def declare(place: Place, more: str = "") -> None:
    place.write("products/sales.py", HEADER + DAILY.format(more=more))


def drop(place: Place, day: str, **shops: int) -> None:
    place.write(
        f"in/{day}.csv", "\n".join(["shop,x", *(f"{shop},{x}" for shop, x in shops.items())]) + "\n"
    )


def night(place: Place, now: str, *arguments: str) -> dict:
    return place.materialize("--now", now, *arguments)["sales.daily"]


def found(told: dict) -> tuple[str, str, list[dict]]:
    """What became of it, the rule's message, and its samples."""
    [rule] = told["rules"]
    return told["result"], rule["message"], rule["samples"]


def test_a_month_closes_when_its_last_day_arrives(place: Place) -> None:
    declare(place)
    drop(place, "2024-06-29", A=1)
    night(place, "2024-06-30T07:00")
    drop(place, "2024-06-30", A=1)
    assert night(place, "2024-07-01T07:00")["result"] == "published", (
        "readers had nothing of that day"
    )
    drop(place, "2024-06-29", A=7)
    result, message, samples = found(night(place, "2024-07-02T07:00"))
    assert (result, message) == ("held back", "1 changed; x 1 -> 7 (+6)")
    [sample] = samples
    assert sample == {
        "day": "2024-06-29",
        "shop": "A",
        "change": "changed",
        "x_before": 1,
        "x_after": 7,
        "x_difference": 6,
    }


def test_new_rows_of_a_period_that_was_never_seen_settled(place: Place) -> None:
    """A late drop counts as a change only when readers saw its month settled, with that day or later ones in it."""
    declare(place)
    drop(place, "2024-06-28", A=1)
    drop(place, "2024-06-29", A=1)
    night(place, "2024-06-30T07:00")
    drop(place, "2024-06-28", A=1, B=2)
    assert night(place, "2024-07-01T07:00")["result"] == "published", (
        "what readers see was built while June was open"
    )
    drop(place, "2024-06-30", A=1)
    assert night(place, "2024-07-01T08:00")["result"] == "published", (
        "it is later than all that readers have"
    )
    drop(place, "2024-06-28", A=1, B=2, C=3)
    assert found(night(place, "2024-07-02T07:00"))[:2] == ("held back", "1 new; x 0 -> 3 (+3)")


def test_new_rows_may_be_held_too(place: Place) -> None:
    declare(place, ', new_rows="hold"')
    drop(place, "2024-06-29", A=1)
    night(place, "2024-06-30T07:00")
    drop(place, "2024-06-30", A=1)
    assert found(night(place, "2024-07-01T07:00"))[:2] == ("held back", "1 new; x 0 -> 1 (+1)")


@pytest.mark.parametrize(
    ("grace", "last_open"), [("3 working days", "2024-07-03T23:00"), ("2 days", "2024-07-02T23:00")]
)
def test_a_grace_lets_a_month_end(place: Place, grace: str, last_open: str) -> None:
    declare(place, f', grace="{grace}"')
    drop(place, "2024-06-29", A=1)
    night(place, "2024-07-01T07:00")
    drop(place, "2024-06-29", A=2)
    assert night(place, last_open)["result"] == "published"
    drop(place, "2024-06-29", A=3)
    closed = last_open.replace("2T23", "3T00").replace("3T23", "4T00")
    assert night(place, closed)["result"] == "held back"


@pytest.mark.parametrize(
    ("now", "end"),
    [
        (
            "2024-06-05T23:59",
            "2024-05-01",
        ),  # 1 June was a Saturday: Monday to Wednesday are its first working days
        ("2024-06-06T00:00", "2024-06-01"),
        ("2024-07-03T23:59", "2024-06-01"),
        ("2024-07-04T00:00", "2024-07-01"),
        ("2024-07-07T12:00", "2024-07-01"),
    ],
)
def test_working_days_are_monday_to_friday(now: str, end: str) -> None:
    told = settled_before(
        "start of month", datetime.fromisoformat(f"{now}+00:00"), grace="3 working days"
    )
    assert told == datetime.fromisoformat(end)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (', grace="a while"', "grace='a while' should be a length of time"),
        (", grace=3", "grace=3 should be a length of time"),
        (', new_rows="ignore"', "new_rows='ignore' should be \"hold\""),
    ],
)
def test_mistakes_in_a_rule_about_settled_rows(place: Place, more: str, words: str) -> None:
    declare(place, more)
    ran = place.run("ls")
    assert (ran.code, words in ran.err) == (2, True), ran.err
    place.edit("products/sales.py", more, ', grace="2 days"')
    place.edit("products/sales.py", "start of month", "2024-01-31")
    assert "means nothing with a fixed date" in place.run("ls").err


def test_the_price_of_oil(place: Place) -> None:
    """Six real snapshots: the three nights on which settled prices changed are held, and no other."""
    place.write(
        "products/oil.py",
        HEADER
        + """
brent_file = source.files("in/brent-daily.csv", columns={"Date": pl.Date, "Price": pl.Float64})
brent = sql_product("brent", 'select "Date" as day, "Price" as price from brent_file', owner="o",
                    rules=[rule.closed("day", before="7 days ago")])
""",
    )
    changes = {
        "2022-11-10": ("2022-10-31", "1 changed; price 94.64 -> 93.3 (-1.34)"),
        "2023-01-06": ("2022-12-27", "1 gone; price 82.45 -> 0 (-82.45)"),
        "2023-01-12": ("2023-01-02", "1 gone; price 82.82 -> 0 (-82.82)"),
    }
    for snapshot in sorted((ROOT / "fixtures/brent").glob("*.csv")):
        date = snapshot.suffixes[0][1:]
        place.write("in/brent-daily.csv", snapshot.read_text())
        told = place.materialize("-s", "brent", "--now", f"{date}T20:00")["oil.brent"]
        if date not in changes:
            assert told["result"] in {"published", "unchanged"}, date
            continue
        result, message, [sample] = found(told)
        assert (result, sample["day"], message) == ("held back", *changes[date])
        restated = place.materialize(
            "-s", "brent", "--now", f"{date}T20:00", "--restate", "brent", "--because", "the source"
        )
        assert restated["oil.brent"]["result"] == "published"


def test_rows_without_a_key(place: Place) -> None:
    """Without a key, rows are told apart by all that is no number; those alike are paired as they come."""

    def lines(*rows: str) -> None:
        place.write(
            "products/sales.py",
            f"""
sql_product("daily", "select day, shop, x::double as x from (values {", ".join(f"(date '2024-01-30', {r})" for r in rows)}) t(day, shop, x)",
            owner="o", rules=[rule.closed("day", before="start of month")])
""",
            header=True,
        )

    lines("'A', 1", "'A', 1", "'A', 2", "'B', 5", "null, 'NaN'::double")
    night(place, "2024-02-03T00:00")
    lines("'A', 1", "'A', 2", "'A', 1", "null, 'NaN'::double", "'B', 5")
    assert night(place, "2024-02-04T00:00")["result"] == "published", (
        "in another order they are the same"
    )
    lines("'A', 1", "'A', 3", "'A', 3", "null, 7")
    result, message, samples = found(night(place, "2024-02-05T00:00"))
    assert (result, message.partition(";")[0]) == ("held back", "3 changed, 1 gone")
    assert [
        (s["shop"], s["change"], s["x_before"], s["x_after"]) for s in samples if s["shop"]
    ] == [
        ("A", "changed", samples[0]["x_before"], 3.0),
        ("A", "changed", samples[1]["x_before"], 3.0),
        ("B", "gone", 5.0, None),
    ]
    assert {s["x_before"] for s in samples if s["shop"] == "A"} == {1.0, 2.0}


def test_all_changes_are_shown_and_secrets_are_not(place: Place) -> None:
    def lines(bonus: int) -> None:
        place.write(
            "products/sales.py",
            f"""
from datetime import date
class Daily(pa.DataFrameModel):
    day: date = pa.Field(unique=True)
    x: int
    bonus: int = pa.Field(metadata={{"sensitive": True}})
sql_product("daily", "select (date '2024-01-01' + i::integer) as day, i as x, i + {bonus} as bonus from range(20) t(i)",
            owner="o", contract=Daily, rules=[rule.closed("day", before="start of month", text="settled")])
""",
            header=True,
        )

    lines(1000)
    place.materialize()
    lines(2000)
    result, message, samples = found(place.materialize()["sales.daily"])
    assert (result, message, len(samples)) == ("held back", "20 changed", 5)
    assert samples[0] == {
        "day": "2024-01-01",
        "change": "changed",
        "bonus_before": "(sensitive)",
        "bonus_after": "(sensitive)",
        "bonus_difference": "(sensitive)",
    }
    rows = place.run("show", "daily", "--held", "--failures", "settled", "--json", "-n", "100").json
    assert len(rows) == 20
    assert {(r["x_before"] == r["x_after"], r["bonus_difference"]) for r in rows} == {
        (True, "(sensitive)")
    }


def test_a_column_that_is_called_as_ours(place: Place) -> None:
    for value in (1, 2):
        sql = f"select date '2024-01-30' as day, 'k' as change, {value} as x, 'k' as x_before"
        place.write(
            "products/sales.py",
            f"""
sql_product("daily", "{sql}", owner="o", rules=[rule.closed("day", before="start of month")])
""",
            header=True,
        )
        told = night(place, f"2024-02-0{value}T00:00")
    [sample] = found(told)[2]
    assert sample == {
        "day": "2024-01-30",
        "change": "k",
        "x_before": "k",
        "change_": "changed",
        "x_before_": 1,
        "x_after": 2,
        "x_difference": 1,
    }


def test_changed_days_are_held_alone(place: Place) -> None:
    """Also where the contract's key is another column than the day."""
    place.write(
        "products/sales.py",
        HEADER
        + """
class Lines(pa.DataFrameModel):
    id: int = pa.Field(unique=True)
raw = source.files("in/{day:date}.csv", columns={"id": pl.Int64, "x": pl.Int64})
daily = sql_product("daily", "select day, id, x from raw", owner="o", partition_by="day", on_failed_part="hold_part",
                    contract=Lines, rules=[rule.closed("day", before="start of month")])
""",
    )
    for number, day in enumerate(["2024-01-01", "2024-01-02", "2024-01-03"]):
        place.write(f"in/{day}.csv", f"id,x\n{number},1\n")
    night(place, "2024-02-03T00:00")
    place.write("in/2024-01-02.csv", "id,x\n1,5\n")
    place.write("in/2024-02-03.csv", "id,x\n9,1\n")
    told = night(place, "2024-02-04T00:00")
    assert (told["result"], [p["part"] for p in told["held_parts"]]) == (
        "published",
        ["2024-01-02"],
    )
    assert told["held_by"][0]["message"] == "1 changed; x 1 -> 5 (+4)"
    assert place.query("select id, x from daily order by id") == [
        {"id": 0, "x": 1},
        {"id": 1, "x": 1},
        {"id": 2, "x": 1},
        {"id": 9, "x": 1},
    ]


# ---------------------------------------------------------------------------------------------- restated


def six_days(place: Place, value: int) -> None:
    for day in range(1, 7):
        drop(place, f"2024-01-0{day}", A=value)


def restate(place: Place, now: str, *arguments: str) -> tuple[str, str]:
    """What became of it, and what was said beside."""
    ran = place.run(
        "materialize",
        "daily",
        "--json",
        "--now",
        now,
        "--restate",
        "daily",
        "--because",
        "recount",
        *arguments,
    )
    return ran.events[0]["result"], ran.err


def test_a_restatement_is_of_what_was_looked_at(place: Place) -> None:
    """What changes again before the restatement is not approved with it: it is held, and has to be looked at."""
    declare(place)
    six_days(place, 3)
    night(place, "2024-02-03T00:00")
    six_days(place, 4)
    assert found(night(place, "2024-02-04T00:00"))[:2] == (
        "held back",
        "6 changed; x 18 -> 24 (+6)",
    )
    drop(place, "2024-01-03", A=1000)
    result, said = restate(place, "2024-02-04T01:00")
    assert (result, "what fails is not what was held back in" in said, "(2024-01-03)" in said) == (
        "held back",
        True,
        True,
    )
    assert place.query("select distinct x from daily") == [{"x": 3}]
    assert restate(place, "2024-02-04T02:00") == ("published", ""), "now it was looked at"
    assert place.query("select sum(x)::bigint as x from daily") == [{"x": 1020}]
    [told] = place.run("history", "daily", "--json").json[:1]
    assert (told["verdict"], told["restated"]) == ("warning", "restated: recount")
    assert night(place, "2024-03-04T00:00")["result"] == "unchanged", "and it stays so"


def test_a_restatement_of_nothing(place: Place) -> None:
    declare(place)
    drop(place, "2024-01-01", A=3)
    night(place, "2024-02-03T00:00")
    drop(place, "2024-01-01", A=4)
    result, said = restate(place, "2024-02-04T00:00")
    assert (result, "nothing of it was held back for settled rows when this run began" in said) == (
        "held back",
        True,
    )
    assert place.query("select x from daily") == [{"x": 3}]


def test_a_restatement_goes_on_with_rows_that_no_rule_holds(place: Place) -> None:
    """A new day that arrives between looking and restating is not what was looked at, and fails nothing: it goes out."""
    declare(place)
    drop(place, "2024-01-01", A=3)
    night(place, "2024-02-03T00:00")
    drop(place, "2024-01-01", A=4)
    night(place, "2024-02-04T00:00")
    drop(place, "2024-02-04", A=9)
    assert restate(place, "2024-02-04T01:00") == ("published", "")
    assert place.query("select sum(x)::bigint as x from daily") == [{"x": 13}]


@pytest.mark.long
def test_a_restatement_of_one_part_and_one_rule(place: Place) -> None:
    declare(place)
    rules = 'rules=[rule.closed("day", before="start of month", text="month"), rule.closed("day", before="7 days ago", text="week")]'
    place.edit(
        "products/sales.py",
        'rules=[rule.closed("day", before="start of month")]',
        f'{rules}, on_failed_part="hold_part"',
    )
    six_days(place, 3)
    night(place, "2024-02-13T00:00")
    drop(place, "2024-01-01", A=4)
    drop(place, "2024-01-02", A=4)
    drop(place, "2024-02-01", A=1)
    assert [p["part"] for p in night(place, "2024-02-14T00:00")["held_parts"]] == [
        "2024-01-01",
        "2024-01-02",
    ]
    result, _ = restate(place, "2024-02-14T01:00", "--parts", "2024-01-01", "--rule", "week")
    assert place.query("select distinct x from daily where day = '2024-01-01'") == [{"x": 3}], (
        "another rule holds it still"
    )
    result, _ = restate(place, "2024-02-14T02:00", "--parts", "2024-01-01")
    told = place.query(
        "select day::varchar as day, x from daily where day < '2024-01-04' order by day"
    )
    assert [(r["day"], r["x"]) for r in told] == [
        ("2024-01-01", 4),
        ("2024-01-02", 3),
        ("2024-01-03", 3),
    ]
    result, _ = restate(place, "2024-02-14T03:00")
    assert result == "published"
    assert place.query("select sum(x)::bigint as x from daily") == [{"x": 21}]


def test_mistakes_in_a_restatement(place: Place) -> None:
    declare(place)
    place.edit("products/sales.py", '"start of month")', '"start of month"), rule.rows(at_least=1)')
    because = ["--restate", "daily", "--because", "x"]
    assert "has no rule 'closd'" in place.run("materialize", *because, "--rule", "closd").err
    assert (
        "is not about settled rows"
        in place.run("materialize", *because, "--rule", "at least 1").err
    )
    assert (
        "--rule RULE says what --restate NAME lets through"
        in place.run("materialize", "--rule", "x").err
    )
