"""Budgets of products: how often in a period a promise may be missed, or data be held back."""

import re
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from msgspec import Struct

from assay.times import local, start_of_period, utc_of

_LENGTHS = {"week": 7, "month": 31, "quarter": 92, "year": 366}  # days, of the longest
_GRAMMAR = (
    r"(?P<most>\d{1,4}) (?:(?P<missed>miss|misses|missed)|(?P<late>late)|(?P<held>held back))"
    rf" (?:a|an|per|each|every) (?P<per>{'|'.join(_LENGTHS)})"
)
MAY_BE_WRITTEN = (
    'Write "1 miss a month": a number from 1 on; "miss", "late" (late or missed) or "held back";'
    ' and "a week", "a month", "a quarter" or "a year".'
)


class Counted(StrEnum):
    """What a budget counts."""

    MISSED = "missed"  # promises that came out as missed
    LATE = "late"  # promises that came out as late or missed
    HELD_BACK = "held back"  # times that it was held back, or parts of it were


_NOUNS = {Counted.MISSED: "misses", Counted.LATE: "late", Counted.HELD_BACK: "held back"}


class Budget(Struct, frozen=True, kw_only=True):
    """At most so many of something in each calendar week, month, quarter or year.

    - `per`: the period: "week" (from Monday on), "month", "quarter" or "year".
    """

    most: int
    counted: Counted
    per: str

    def __str__(self) -> str:
        is_one_miss = self.counted is Counted.MISSED and self.most == 1
        noun = "miss" if is_one_miss else _NOUNS[self.counted]
        return f"{self.most} {noun} a {self.per}"

    def is_spent(self, used: int) -> bool:
        """Return whether nothing of it is left."""
        return used >= self.most

    def in_words(self, used: int) -> str:
        """Return how much of it is used: "2 of 1 misses this month"."""
        return f"{used} of {self.most} {_NOUNS[self.counted]} this {self.per}"

    def period(self, now: datetime, tz: str) -> tuple[datetime, datetime]:
        """Return when the current period began and when it ends, by the clock of a time zone."""
        first = start_of_period(self.per, local(now, tz).date())
        after = start_of_period(self.per, first + timedelta(days=_LENGTHS[self.per]))
        return midnight(first, tz), midnight(after, tz)


def budget_of(text: str) -> Budget:
    """Return the budget that a text means; ValueError for a text without a meaning."""
    match = re.fullmatch(_GRAMMAR, " ".join(text.lower().split()))
    if not match:
        raise ValueError(f"{text[:80]!r} is no budget")
    if int(match["most"]) == 0:
        raise ValueError(f"{text[:80]!r} allows none, so it would always be spent")
    counted = Counted.MISSED if match["missed"] else Counted.LATE
    counted = Counted.HELD_BACK if match["held"] else counted
    return Budget(most=int(match["most"]), counted=counted, per=match["per"])


def midnight(day: date, tz: str) -> datetime:
    """Return the moment (UTC) at which a day begins in a time zone."""
    return utc_of(datetime.combine(day, time()), tz)
