"""Fetchers: functions without inputs are built again when the window of their promise rolls over."""

from datetime import UTC, date, datetime, timedelta

import pytest

from assay.model import Freshness, WorkCalendar
from assay.plan.moments import opened, opens_next
from tests.conftest import Place

CALENDARS = {"ENDED": WorkCalendar(name="ENDED", last=date(2011, 12, 8))}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("freshness", "now", "began", "next"),
    [
        (Freshness(by="07:00", on="Mon-Fri"), "2011-12-09T06:00", "2011-12-09T00:00", "2011-12-10T00:00"),
        (Freshness(by="07:00", on="Mon-Fri"), "2011-12-09T08:00", "2011-12-09T00:00", "2011-12-10T00:00"),
        (Freshness(by="07:00", on="Mon-Fri"), "2011-12-11T08:00", "2011-12-10T00:00", "2011-12-13T00:00"),
        (Freshness(by="21:30", covers="today"), "2011-12-09T22:00", "2011-12-09T00:00", "2011-12-10T00:00"),
        (Freshness(by="08:00", on="working day 3", covers="previous month"), "2011-12-20T00:00", "2011-12-01T00:00", "2012-01-01T00:00"),
        (Freshness(every="0 */6 * * *"), "2011-12-09T07:00", "2011-12-09T06:00", "2011-12-09T12:00"),
        (Freshness(within="2h"), "2011-12-09T07:59", "2011-12-09T07:00", "2011-12-09T08:00"),
        (Freshness(by="07:00", on="ENDED"), "2011-12-09T08:00", "2011-12-09T00:00", "2011-12-10T00:00"),
    ],
)  # fmt: skip
def test_the_window_that_is_open(freshness: Freshness, now: str, began: str, next: str) -> None:
    assert opened(freshness, at(now), CALENDARS) == at(began)
    assert opens_next(freshness, at(now), CALENDARS) == at(next)
    assert opened(freshness, at(began), CALENDARS) == at(began)
    assert opened(freshness, at(next), CALENDARS) == at(next)
    assert opened(freshness, at(next) - timedelta(seconds=1), CALENDARS) == at(began)


def test_a_fetcher_is_built_once_for_each_window(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        log = Path(__file__).parent.parent / "fetched.txt"

        @product(owner="o", freshness=Freshness(by="07:00", on="Mon-Fri", covers="previous working day"))
        def rates():
            with log.open("a") as out:
                out.write("fetched\\n")
            return pl.DataFrame({"rate": [1.5]})

        @product(owner="o")
        def once(): return pl.DataFrame({"x": [1]})

        sql_product("prices", "select rate * 2 as price from rates", owner="o", freshness=Freshness(by="07:00"))
        """,
        header=True,
    )
    days = [
        ("2011-12-02T08:00:00+00:00", "published", "published", 1),  # a Friday
        ("2011-12-02T20:00:00+00:00", "unchanged", "unchanged", 1),
        ("2011-12-03T00:10:00+00:00", "published", "unchanged", 2),  # for Monday's promise
        ("2011-12-04T12:00:00+00:00", "unchanged", "unchanged", 2),
        ("2011-12-05T08:00:00+00:00", "unchanged", "unchanged", 2),
        ("2011-12-06T06:00:00+00:00", "published", "unchanged", 3),
    ]
    for now, rates, prices, count in days:
        ran = place.run("materialize", "--now", now, "--json")
        results = {
            e["product"]: e["result"] for e in ran.events if e.get("result") and e.get("product")
        }
        assert results.get("sales.rates") == rates, (now, ran.out, ran.err)
        assert results.get("sales.prices") == prices, (now, results)
        assert (place.root / "fetched.txt").read_text().count("fetched") == count
    ran = place.run("plan", "--now", "2011-12-07T06:00:00+00:00")
    assert "a new window of 2011-12-07 00:00 UTC" in ran.out, ran.out
    ran = place.run("why", "rates", "--now", "2011-12-07T06:00:00+00:00")
    assert "a new window of 2011-12-07 00:00 UTC" in ran.out, ran.out
    assert "sales.once" not in place.run("plan", "--now", "2027-12-09T06:00:00+00:00").out


def test_a_fetcher_in_a_process_of_its_own_and_changes_with(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        @product(owner="o", freshness=Freshness(within="2h"), isolate=True)
        def rates(): return pl.DataFrame({"rate": [1.5]})

        @product(owner="o", freshness=Freshness(within="2h"), changes_with="day")
        def daily(): return pl.DataFrame({"x": [1]})
        """,
        header=True,
    )
    first = place.materialize("--now", "2011-12-02T08:30:00+00:00")
    assert first["sales.rates"]["result"] == "published", first
    second = place.materialize("--now", "2011-12-02T09:30:00+00:00")
    assert second["sales.rates"]["result"] == "published"
    assert second["sales.daily"]["result"] == "unchanged"
