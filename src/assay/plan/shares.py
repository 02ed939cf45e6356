"""Whether the share of promises that has to be kept in a quarter can still be met; pure."""

from datetime import datetime, timedelta
from functools import lru_cache
from math import ceil

from msgspec import Struct

from assay.plan.calendars import DaysUnknown
from assay.plan.outcomes import start_of_quarter
from assay.plan.window_text import share_of
from assay.plan.windows import Window

_LONGEST_QUARTER = timedelta(days=93)
_INSTANT = timedelta(microseconds=1)
_ROUNDING = 1e-9


class Tally(Struct, frozen=True, kw_only=True):
    """How many promises were kept, of how many that fell due in a period."""

    kept: int = 0
    promised: int = 0

    def __str__(self) -> str:
        return f"{self.kept} of {self.promised} kept this quarter"


def is_under(window: Window, tally: Tally, now: datetime) -> bool:
    """Return whether `at_least` cannot be met any more, whatever comes in the current quarter.

    What is not recorded of the quarter counts as kept. With `within`, nothing says how many
    promises are still to come: they are taken to be so many that one may be missed. While days of
    the calendar are not known, nothing is said.
    """
    if not window.freshness.at_least:
        return False
    share, missed = share_of(window.freshness.at_least), tally.promised - tally.kept
    if not _is_less(tally.promised, missed, share):
        return False  # also in most cases, so that no promises are looked for
    try:
        return _is_less(_in_quarter(window, tally.promised, now, share), missed, share)
    except DaysUnknown:
        return False


def _in_quarter(window: Window, promised: int, now: datetime, share: float) -> int:
    """Return how many promises fall due in the quarter."""
    if window.freshness.within:
        return max(promised, ceil(1 / (1 - share) - _ROUNDING) if share < 1 else 0)
    return max(promised, _falls_due(window, start_of_quarter(now)))


@lru_cache(1_000)
def _falls_due(window: Window, start: datetime) -> int:
    """Return how many promises fall due in a quarter; windows that are equal are one object."""
    end = start_of_quarter(start + _LONGEST_QUARTER)
    return len(window.between(start - _INSTANT, end - _INSTANT, None))


def _is_less(promised: int, missed: int, share: float) -> bool:
    """Return whether the share that is kept is less, if all others are kept."""
    return missed > 0 and (promised - missed) / promised < share - _ROUNDING
