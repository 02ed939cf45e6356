"""Periods, units, calendars and lengths of a record."""

from datetime import UTC, date, datetime, timedelta

import pytest

from assay.model import Freshness
from assay.plan.causes import Kind
from assay.plan.outcomes import PromiseOutcome
from assay.plan.promise_state import State
from assay.plan.record import Days, Happened, Period, calendar_lines, marks, unit_of

NOW = datetime(2011, 12, 9, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("period", "tz", "first", "last"),
    [
        (Period(), "UTC", date(2011, 11, 1), date(2011, 12, 9)),
        (Period(), "Asia/Tokyo", date(2011, 11, 1), date(2011, 12, 10)),
        (Period(date(2011, 12, 1), date(2012, 5, 1)), "UTC", date(2011, 12, 1), date(2011, 12, 9)),
        (Period(None, date(2011, 11, 3)), "UTC", date(2011, 11, 1), date(2011, 11, 3)),
    ],
)
def test_days_of_a_period(period: Period, tz: str, first: date, last: date) -> None:
    assert period.within(tz, NOW) == Days(first, last, tz)


def test_days_begin_and_end_by_the_clock_of_their_zone() -> None:
    """The clock goes back on 30 October 2011 in London: October has an hour more."""
    october = Days(date(2011, 10, 1), date(2011, 10, 31), "Europe/London")
    assert october.since == datetime(2011, 9, 30, 23, tzinfo=UTC)
    assert october.until == datetime(2011, 11, 1, tzinfo=UTC)
    assert october.until - october.since == timedelta(days=31, hours=1)


@pytest.mark.parametrize(
    ("freshness", "unit"),
    [
        (Freshness(by="07:00"), "days"),
        (Freshness(by="07:00", on="GB-ENG"), "working days"),
        (Freshness(by="07:00", on="Mon-Fri"), "working days"),
        (Freshness(by="07:00", on="Sat Sun"), "days"),
        (Freshness(by="07:00", on="working day 3 of GB-ENG"), "months"),
        (Freshness(by="07:00", on="last working day of GB-ENG"), "months"),
        (Freshness(every="*/15 * * * *", on="GB-ENG"), "promises"),
        (Freshness(within="36h"), "promises"),
    ],
)
def test_what_promises_are_counted_in(freshness: Freshness, unit: str) -> None:
    assert unit_of(freshness) == unit


def test_the_worst_of_a_day_is_marked_on_its_local_day() -> None:
    def came_out(moment: str, state: State) -> PromiseOutcome:
        due = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        return PromiseOutcome(name="d.p", due=due, state=state, basis={})

    outcomes = [
        came_out("2011-10-31T23:30", State.KEPT),  # 1 November in Berlin
        came_out("2011-11-01T12:00", State.LATE),
        came_out("2011-11-01T18:00", State.KEPT),
        came_out("2011-11-30T07:00", State.MISSED),
    ]
    open_due = datetime(2011, 12, 1, 7, tzinfo=UTC)
    worst = marks(outcomes, [open_due], "Europe/Berlin")
    assert worst == {
        date(2011, 11, 1): "late",
        date(2011, 11, 30): "missed",
        date(2011, 12, 1): "open",
    }
    days = Days(date(2011, 10, 30), date(2011, 12, 2), "Europe/Berlin")
    assert calendar_lines(days, worst) == [
        ("2011-10", " " * 29 + "··"),
        ("2011-11", "L" + "·" * 28 + "M"),
        ("2011-12", "?·"),
    ]


def test_only_the_time_within_the_period_counts() -> None:
    def on(day: int) -> datetime:
        return datetime(2011, 12, day, tzinfo=UTC)

    long = Happened(began=on(3), ended=on(20), kinds=frozenset({Kind.HELD_BACK}))
    assert long.within(on(5), on(9)) == timedelta(days=4)
    assert long.within(on(1), on(25)) == timedelta(days=17)
    assert long.within(on(21), on(25)) == timedelta()
    going_on = Happened(began=on(3), ended=None, kinds=frozenset({Kind.HELD_BACK}))
    assert going_on.within(on(1), on(9)) == timedelta(days=6)
