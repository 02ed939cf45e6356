"""What is recorded of promises that fell due, by runs over several days of December 2011."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from tests.conftest import Place

DEFINITIONS = """
from assay import Freshness, rule, source, sql_product

drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"})
daily = sql_product("daily", "select day, sum(x)::bigint as x from drops group by day", owner="o",
    event_time="day", rules=[rule.check("x is small", "x < 100")],
    freshness=Freshness(by="07:00", tz="Europe/London", on="Mon Tue Wed Thu Fri",
        covers="previous working day"))
monthly = sql_product("monthly", "select max(day) as day from daily", owner="o", event_time="day")
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/t.py", DEFINITIONS)
    return place


def drop(place: Place, day: int, x: int = 1) -> None:
    place.write(f"drops/2011-12-{day:02}.csv", f"x\n{x}\n")


def night(place: Place, time: str) -> int:
    return place.run("materialize", "--now", f"2011-12-{time}").code


def facts(place: Place) -> Sequence[tuple[Any, ...]]:
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db:
        return db.execute(
            "select name, due, state, came, as_of, cause, basis from promises order by due"
        ).fetchall()


def short(place: Place) -> list[tuple[str, str, str | None]]:
    return [(due[5:16], state, came and came[5:16]) for _, due, state, came, *_ in facts(place)]


def week(place: Place, *, each_night: bool) -> None:
    """Kept on Tuesday, late on Wednesday, missed on Thursday, held and then late on Friday."""
    drop(place, 2)
    night(place, "05T06:00")
    drop(place, 5)
    night(place, "06T06:30")
    if each_night:
        night(place, "06T12:00")
        night(place, "07T07:10")  # the drop of the 6th is not there yet
    drop(place, 6)
    night(place, "07T09:45")
    if each_night:
        night(place, "08T06:00")
        night(place, "09T06:00")
    drop(place, 7)
    drop(place, 8, x=100)
    assert night(place, "09T06:30") == 3
    if each_night:
        night(place, "09T07:00")
    drop(place, 8)
    night(place, "09T08:00")
    night(place, "10T00:00")


WEEK = [
    ("12-05T07:00", "kept", None),
    ("12-06T07:00", "kept", None),
    ("12-07T07:00", "late", "12-07T09:45"),
    ("12-08T07:00", "missed", None),
    ("12-09T07:00", "late", "12-09T08:00"),
]


@pytest.mark.parametrize("each_night", [True, False])
def test_each_promise_is_a_fact(shop: Place, each_night: bool) -> None:
    week(shop, each_night=each_night)
    assert short(shop) == WEEK
    _, _, late, missed, held = facts(shop)
    assert late[4] == "2011-12-05T00:00:00"
    assert late[5] == "t.drops: has data up to 2011-12-05"
    assert missed[5] == "t.drops: has data up to 2011-12-06"
    assert held[5] == "t.daily: held back: it fails 'x is small'"
    assert json.loads(late[6])["reach"] == "2011-12-06"
    assert night(shop, "10T12:00") == 0
    assert short(shop) == WEEK


def test_a_promise_is_recorded_once_it_is_certain(shop: Place) -> None:
    drop(shop, 2)
    night(shop, "05T06:00")
    night(shop, "05T08:00")
    night(shop, "06T08:00")  # that of the 6th may still come
    assert short(shop) == WEEK[:1]
    night(shop, "07T07:00")
    assert short(shop) == [WEEK[0], ("12-06T07:00", "missed", None)]


def test_a_changed_window_starts_anew_and_what_was_stays(shop: Place) -> None:
    drop(shop, 2)
    night(shop, "05T06:00")
    shop.edit("products/t.py", 'by="07:00"', 'by="07:30"')
    night(shop, "05T08:00")  # 07:00 is not promised any more, 07:30 was not yet
    assert facts(shop) == []
    drop(shop, 5)
    night(shop, "06T07:00")
    night(shop, "06T08:00")
    shop.edit("products/t.py", "07:30", "09:00")
    night(shop, "06T09:30")
    assert short(shop) == [("12-06T07:30", "kept", None)]


def test_a_promise_that_was_taken_back_is_not_counted_meanwhile(shop: Place) -> None:
    """Also when it was the only one of the project."""
    text = (shop.root / "products/t.py").read_text()
    drop(shop, 2)
    night(shop, "05T06:00")
    start = text.index("    freshness=")
    end = text.index("monthly =")
    shop.write("products/t.py", f"{text[:start]}){chr(10)}{text[end:]}")
    night(shop, "05T12:00")
    shop.write("products/t.py", text)
    night(shop, "09T06:00")
    assert facts(shop) == []


def test_gc_records_what_fell_due_before_it_removes_what_that_follows_from(shop: Place) -> None:
    shop.write("pyproject.toml", "[tool.products]\nkeep_days = 1\nkeep_versions = 1\n")
    drop(shop, 2)
    night(shop, "05T06:00")
    [first] = shop.run("history", "daily", "--json").json
    drop(shop, 5)
    night(shop, "05T06:30")
    ran = shop.run("restore", "daily", first["version"], "--now", "2011-12-06T08:00")
    assert ran.code == 0, "from then on, what readers had before is only history"
    assert shop.run("gc", "--now", "2011-12-08T12:00", "--dry-run").code == 0
    assert facts(shop) == []
    assert shop.run("gc", "--now", "2011-12-08T12:00").code == 0
    night(shop, "08T13:00")
    assert short(shop) == [
        ("12-05T07:00", "kept", None),
        ("12-06T07:00", "kept", None),
        ("12-07T07:00", "missed", None),
    ]


def test_gc_in_the_future_records_nothing_that_may_still_come(shop: Place) -> None:
    drop(shop, 2)
    night(shop, "05T06:00")
    shop.run("gc", "--now", "2100-01-01")
    assert facts(shop) == []
