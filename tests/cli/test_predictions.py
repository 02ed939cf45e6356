"""What `products freshness` predicts from a recorded history, through the real command."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Place
from tests.watch.world import World

DEFINITIONS = """
from assay import Freshness, source, sql_product

drops = source.files("drops/{day:date}.csv", columns={"x": "bigint"}, freshness=Freshness(
    by="05:30", tz="Europe/London", covers="previous day"))
lines = sql_product("lines", "select day, x from drops", owner="o", event_time="day")
daily = sql_product("daily", "select day, sum(x)::bigint as x from lines group by day", owner="o",
    event_time="day", freshness=Freshness(by="07:00", tz="Europe/London", covers="previous day"))
"""
# When the drop of the day before came: usually before 05:30, later on three of twelve days.
CAME = [
    "05:20",
    "05:10",
    "05:15",
    "05:25",
    "06:50",
    "05:20",
    "05:05",
    "05:15",
    "06:40",
    "05:20",
    "05:10",
    "06:45",
]


@pytest.fixture
def shop(place: Place) -> Place:
    """Twelve nights, in each of which `lines` took about 20 minutes, and `daily` 5."""
    place.write("products/t.py", DEFINITIONS)
    for day, time in enumerate(CAME, 1):
        place.write(f"drops/2011-12-{day:02}.csv", "x\n1\n")
        assert place.run("materialize", "--now", f"2011-12-{day + 1:02}T{time}").code == 0
    with closing(sqlite3.connect(place.root / ".products/catalog.db")) as db, db:
        for product, seconds in (("t.lines", 1200), ("t.daily", 300)):
            query = "update versions set seconds = ? + (seq % 7) * 5 where product = ?"
            db.execute(query, [seconds, product])
    return place


def daily(shop: Place, time: str) -> Mapping[str, Any]:
    """Return how the promise of 07:00 on the 14th stands."""
    ran = shop.run("freshness", "t.daily", "--now", f"2011-12-{time}", "--json", "--warn-only")
    assert ran.code == 0, ran.err
    [view] = ran.json
    return view


def test_the_later_a_drop_the_less_likely_is_the_promise(shop: Place) -> None:
    """On nine of twelve days, the drop and 25 minutes of work were done by 05:50."""
    early, late, later = (daily(shop, f"14T{time}") for time in ("05:00", "05:45", "06:40"))
    assert 0.65 < early["probability"] < 0.8
    assert early["likely_at"][:16] == "2011-12-14T05:45"
    assert late["probability"] < 0.4
    assert later["probability"] < 0.05
    assert [view["state"] for view in (early, late, later)] == ["kept", "at risk", "at risk"]
    assert all(view["start_by"][:16] == "2011-12-14T06:34" for view in (early, late, later))
    assert [cause["name"] for cause in late["causes"]] == ["t.drops"]
    out = shop.run("freshness", "t.daily", "--now", "2011-12-14T05:45").out
    assert "has to start by 06:34, likely there 07:1" in out
    assert "usually there by 05:20" in out


def test_work_alone(shop: Place) -> None:
    """The drop is there: until 06:34 it is likely in time, then it is at risk, and then late."""
    shop.write("drops/2011-12-13.csv", "x\n1\n")
    in_time, tight, late = (daily(shop, f"14T{time}") for time in ("06:00", "06:40", "07:05"))
    assert (in_time["state"], in_time["likely_at"][:16]) == ("due", "2011-12-14T06:25")
    assert in_time["probability"] > 0.95
    assert (tight["state"], tight["likely_at"][:16]) == ("at risk", "2011-12-14T07:05")
    assert tight["probability"] < 0.1
    assert tight["causes"][0] == {
        "name": "t.lines",
        "text": "takes the most of the time that is left to build",
    }
    assert (late["state"], late["likely_at"][:16]) == ("late", "2011-12-14T07:30")


def test_nothing_is_said_without_history(place: Place) -> None:
    place.write("products/t.py", DEFINITIONS)
    place.write("drops/2011-12-12.csv", "x\n1\n")
    view = daily(place, "14T05:00")
    assert (view["likely_at"], view["probability"]) == (None, None)


def test_the_loop_wakes_when_work_has_to_start(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells of what is at risk then, and not with the next look at the files."""
    monkeypatch.chdir(shop.root)
    world = World(shop.root, datetime(2011, 12, 14, 5, 0, tzinfo=UTC))
    at: list[str] = []
    world.run(
        6, lambda _: at.append(f"{world.now:%H:%M}"), poll=timedelta(hours=12), standings=True
    )
    assert at == ["05:30", "05:34", "06:00", "06:34", "07:00"]
