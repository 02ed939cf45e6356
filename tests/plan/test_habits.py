"""When drops usually come: counted from their due moments, of days that are alike, whatever came twice."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from math import inf

import pytest

from assay.facts import Arrival
from assay.model import Freshness
from assay.plan.habits import days_like, habit
from assay.plan.windows import window_of

DAY = timedelta(days=1)
FIRST = date(2011, 12, 1)  # a Thursday
NOW = datetime(2011, 12, 12, 9, tzinfo=UTC)
TODAY = NOW.date()
EVENING = Freshness(by="21:30", tz="Europe/London", on="Mon Tue Wed Thu Fri", covers="today")


def at(day: date, hour: float) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(hours=hour)


def arrival(day: date, hour: float, *, part: str | None = None) -> Arrival:
    moment = at(day, hour)
    return Arrival(source="s.raw", part=part or day.isoformat(), at=moment, seen=moment)


def offsets(
    arrivals: Sequence[Arrival], freshness: Freshness | None, day: date | None = TODAY
) -> list[float]:
    """Return the hours of a habit."""
    window = window_of(freshness, {}) if freshness else None
    found = habit(arrivals, window, day, tz="Europe/London", now=NOW)
    return [seconds / 3600 for seconds in found.offsets]


def test_drops_are_counted_from_when_they_are_due() -> None:
    arrivals = [arrival(FIRST, 20.5), arrival(FIRST + DAY, 22.0)]
    assert offsets(arrivals, EVENING) == [-1.0, 0.5]
    window = window_of(EVENING, {})
    assert habit(arrivals, window, NOW.date(), tz="Europe/London", now=NOW).since == at(
        NOW.date(), 21.5
    )


def test_without_a_window_they_are_counted_from_the_midnight_of_their_day() -> None:
    arrivals = [arrival(FIRST, 20.5), arrival(FIRST + DAY, 22.0), arrival(FIRST + 2 * DAY, 26.0)]
    assert offsets(arrivals, None) == [20.5, 22.0, 26.0]
    assert habit(arrivals, None, None, tz="UTC", now=NOW).since == at(NOW.date(), 0)
    came = habit([*arrivals, arrival(NOW.date(), 8)], None, None, tz="UTC", now=NOW)
    assert came.since == at(NOW.date() + DAY, 0), "that of today is there: the next is awaited"


def test_a_drop_of_a_promised_day_that_never_came() -> None:
    arrivals = [arrival(FIRST, 21.5), arrival(FIRST + 4 * DAY, 21.5)]
    assert offsets(arrivals, EVENING) == [0.0, inf, 0.0], "Friday was promised, the weekend was not"


def test_what_came_again_or_as_history_says_nothing() -> None:
    again = [arrival(FIRST, 20.5), arrival(FIRST + DAY, 12, part=FIRST.isoformat())]
    assert offsets(again, EVENING) == [-1.0]
    history = [
        Arrival(source="s.raw", part=str(FIRST + n * DAY), at=at(FIRST, 200), seen=at(FIRST, 200))
        for n in range(6)
    ]
    assert len(offsets(history, None)) == 1


def test_a_day_is_there_when_its_last_part_is() -> None:
    parts = [arrival(FIRST, hour, part=f"{town}/{FIRST}") for town, hour in (("a", 20), ("b", 21))]
    assert offsets(parts, EVENING) == [-0.5]


def test_what_is_of_no_day_is_counted_from_the_one_before() -> None:
    arrivals = [
        Arrival(source="s.raw", part="", at=at(FIRST, hour), seen=at(FIRST, hour))
        for hour in (1, 2, 4)
    ]
    assert offsets(arrivals, None) == [1.0, 2.0]
    assert habit(arrivals, None, None, tz="UTC", now=NOW).since == at(FIRST, 4)
    assert habit([], None, None, tz="UTC", now=NOW).offsets == ()


def test_a_source_whose_drops_were_never_seen_awaits_that_of_today() -> None:
    came = habit([], window_of(EVENING, {}), None, tz="Europe/London", now=NOW)
    assert (came.since, came.offsets) == (at(TODAY, 21.5), ())


@pytest.mark.parametrize(
    ("weekday", "expected"), [(6, {6}), (0, {0, 1, 2, 3, 4}), (5, {0, 1, 2, 3, 4})]
)
def test_days_of_another_kind_are_left_out(weekday: int, expected: set[int]) -> None:
    """On Sundays the drop comes hours earlier; nothing came on a Saturday yet."""
    monday = date(2011, 11, 7)
    days = [monday + n * DAY for n in range(35)]
    values = {d: 16.0 + d.day % 3 for d in days if d.weekday() < 5}
    values |= {d: 12.0 for d in days if d.weekday() == 6}
    day = monday + (35 + weekday) * DAY
    assert {d.weekday() for d in days_like(day, values)} == expected


def test_days_that_are_the_same_are_alike() -> None:
    values = {FIRST + n * DAY: 20.0 for n in range(30)}
    assert set(days_like(FIRST + 30 * DAY, values)) == set(values)
