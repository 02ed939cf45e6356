"""Working days: tables of what is open, and the same day by day."""

from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.model import WorkCalendar
from assay.plan.calendars import MONDAY_TO_FRIDAY, DayOfMonth, Days, DaysUnknown, EachDay
from assay.plan.window_text import On, covers_of, on_of, share_of, weekdays_of
from tests.conftest import effort

# The shop trades Sunday to Friday; it is closed for Christmas, and opens on one Saturday.
SHOP = WorkCalendar(
    name="SHOP",
    weekdays=(0, 1, 2, 3, 4, 6),
    closed=(date(2011, 12, 25), date(2011, 12, 26)),
    opened=(date(2011, 12, 17),),
    first=date(2010, 1, 1),
    last=date(2012, 12, 31),
)
quickly = settings(
    max_examples=effort(40, 200, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("day", "is_open", "previous", "next"),
    [
        (date(2011, 12, 9), True, date(2011, 12, 8), date(2011, 12, 11)),  # a Friday
        (date(2011, 12, 10), False, date(2011, 12, 9), date(2011, 12, 11)),  # a Saturday
        (date(2011, 12, 17), True, date(2011, 12, 16), date(2011, 12, 18)),  # an opened Saturday
        (date(2011, 12, 25), False, date(2011, 12, 23), date(2011, 12, 27)),  # a closed Sunday
        (date(2012, 1, 1), True, date(2011, 12, 30), date(2012, 1, 2)),  # over the end of a year
        (date(2012, 2, 29), True, date(2012, 2, 28), date(2012, 3, 1)),  # a leap day
    ],
)
def test_days_of_a_calendar(day: date, is_open: bool, previous: date, next: date) -> None:
    days = Days(SHOP)
    assert (days.is_open(day), days.previous(day), days.next(day)) == (is_open, previous, next)


def test_working_days_of_a_month() -> None:
    days = Days(SHOP)
    assert days.nth(2011, 12, 3) == date(2011, 12, 4)
    assert days.last(2011, 12) == date(2011, 12, 30)
    assert days.nth(2011, 12, 26) is None  # it has 25
    assert days.last(2012, 2) == date(2012, 2, 29)


@pytest.mark.parametrize(
    "ask",
    [
        lambda days: days.is_open(date(2013, 1, 1)),
        lambda days: days.next(date(2012, 12, 31)),
        lambda days: days.previous(date(2010, 1, 1)),
        lambda days: days.nth(2013, 1, 1),
        lambda days: days.last(2009, 12),
    ],
)
def test_a_calendar_that_ends_is_unknown(ask) -> None:
    with pytest.raises(DaysUnknown, match="SHOP is known from 2010-01-01 to 2012-12-31"):
        ask(Days(SHOP))


def test_the_first_and_the_last_day_that_can_be_written() -> None:
    days = Days(MONDAY_TO_FRIDAY)
    for ask in (lambda: days.next(date.max), lambda: days.previous(date.min)):
        with pytest.raises(DaysUnknown):
            ask()
    assert days.nth(9999, 12, 1) == date(9999, 12, 1)


def test_a_calendar_without_a_working_day_is_no_endless_search() -> None:
    with pytest.raises(DaysUnknown):
        Days(WorkCalendar(name="never", weekdays=())).next(date(2020, 1, 1))


calendars = st.builds(
    WorkCalendar,
    name=st.just("any"),
    weekdays=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    closed=st.sets(st.dates(date(2011, 11, 1), date(2012, 4, 1)), max_size=40).map(
        lambda days: tuple(sorted(days))
    ),
    opened=st.sets(st.dates(date(2011, 11, 1), date(2012, 4, 1)), max_size=5).map(
        lambda days: tuple(sorted(days))
    ),
)


@quickly
@given(calendars, st.dates(date(2011, 12, 1), date(2012, 3, 1)))
def test_before_after_and_in_a_month_agree_with_each_day(calendar, day) -> None:
    days = Days(calendar)
    nearby = [day + n * DAY for n in range(-200, 201)]
    opens = [other for other in nearby if days.is_open(other)]
    assert days.previous(day) == max(other for other in opens if other < day)
    assert days.next(day) == min(other for other in opens if other > day)
    of_month = [o for o in opens if (o.year, o.month) == (day.year, day.month)]
    assert days.in_month(day.year, day.month) == of_month
    assert days.last(day.year, day.month) == (of_month[-1] if of_month else None)
    numbered = [days.nth(day.year, day.month, n) for n in range(1, 32)]
    assert numbered == of_month + [None] * (31 - len(of_month))


@quickly
@given(calendars, st.dates(date(2012, 1, 1), date(2012, 2, 1)), st.integers(-1, 4))
def test_days_of_due_on_both_sides_of_a_day_agree(calendar, day, n) -> None:
    days = Days(calendar)
    due = EachDay(days) if n < 0 else DayOfMonth(days, n)
    is_due = lambda other: due.since(other) == other
    since, until = due.since(day), due.until(day)
    assert since and until and until <= day <= since
    assert is_due(since) and is_due(until) and due.until(since) == since
    inside = [until + k * DAY for k in range(1, (since - until).days)]
    assert not any(is_due(other) for other in inside)
    assert all(days.is_open(other) for other in due.counted(since))
    assert len(due.counted(since)) == max(n, 1)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("GB-ENG", On("GB-ENG")),
        ("", On("")),
        ("working day 3", On("", 3)),
        ("working day 3 of GB-ENG", On("GB-ENG", 3)),
        ("business day 10 of SHOP", On("SHOP", 10)),
        ("last working day of SHOP", On("SHOP", 0)),
        ("first working day", On("", 1)),
        ("last working  day", On("", 0)),
        ("Sun Mon Tue", On("Sun Mon Tue")),
    ],
)
def test_what_on_means(text: str, meaning: On) -> None:
    assert on_of(text) == meaning


def test_a_working_day_that_no_month_has() -> None:
    for text in ("working day 0", "working day 32 of SHOP"):
        with pytest.raises(ValueError, match="no month has a working day"):
            on_of(text)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("Sun Mon Tue Wed Thu Fri", (0, 1, 2, 3, 4, 6)),
        ("Mon-Fri", (0, 1, 2, 3, 4)),
        ("sun-thu", (0, 1, 2, 3, 6)),
        ("Saturday, Wednesday", (2, 5)),
        ("fri-mon", (0, 4, 5, 6)),
    ],
)
def test_weekdays(text: str, days: tuple[int, ...]) -> None:
    assert weekdays_of(text) == days


@pytest.mark.parametrize("text", ["", "Mo", "Mon Xyz", "GB-ENG", "Mon-", "1111100"])
def test_what_is_no_weekday(text: str) -> None:
    with pytest.raises(ValueError):
        weekdays_of(text)


def test_what_covers_means() -> None:
    assert covers_of("yesterday") == "previous day"
    assert covers_of("the previous business day") == "previous working day"
    assert covers_of("Previous  Month") == "previous month"
    assert covers_of("") == ""
    with pytest.raises(ValueError, match="'last month' is no period"):
        covers_of("last month")


def test_shares() -> None:
    assert share_of("95 %") == 0.95
    assert share_of("99.5%") == 0.995
    for text in ("95", "0 %", "101 %", "x %", ""):
        with pytest.raises(ValueError):
            share_of(text)
