"""How promises came out, as a table over a history; asked once or every hour, it is the same."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pytest

from assay.model import Freshness, WorkCalendar
from assay.plan.outcomes import PromiseOutcome, Reach, came_out
from assay.plan.windows import Window, window_of
from tests.plan.test_standing import BY_SEVEN, at

SINCE = at("5 12:00")  # a Monday
SHOP = WorkCalendar(name="SHOP", first=date(2011, 12, 1), last=date(2011, 12, 8))


def reached(*history: tuple[str, str]) -> list[Reach]:
    return [Reach(at(moment), at(as_of).replace(tzinfo=None)) for moment, as_of in history]


def asked(window: Window, history: Sequence[Reach], *moments: datetime) -> list[PromiseOutcome]:
    """Return what is recorded by runs at these moments, each of which knows what was until then."""
    recorded: list[PromiseOutcome] = []
    for now in moments:
        since = recorded[-1].due if recorded else SINCE
        known = [reach for reach in history if reach.at <= now]
        recorded += [outcome for _, outcome in came_out("p", window, known, since, now)]
    return recorded


def short(outcomes: Sequence[PromiseOutcome]) -> list[tuple[str, str, str]]:
    return [
        (f"{o.due:%d %H:%M}", str(o.state), f"{o.came:%d %H:%M}" if o.came else "")
        for o in outcomes
    ]


CASES = {
    "kept, late, late by a day, kept": (
        BY_SEVEN,
        reached(("5 06:00", "5"), ("7 09:45", "6"), ("9 06:59", "8")),
        [
            ("06 07:00", "kept", ""),
            ("07 07:00", "late", "07 09:45"),
            ("08 07:00", "late", "09 06:59"),
            ("09 07:00", "kept", ""),
        ],
    ),
    "the last may still come": (BY_SEVEN, reached(("5 06:00", "7")), [
        ("06 07:00", "kept", ""), ("07 07:00", "kept", ""), ("08 07:00", "kept", ""),
    ]),
    "nothing ever": (BY_SEVEN, [], [
        ("06 07:00", "missed", ""), ("07 07:00", "missed", ""), ("08 07:00", "missed", ""),
    ]),
    "an earlier version is put back": (
        BY_SEVEN,
        reached(("5 06:00", "8"), ("6 08:00", "5")),
        [("06 07:00", "kept", ""), ("07 07:00", "missed", ""), ("08 07:00", "missed", "")],
    ),
    "the calendar ends": (
        Freshness(by="07:00", on="SHOP", covers="today"),
        reached(("5 06:00", "6")),
        [("06 07:00", "kept", ""), ("07 07:00", "missed", "")],
    ),
    "ages": (
        Freshness(within="24h"),
        reached(("5 13:00", "5 13:00"), ("6 12:00", "6 12:00"), ("7 18:00", "7 17:00")),
        [("06 13:00", "kept", ""), ("07 12:00", "late", "07 18:00"), ("08 17:00", "missed", "")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_table(case: str) -> None:
    freshness, history, expected = CASES[case]
    window = window_of(freshness, {"SHOP": SHOP})
    end = at("9 20:00")
    once = asked(window, history, end)
    assert short(once) == expected
    hours = int((end - SINCE) / timedelta(hours=1))
    hourly = [SINCE + n * timedelta(hours=1) for n in range(hours + 1)]
    assert asked(window, history, *hourly) == once
    assert asked(window, history, *hourly[::31], end) == once


def test_what_is_recorded_with_it() -> None:
    [first, second, *_] = asked(window_of(BY_SEVEN, {}), CASES["nothing ever"][1], at("8 12:00"))
    assert first.basis["reach"] == "2011-12-05"
    assert (second.as_of, second.cause) == (None, "")
