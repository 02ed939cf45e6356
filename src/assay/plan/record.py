"""What the record of a product is counted from: its period, its due moments, and how it compares."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property

from msgspec import Struct

from assay.budgets import midnight
from assay.model import Freshness
from assay.plan.calendars import DaysUnknown
from assay.plan.causes import Kind
from assay.plan.outcomes import PromiseOutcome
from assay.plan.promise_state import State
from assay.plan.window_text import is_weekmask, on_of, weekdays_of
from assay.plan.windows import Window
from assay.times import local, start_of_period

_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)
_WORKING_WEEK = (0, 1, 2, 3, 4)
# The worst of several promises of a day comes first.
MARKS: Mapping[str, str] = {"missed": "M", "late": "L", "open": "?", "kept": "✓"}
NOTHING_DUE = "·"


class Period(Struct, frozen=True):
    """Days, from the first to the last, by the clock of each product's time zone.

    None stands for the first of the month before, and for today.
    """

    first: date | None = None
    last: date | None = None

    def within(self, tz: str, now: datetime) -> "Days":
        """Return the days in a time zone, at most until today."""
        today = local(now, tz).date()
        before = start_of_period("month", start_of_period("month", today) - _DAY)
        return Days(self.first or before, min(self.last or today, today), tz)


class Days(Struct, frozen=True, dict=True):
    """The days of a period in a time zone; there are none if the last is before the first."""

    first: date
    last: date
    tz: str

    @cached_property
    def since(self) -> datetime:
        """When the first day begins, in UTC."""
        return midnight(self.first, self.tz)

    @cached_property
    def until(self) -> datetime:
        """When the last day is over, in UTC."""
        return midnight(self.last + _DAY, self.tz)


class PromiseCounts(Struct, frozen=True, kw_only=True):
    """How the promises of a product came out that fell due in a period; `first` fell due first."""

    kept: int = 0
    late: int = 0
    missed: int = 0
    first: datetime | None = None

    @property
    def recorded(self) -> int:
        """How many came out."""
        return self.kept + self.late + self.missed


class CheckCounts(Struct, frozen=True, kw_only=True):
    """The runs that built a product and checked it, and those whose first check failed."""

    runs: int = 0
    failed: int = 0


class Happened(Struct, frozen=True, kw_only=True):
    """What people were told about a product, from when it began until it ended (None: it goes on).

    - `kinds`: everything that it was: held back, late, …
    - `rules`: the rules that held it back.
    """

    began: datetime
    ended: datetime | None
    kinds: frozenset[Kind]
    rules: tuple[str, ...] = ()

    def within(self, since: datetime, until: datetime) -> timedelta:
        """Return how long it went on in a period."""
        end = min(self.ended or until, until)
        return max(end - max(self.began, since), timedelta())


def unit_of(freshness: Freshness) -> str:
    """Return what the promises are counted in: "working days", "days", "months" or "promises"."""
    on = on_of(freshness.on)
    if not freshness.by:
        return "promises"
    if on.n is not None:
        return "months"
    if not on.calendar:
        return "days"
    is_other_week = is_weekmask(on.calendar) and weekdays_of(on.calendar) != _WORKING_WEEK
    return "days" if is_other_week else "working days"


def falls_due(window: Window, since: datetime, until: datetime) -> list[datetime]:
    """Return when promises fell due, from `since` and before `until`, in order.

    With `within`, what falls due depends on the data: none are returned.
    """
    if window.freshness.within:
        return []
    try:
        return [p.due for p in window.between(since - _INSTANT, until - _INSTANT, None)]
    except DaysUnknown:
        return []


def marks(
    outcomes: Iterable[PromiseOutcome], open_dues: Iterable[datetime], tz: str
) -> Mapping[date, str]:
    """Return the worst state of the promises of each local day on which any fell due."""
    states = [(outcome.due, str(outcome.state)) for outcome in outcomes]
    states += [(due, "open") for due in open_dues]
    order = list(MARKS)
    worst: dict[date, str] = {}
    for due, state in states:
        day = local(due, tz).date()
        worst[day] = min(worst.get(day, state), state, key=order.index)
    return worst


def calendar_lines(days: Days, worst: Mapping[date, str]) -> list[tuple[str, str]]:
    """Return a line of marks for each month: its name, and a mark for each of its days."""
    months: dict[str, list[str]] = {}
    day = days.first
    while day <= days.last:
        before = [" "] * (day.day - 1)
        line = months.setdefault(f"{day:%Y-%m}", before)
        line.append(MARKS[worst[day]] if day in worst else NOTHING_DUE)
        day += _DAY
    return [(month, "".join(line)) for month, line in months.items()]


def counts_of(outcomes: Sequence[PromiseOutcome]) -> PromiseCounts:
    """Return how many promises came out in each way; they are in order of due."""
    states = [outcome.state for outcome in outcomes]
    return PromiseCounts(
        kept=states.count(State.KEPT),
        late=states.count(State.LATE),
        missed=states.count(State.MISSED),
        first=outcomes[0].due if outcomes else None,
    )
