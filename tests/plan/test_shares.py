"""Whether the share of promises that has to be kept can still be met, against counting them all."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from assay.model import Freshness, WorkCalendar
from assay.plan.shares import Tally, is_under
from assay.plan.windows import DueWindow, Promise, Window, window_of

START = datetime(2024, 1, 1, tzinfo=UTC)
QUARTER = [START + timedelta(days=day, hours=7) for day in range(91)]  # 2024 is a leap year


def daily(at_least: str) -> Window:
    return window_of(Freshness(by="07:00", at_least=at_least), {})


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=91), st.sampled_from([50, 90, 95, 99.5, 100]))
def test_it_is_under_when_keeping_all_others_is_not_enough(kept: list[bool], share: float) -> None:
    tally = Tally(kept=sum(kept), promised=len(kept))
    best = sum(kept) + len(QUARTER) - len(kept)
    for now in (START, QUARTER[len(kept) - 1], QUARTER[-1] + timedelta(hours=16)):
        assert is_under(daily(f"{share} %"), tally, now) == (best * 100 < share * len(QUARTER))


def test_the_promises_of_a_quarter_are_counted_once_for_all_of_a_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten thousand products that were late once cost no more than one."""
    window, counted = daily("97.5 %"), []
    between = DueWindow.between

    def counting(self: DueWindow, *given: object) -> list[Promise]:
        counted.append(given)
        return between(self, *given)

    monkeypatch.setattr(DueWindow, "between", counting)
    for kept in range(30):
        is_under(daily("97.5 %"), Tally(kept=kept, promised=31), QUARTER[40])
    assert daily("97.5 %") is window and len(counted) == 1


@pytest.mark.parametrize(
    ("at_least", "kept", "promised", "under"),
    [
        ("95 %", 18, 20, True),
        ("95 %", 19, 20, False),
        ("95 %", 2, 3, False),  # one of twenty may be missed
        ("95 %", 1, 3, True),
        ("100 %", 2, 3, True),
        ("100 %", 3, 3, False),
        ("", 0, 3, False),
    ],
)
def test_of_ages_nobody_knows_how_many_come(
    at_least: str, kept: int, promised: int, under: bool
) -> None:
    window = window_of(Freshness(within="36h", at_least=at_least), {})
    tally = Tally(kept=kept, promised=promised)
    assert is_under(window, tally, QUARTER[promised]) is under


def test_nothing_is_said_of_days_that_are_not_known() -> None:
    freshness = Freshness(by="07:00", on="SHOP", at_least="95 %")
    tally = Tally(kept=0, promised=9)
    known = WorkCalendar(name="SHOP")
    assert is_under(window_of(freshness, {"SHOP": known}), tally, QUARTER[11])
    ends = replace(known, last=date(2024, 2, 29))
    assert not is_under(window_of(freshness, {"SHOP": ends}), tally, QUARTER[11])
