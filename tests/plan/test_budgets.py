"""What texts of budgets mean, when their periods begin, and when they are spent."""

from datetime import UTC, datetime

import pytest

from assay.budgets import Counted, budget_of


@pytest.mark.parametrize(
    ("text", "most", "counted", "per"),
    [
        ("1 miss a month", 1, Counted.MISSED, "month"),
        ("3 misses per week", 3, Counted.MISSED, "week"),
        ("2 Missed each  year", 2, Counted.MISSED, "year"),
        ("4 late every quarter", 4, Counted.LATE, "quarter"),
        ("2 held back a quarter", 2, Counted.HELD_BACK, "quarter"),
    ],
)
def test_what_texts_mean(text: str, most: int, counted: Counted, per: str) -> None:
    budget = budget_of(text)
    assert (budget.most, budget.counted, budget.per) == (most, counted, per)
    assert budget_of(str(budget)) == budget


@pytest.mark.parametrize(
    "text", ["", "0 misses a month", "a miss a month", "1 miss", "1 miss a day", "-1 late a week"]
)
def test_other_texts_mean_nothing(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget|always be spent"):
        budget_of(text)


@pytest.mark.parametrize(
    ("text", "tz", "now", "since", "until"),
    [
        # The clock of London goes back on 2011-10-30: the month ends an hour later by UTC.
        ("1 miss a month", "Europe/London", "2011-10-31T23:30", "2011-09-30T23:00", "2011-11-01"),
        ("1 miss a month", "Europe/London", "2011-11-01T00:00", "2011-11-01", "2011-12-01"),
        ("1 miss a week", "UTC", "2011-12-11T23:59", "2011-12-05", "2011-12-12"),
        (
            "1 late a quarter",
            "Asia/Tokyo",
            "2011-12-31T15:00",
            "2011-12-31T15:00",
            "2012-03-31T15:00",
        ),
        ("1 late a year", "UTC", "2012-02-29T00:00", "2012-01-01", "2013-01-01"),
    ],
)
def test_periods_are_those_of_the_time_zone(
    text: str, tz: str, now: str, since: str, until: str
) -> None:
    moments = [datetime.fromisoformat(at).replace(tzinfo=UTC) for at in (now, since, until)]
    assert budget_of(text).period(moments[0], tz) == (moments[1], moments[2])


def test_it_is_spent_when_nothing_is_left() -> None:
    budget = budget_of("2 misses a month")
    assert [budget.is_spent(used) for used in range(4)] == [False, False, True, True]
    assert budget_of("1 miss a month").in_words(2) == "2 of 1 misses this month"
    assert budget_of("2 held back a quarter").in_words(0) == "0 of 2 held back this quarter"
