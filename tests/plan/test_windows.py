"""When promises fall due and what they have to reach: tables, and the same minute by minute."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from assay.jsonform import canonical
from assay.model import Freshness, WorkCalendar
from assay.plan.calendars import DaysUnknown
from assay.plan.due_times import wrong_cron
from assay.plan.windows import Promise, window_of
from assay.times import local, utc_of
from tests.conftest import effort

quickly = settings(
    max_examples=effort(40, 200, 200),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LONDON = "Europe/London"
ENGLAND = WorkCalendar(
    name="GB-ENG",
    closed=(date(2011, 12, 26), date(2011, 12, 27), date(2012, 1, 2)),
    first=date(2011, 1, 1),
    last=date(2012, 12, 31),
    origin="holidays 0.109",
)
SHOP = WorkCalendar(name="SHOP", weekdays=(0, 1, 2, 3, 4, 6), closed=(date(2011, 12, 25),))
DUBAI = WorkCalendar(name="AE", weekdays=(0, 1, 2, 3, 6))  # Friday and Saturday are the weekend
CALENDARS = {calendar.name: calendar for calendar in (ENGLAND, SHOP, DUBAI)}


def window(**promise):
    return window_of(Freshness(**promise), CALENDARS)


def at(text: str, tz: str = LONDON) -> datetime:
    return utc_of(datetime.fromisoformat(text), tz)


def in_words(promise: Promise | None, tz: str = LONDON) -> str:
    if promise is None:
        return "none"
    reach = promise.reach
    until = reach if not isinstance(reach, datetime) else f"{local(reach, tz):%Y-%m-%dT%H:%M}"
    return f"{local(promise.due, tz):%a %Y-%m-%d %H:%M} reach {until}"


@pytest.mark.parametrize(
    ("promise", "now", "last", "next"),
    [
        (  # every day, the day before
            {"by": "07:00"},
            "2011-12-09T06:08",
            "Thu 2011-12-08 07:00 reach 2011-12-07",
            "Fri 2011-12-09 07:00 reach 2011-12-08",
        ),
        (  # the very moment: it is due
            {"by": "07:00"},
            "2011-12-09T07:00",
            "Fri 2011-12-09 07:00 reach 2011-12-08",
            "Sat 2011-12-10 07:00 reach 2011-12-09",
        ),
        (  # over a weekend
            {"by": "07:00", "on": "GB-ENG"},
            "2011-12-10T12:00",
            "Fri 2011-12-09 07:00 reach 2011-12-08",
            "Mon 2011-12-12 07:00 reach 2011-12-09",
        ),
        (  # over Christmas
            {"by": "07:00", "on": "GB-ENG", "covers": "previous working day"},
            "2011-12-25T12:00",
            "Fri 2011-12-23 07:00 reach 2011-12-22",
            "Wed 2011-12-28 07:00 reach 2011-12-23",
        ),
        (  # over the end of a year
            {"by": "07:00", "on": "GB-ENG"},
            "2012-01-01T12:00",
            "Fri 2011-12-30 07:00 reach 2011-12-29",
            "Tue 2012-01-03 07:00 reach 2011-12-30",
        ),
        (  # the day before a Monday is a Sunday
            {"by": "07:00", "on": "GB-ENG", "covers": "previous day"},
            "2011-12-10T12:00",
            "Fri 2011-12-09 07:00 reach 2011-12-08",
            "Mon 2011-12-12 07:00 reach 2011-12-11",
        ),
        (  # the shop trades on Sundays
            {"by": "07:00", "on": "GB-ENG", "covers": "previous trading day", "trading": "SHOP"},
            "2011-12-10T12:00",
            "Fri 2011-12-09 07:00 reach 2011-12-08",
            "Mon 2011-12-12 07:00 reach 2011-12-11",
        ),
        (  # the drop of the day
            {"by": "21:30", "on": "SHOP", "covers": "today"},
            "2011-12-09T22:00",
            "Fri 2011-12-09 21:30 reach 2011-12-09",
            "Sun 2011-12-11 21:30 reach 2011-12-11",
        ),
        (  # the third working day, the month before
            {"by": "08:00", "on": "working day 3 of GB-ENG", "covers": "previous month"},
            "2011-12-20T12:00",
            "Mon 2011-12-05 08:00 reach 2011-11-30",
            "Thu 2012-01-05 08:00 reach 2011-12-30",
        ),
        (
            {"by": "18:00", "on": "last working day of GB-ENG", "covers": "today"},
            "2011-12-30T18:00",
            "Fri 2011-12-30 18:00 reach 2011-12-30",
            "Tue 2012-01-31 18:00 reach 2012-01-31",
        ),
        (  # Monday to Friday
            {"by": "08:00", "on": "working day 1"},
            "2012-01-01T00:00",
            "Thu 2011-12-01 08:00 reach 2011-11-30",
            "Mon 2012-01-02 08:00 reach 2011-12-30",
        ),
        (
            {"by": "09:00", "on": "GB-ENG", "covers": "previous week"},
            "2011-12-14T12:00",
            "Wed 2011-12-14 09:00 reach 2011-12-09",
            "Thu 2011-12-15 09:00 reach 2011-12-09",
        ),
        (
            {"by": "09:00", "covers": "previous week"},
            "2011-12-14T12:00",
            "Wed 2011-12-14 09:00 reach 2011-12-11",
            "Thu 2011-12-15 09:00 reach 2011-12-11",
        ),
        (
            {"by": "09:00", "covers": "previous quarter"},
            "2012-01-01T12:00",
            "Sun 2012-01-01 09:00 reach 2011-12-31",
            "Mon 2012-01-02 09:00 reach 2011-12-31",
        ),
        (
            {"by": "09:00", "covers": "previous year"},
            "2012-02-29T12:00",
            "Wed 2012-02-29 09:00 reach 2011-12-31",
            "Thu 2012-03-01 09:00 reach 2011-12-31",
        ),
        (  # another weekend
            {"by": "09:00", "on": "AE"},
            "2011-12-08T12:00",
            "Thu 2011-12-08 09:00 reach 2011-12-07",
            "Sun 2011-12-11 09:00 reach 2011-12-08",
        ),
        (
            {"by": "09:00", "on": "Sun Mon Tue Wed Thu"},
            "2011-12-08T12:00",
            "Thu 2011-12-08 09:00 reach 2011-12-07",
            "Sun 2011-12-11 09:00 reach 2011-12-08",
        ),
        (  # newer than the time before
            {"every": "0 7 * * 1-5"},
            "2011-12-10T12:00",
            "Fri 2011-12-09 07:00 reach 2011-12-08T07:00",
            "Mon 2011-12-12 07:00 reach 2011-12-09T07:00",
        ),
        (  # no time on a day off
            {"every": "0 7 * * *", "on": "GB-ENG"},
            "2011-12-25T12:00",
            "Fri 2011-12-23 07:00 reach 2011-12-22T07:00",
            "Wed 2011-12-28 07:00 reach 2011-12-23T07:00",
        ),
        (
            {"every": "*/15 8-17 * * *", "on": "GB-ENG", "covers": "previous working day"},
            "2011-12-09T17:50",
            "Fri 2011-12-09 17:45 reach 2011-12-08",
            "Mon 2011-12-12 08:00 reach 2011-12-09",
        ),
        (
            {"every": "0 6 29 2 *", "covers": "today"},
            "2012-03-01T00:00",
            "Wed 2012-02-29 06:00 reach 2012-02-29",
            "Mon 2016-02-29 06:00 reach 2016-02-29",
        ),
    ],
)
def test_promises(promise, now: str, last: str, next: str) -> None:
    made = window(tz=LONDON, **promise)
    assert in_words(made.last(at(now), None)) == last
    assert in_words(made.next(at(now), None)) == next


@pytest.mark.parametrize(
    ("promise", "start", "dues"),
    [
        # 2012-03-25: at 01:00 clocks go to 02:00. The first moment after the gap is 01:00 UTC.
        ({"by": "01:30"}, "2012-03-24T00:00", ["24T01:30", "25T01:00", "26T00:30"]),
        ({"every": "30 1 * * *"}, "2012-03-24T00:00", ["24T01:30", "25T01:00", "26T00:30"]),
        ({"every": "0 * * * *"}, "2012-03-25T00:30", ["25T01:00", "25T02:00", "25T03:00"]),
        # 2012-10-28: at 02:00 clocks go back to 01:00. 01:30 comes twice; the first one counts.
        ({"by": "01:30"}, "2012-10-27T12:00", ["28T00:30", "29T01:30", "30T01:30"]),
        ({"every": "30 1 * * *"}, "2012-10-27T12:00", ["28T00:30", "29T01:30", "30T01:30"]),
        ({"every": "*/30 * * * *"}, "2012-10-28T00:45", ["28T00:00", "28T00:30", "28T01:00"]),
        # In the hour that comes twice, the time that has been is not due again.
        ({"by": "01:30"}, "2012-10-28T01:15+00:00", ["29T01:30", "30T01:30", "31T01:30"]),
        ({"every": "30 1 * * *"}, "2012-10-28T01:15+00:00", ["29T01:30", "30T01:30", "31T01:30"]),
    ],
)
def test_clock_changes(promise, start: str, dues: list[str]) -> None:
    made = window(tz=LONDON, **promise)
    now, seen = at(start), []
    for _ in dues:
        due = made.next(now, None).due
        assert made.last(due, None).due == due
        assert made.last(due - timedelta(seconds=1), None).due <= now
        seen.append(f"{due:%dT%H:%M}")
        now = due
    assert seen == dues


def test_a_day_that_was_left_out() -> None:
    # Samoa went over the date line: it had no 2011-12-30.
    samoa = window(by="07:00", tz="Pacific/Apia")
    dues = samoa.between(at("2011-12-29T00:00", samoa.tz), at("2012-01-01T00:00", samoa.tz), None)
    assert [in_words(due, samoa.tz) for due in dues] == [
        "Thu 2011-12-29 07:00 reach 2011-12-28",
        "Sat 2011-12-31 00:00 reach 2011-12-29",
        "Sat 2011-12-31 07:00 reach 2011-12-30",
    ]


@pytest.mark.parametrize(
    ("promise", "as_of", "due"),
    [
        ({"within": "36h"}, "2011-12-09T18:00", "Sun 2011-12-11 06:00"),
        ({"within": "2 days"}, "2012-03-24T12:00", "Mon 2012-03-26 13:00"),  # 48 real hours
        # Friday 18:00: 6 hours of Friday, none of the weekend, 24 of Monday, 6 of Tuesday.
        ({"within": "36h", "on": "GB-ENG"}, "2011-12-09T18:00", "Tue 2011-12-13 06:00"),
        ({"within": "1h", "on": "GB-ENG"}, "2011-12-10T18:00", "Mon 2011-12-12 01:00"),
        ({"within": "6h", "on": "GB-ENG"}, "2011-12-09T18:00", "Sat 2011-12-10 00:00"),
    ],
)
def test_the_age_of_data(promise, as_of: str, due: str) -> None:
    made = window(tz=LONDON, **promise)
    moment = at(as_of)
    promised = made.next(moment, moment)
    assert f"{local(promised.due, LONDON):%a %Y-%m-%d %H:%M}" == due
    assert made.last(moment, moment) is None
    assert made.last(promised.due, moment) == promised
    assert made.next(promised.due, moment) is None
    assert made.between(moment, promised.due, moment) == [promised]
    assert made.between(promised.due, promised.due, moment) == []
    assert not made.reached(promised, moment)
    assert made.reached(promised, moment + timedelta(seconds=1))
    assert made.opens(promised) == moment


def test_no_data_has_no_age() -> None:
    made = window(within="36h")
    now = datetime(2011, 12, 9, tzinfo=UTC)
    assert made.next(now, None) is made.last(now, None) is None
    assert made.between(now, now + timedelta(days=9), None) == []


def test_what_reaches_a_day() -> None:
    made = window(by="07:00", tz=LONDON, on="GB-ENG")
    promise = made.last(at("2012-06-07T07:00"), None)
    assert promise.reach == date(2012, 6, 6)
    assert not made.reached(promise, None)
    assert not made.reached(promise, datetime(2012, 6, 5, 23, 59))
    assert made.reached(promise, datetime(2012, 6, 6))  # without a zone: local
    assert not made.reached(promise, datetime(2012, 6, 5, 22, 59, tzinfo=UTC))
    assert made.reached(promise, datetime(2012, 6, 5, 23, 0, tzinfo=UTC))  # midnight of London


@pytest.mark.parametrize(
    ("promise", "now", "opens"),
    [
        ({"by": "07:00", "on": "GB-ENG"}, "2011-12-10T12:00", "2011-12-10T00:00"),
        ({"by": "21:30", "covers": "today"}, "2011-12-10T12:00", "2011-12-10T00:00"),
        ({"by": "07:00", "covers": "previous month"}, "2011-12-10T12:00", "2011-12-01T00:00"),
        ({"every": "0 * * * *"}, "2011-12-10T12:30", "2011-12-10T12:00"),
    ],
)
def test_when_data_for_a_promise_can_exist(promise, now: str, opens: str) -> None:
    made = window(tz=LONDON, **promise)
    assert made.opens(made.next(at(now), None)) == at(opens)


def test_what_a_promise_follows_from_is_recorded() -> None:
    made = window(by="07:00", tz=LONDON, on="GB-ENG", covers="previous working day")
    basis = made.basis(made.next(at("2011-12-25T12:00"), None))
    assert basis == {
        "promise": "by 07:00 Europe/London on GB-ENG, covering the previous working day",
        "reach": "2011-12-23",
        "days": ["2011-12-23", "2011-12-28"],
        "off": ["2011-12-24", "2011-12-25", "2011-12-26", "2011-12-27"],
        "calendar": "GB-ENG",
        "origin": "holidays 0.109",
    }
    monthly = window(by="08:00", on="working day 3 of GB-ENG", covers="previous month")
    promise = monthly.next(at("2011-12-20T12:00"), None)
    assert [day.isoformat() for day in promise.days] == [
        "2011-12-30",
        "2012-01-03",
        "2012-01-04",
        "2012-01-05",
    ]
    assert canonical(dict(monthly.basis(promise)))


def test_a_calendar_that_ends_is_unknown() -> None:
    made = window(by="07:00", tz=LONDON, on="GB-ENG")
    assert in_words(made.last(at("2012-12-31T12:00"), None)).startswith("Mon 2012-12-31")
    with pytest.raises(DaysUnknown):
        made.next(at("2012-12-31T12:00"), None)
    with pytest.raises(DaysUnknown):
        window(every="0 7 * * *", on="GB-ENG").next(at("2012-12-31T12:00"), None)
    with pytest.raises(DaysUnknown):
        window(within="36h", on="GB-ENG").next(at("2013-01-05T00:00"), at("2013-01-04T00:00"))


def test_times_that_never_come_on_a_day_of_the_calendar() -> None:
    made = window(every="0 7 * * 6", on="Mon-Fri")
    assert made.next(at("2011-12-31T12:00"), None) is None
    assert made.last(at("2011-12-31T12:00"), None) is None


def test_equal_promises_are_one_window() -> None:
    assert window(by="07:00", on="SHOP") is window(by="07:00", on="SHOP")
    assert window(by="07:00", on="SHOP") is not window(by="07:00", on="GB-ENG")


@pytest.mark.parametrize(
    "promise",
    [{"on": "FR-XX"}, {"trading": "nosuch"}, {"on": "working day 40"}, {"covers": "last day"}],
)
def test_texts_without_a_meaning(promise) -> None:
    with pytest.raises(ValueError):
        window(by="07:00", **promise)


def test_wrong_cron_expressions() -> None:
    assert wrong_cron("0 7 * * 1-5") == ""
    assert wrong_cron("61 7 * * *") == "Bad minute"
    assert "five fields" in wrong_cron("0 7 * *")
    assert "five fields" in wrong_cron("* * * * * *")


ZONES = ["UTC", LONDON, "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Gaza"]
moments = st.integers(0, 7 * 365 * 86_400).map(
    lambda seconds: datetime(2005, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


@quickly
@given(st.sampled_from(ZONES), moments)
@example("America/St_Johns", datetime(2009, 11, 1, 3, 0, tzinfo=UTC))
def test_a_local_time_is_the_first_moment_that_is_not_before_it(zone: str, moment) -> None:
    naive = local(moment, zone)
    utc = utc_of(naive, zone)
    assert utc <= moment  # the first of two
    assert local(utc, zone) == naive
    before = local(utc - timedelta(seconds=1), zone)
    assert before < naive


@quickly
@given(st.sampled_from(ZONES), st.dates(date(2005, 1, 1), date(2012, 12, 1)), st.times())
@example("America/St_Johns", date(2009, 3, 8), time(0, 30))
def test_a_time_that_does_not_exist_is_the_end_of_the_gap(zone: str, day: date, clock) -> None:
    naive = datetime.combine(day, clock.replace(microsecond=0))
    utc = utc_of(naive, zone)
    assert local(utc, zone) >= naive
    assert local(utc - timedelta(seconds=1), zone) < naive


crons = st.sampled_from(
    ["0 7 * * *", "30 1 * * *", "0,30 0-3 * * *", "*/20 * * * *", "5 */6 * * 1-5", "0 0 1 * *",
     "1 0 * * *", "30 23 * * 6,0", "15 2 L * *"]
)  # fmt: skip
promises = st.one_of(
    st.builds(
        Freshness,
        by=st.sampled_from(["00:00", "00:10", "01:30", "02:30", "07:00", "23:30"]),
        tz=st.sampled_from(ZONES),
        on=st.sampled_from(
            ["", "SHOP", "AE", "Mon-Fri", "working day 3", "last working day of AE"]
        ),
        covers=st.sampled_from(["", "today", "previous day", "previous month", "previous week"]),
    ),
    st.builds(
        Freshness, every=crons, tz=st.sampled_from(ZONES), on=st.sampled_from(["", "SHOP", "AE"])
    ),
)


@quickly
@given(promises, moments)
@example(Freshness(by="00:00", tz="America/St_Johns"), datetime(2009, 11, 1, 3, 0, tzinfo=UTC))
@example(Freshness(every="30 1 * * *", tz=LONDON), datetime(2012, 10, 28, 1, 15, tzinfo=UTC))
@example(Freshness(every="30 1 * * *", tz=LONDON), datetime(2012, 3, 25, 1, 15, tzinfo=UTC))
def test_before_after_and_between_agree(promise: Freshness, now: datetime) -> None:
    made = window_of(promise, CALENDARS)
    last, next = made.last(now, None), made.next(now, None)
    assert last and next and last.due <= now < next.due
    assert made.last(last.due, None) == last and made.last(next.due, None) == next
    assert made.next(last.due, None) == next
    assert made.between(last.due, next.due, None) == [next]
    assert made.between(last.due, next.due - timedelta(seconds=1), None) == []
    assert made.opens(next) <= next.due and made.opens(last) <= made.opens(next)
    for due in (last, next):
        assert made.reached(due, due.due) and not made.reached(due, None)
        zone = ZoneInfo(promise.tz)
        days = {due.due.astimezone(zone).date(), *due.days}
        assert any(calendar_is_open(promise, day) for day in days)


def calendar_is_open(promise: Freshness, day: date) -> bool:
    name = promise.on.rpartition(" of ")[2]
    calendar = CALENDARS.get(name)
    return calendar is None or (day.weekday() in calendar.weekdays and day not in calendar.closed)


@quickly
@given(
    st.sampled_from(ZONES), st.integers(0, 23), st.sampled_from([0, 10, 30]), st.booleans(), moments
)
def test_due_day_by_day(zone: str, hour: int, minute: int, weekdays: bool, now: datetime) -> None:
    made = window(by=f"{hour:02}:{minute:02}", tz=zone, on="Mon-Fri" if weekdays else "")
    end = now + timedelta(days=20)
    days = [now.date() + timedelta(days=n) for n in range(-2, 24)]
    dues = [
        utc_of(datetime.combine(day, time(hour, minute)), zone)
        for day in days
        if day.weekday() < 5 or not weekdays
    ]
    expected = [due for due in dues if now < due <= end]
    assert [promise.due for promise in made.between(now, end, None)] == expected
