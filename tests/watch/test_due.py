"""What `materialize --due` and the loop build of products with promises, as days go by."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import Place
from tests.watch.world import World

MODULE = """
drops = source.files("drops/{day:date}.csv", columns={"x": pl.Int64})
rates = source.files("rates.csv", columns={"r": pl.Int64})

sql_product("lines", "select day, x from drops", owner="o")
sql_product("daily", "select day, x * r as y from lines, rates", owner="o",
    freshness=Freshness(by="07:00", covers="previous day"))
sql_product("beside", "from rates", owner="o")
"""


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2024-03-{text}").replace(tzinfo=UTC)


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", MODULE, header=True)
    place.write("rates.csv", "r\n1\n")
    drop(place, 4)
    return place


def drop(place: Place, day: int) -> None:
    place.write(f"drops/2024-03-{day:02}.csv", f"x\n{day}\n")


def due(place: Place, now: str, *more: str) -> set[str]:
    """Run `materialize --due` and return the products that it published."""
    results = place.materialize("--due", "--now", f"2024-03-{now}", *more)
    return {
        name.partition(".")[2]
        for name, result in results.items()
        if name and result["result"] == "published"
    }


def test_a_cron_job_builds_what_is_due(shop: Place) -> None:
    assert due(shop, "05T06:00") == {"lines", "daily", "beside"}
    shop.write("rates.csv", "r\n2\n")
    assert due(shop, "05T06:30") == {"daily", "beside"}, "until it falls due"
    shop.write("rates.csv", "r\n3\n")
    assert due(shop, "05T09:00") == {"beside"}, "a side input makes nothing due"
    shop.edit("products/sales.py", "x * r", "x + r")
    assert due(shop, "05T09:10") == {"daily"}, "changed code does"
    shop.write("rates.csv", "r\n4\n")
    drop(shop, 5)
    assert due(shop, "05T20:00", "-s", "domain:sales") == {"lines", "daily", "beside"}, (
        "it is there"
    )
    assert due(shop, "06T00:30") == set()
    shop.write("rates.csv", "r\n5\n")
    assert due(shop, "06T00:40", "--exclude", "beside") == {"daily"}, "tomorrow has begun"


def test_what_is_late_is_due(shop: Place) -> None:
    due(shop, "05T06:00")
    shop.write("rates.csv", "r\n2\n")
    assert due(shop, "06T09:00") == {"daily", "beside"}, "the drop of the 5th never came"
    drop(shop, 5)
    assert due(shop, "06T09:10") == {"lines", "daily"}


def test_a_corrected_drop_is_built_at_once(shop: Place) -> None:
    """Readers would decide on the wrong figures until the next window opens."""
    due(shop, "05T06:00")
    shop.write("drops/2024-03-04.csv", "x\n40\n")
    assert due(shop, "05T09:00") == {"lines", "daily"}
    assert due(shop, "05T09:10") == set()
    shop.write("rates.csv", "r\n3\n")
    assert due(shop, "05T09:20") == {"beside"}


def test_a_file_that_is_taken_back_is_no_new_data(shop: Place) -> None:
    """Of a source without days in its paths, too; what is renamed may be a new drop."""
    shop.edit("products/sales.py", "drops/{day:date}.csv", "drops/*.csv")
    columns = 'columns={"day": "date", "x": pl.Int64}, event_time="day"'
    shop.edit("products/sales.py", 'columns={"x": pl.Int64}', columns)
    shop.edit("products/sales.py", 'owner="o",\n', 'owner="o", event_time="day",\n')
    for day in (2, 3, 4):
        shop.write(f"drops/2024-03-{day:02}.csv", f"day,x\n2024-03-{day:02},1\n")
    due(shop, "05T06:00")
    (shop.root / "drops/2024-03-03.csv").unlink()
    assert due(shop, "05T09:00") == {"lines", "daily"}, "readers would decide on wrong figures"
    (shop.root / "drops/2024-03-02.csv").rename(shop.root / "drops/2024-03-05.csv")
    assert due(shop, "05T09:10") == set()


@pytest.mark.parametrize("option", [["--force"], ["--parts", "2024"], ["--restate", "daily"]])
def test_due_goes_alone(shop: Place, option: list[str]) -> None:
    ran = shop.run(
        "materialize",
        "--due",
        "daily",
        *option,
        *(["--because", "x"] if option[0] == "--restate" else []),
    )
    assert ran.code == 2 and "--due" in ran.err


def test_the_loop_wakes_when_a_promise_opens_and_falls_due(shop: Place) -> None:
    world = World(shop.root, at("05T06:00"))
    seen: list[datetime] = []
    world.run(110, lambda number: seen.append(world.now), poll=timedelta(minutes=15))
    assert {at("05T07:00"), at("06T00:00"), at("06T06:00"), at("06T07:00")} <= {*seen}
    [kept, *_] = shop.run("runs", "--json").json
    assert kept["published"] == 3


def test_eager_waits_for_nothing(shop: Place) -> None:
    world = World(shop.root, at("05T06:00"))
    world.run(1)
    world.now = at("05T09:00")
    shop.write("rates.csv", "r\n3\n")
    world.run(1)
    assert world.told("turn")[-1].startswith("1 published")
    world.run(1, eager=True)
    assert world.told("turn")[-1].startswith("1 published")
