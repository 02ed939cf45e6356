"""When the drops of a source come, counted from a moment of their day or from the drop before; pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import inf, sqrt

from msgspec import Struct

from assay.facts import Arrival
from assay.plan.calendars import DaysUnknown
from assay.plan.windows import DueWindow, Window
from assay.times import is_date, local, utc_of

_LEAST = 3  # drops on one day of the week from which on it can be seen to be another kind of day
_SURE = 2.6  # standard errors by which the ranks of two kinds of days are apart
_AT_ONCE = 3  # days that one observation may bring: more of them are history that was delivered
_DAY = timedelta(days=1)
_LATEST = 31 * _DAY  # after it is due: what comes later was delivered as history


class Habit(Struct, frozen=True):
    """When a drop is counted from, and how many seconds later past ones came, newest last.

    inf is a drop that never came.
    """

    since: datetime
    offsets: tuple[float, ...] = ()


def habit(
    arrivals: Sequence[Arrival],
    window: Window | None,
    day: date | None,
    *,
    tz: str,
    now: datetime,
) -> Habit:
    """Return when the drop of a day usually comes; None is any newer data than there is.

    A drop is counted from when it is due by the `window` of its source, or else from the midnight,
    in `tz`, at which its day begins. Drops of no day, and without such a window, are counted from
    the one before.
    """
    due_window = window if isinstance(window, DueWindow) else None
    if due_window is None and not any(_day_in(arrival.part) for arrival in arrivals):
        return _since_the_last(arrivals, now)
    came = _came(arrivals, tz)
    day = day or max((local(now, tz).date(), *(last + _DAY for last in came)))
    dues = _Dues(due_window, min((*came, day)), now, tz)
    missing = (d for d in dues.days if d not in came and came and min(came) < d < max(came))
    offsets = {
        d: (at - dues.of(d)).total_seconds()
        for d, at in came.items()
        if d != day and at - dues.of(d) < _LATEST
    }
    offsets |= dict.fromkeys(missing, inf)
    alike = days_like(day, offsets)
    return Habit(dues.of(day), tuple(offsets[d] for d in sorted(alike)))


def _since_the_last(arrivals: Sequence[Arrival], now: datetime) -> Habit:
    moments = sorted({arrival.at for arrival in arrivals})
    gaps = tuple((after - before).total_seconds() for before, after in pairwise(moments))
    return Habit(moments[-1] if moments else now, gaps)


def _came(arrivals: Sequence[Arrival], tz: str) -> dict[date, datetime]:
    """Return when the drop of each day was complete: when the last of its parts came first."""
    first: dict[str, Arrival] = {}
    for arrival in sorted(arrivals, key=lambda arrival: arrival.at):
        first.setdefault(arrival.part or arrival.at.isoformat(), arrival)
    days_seen: dict[datetime, set[date]] = {}
    day_of = {key: _day_in(a.part) or local(a.at, tz).date() for key, a in first.items()}
    for key, arrival in first.items():
        days_seen.setdefault(arrival.seen, set()).add(day_of[key])
    came: dict[date, datetime] = {}
    for key, arrival in first.items():
        day, together = day_of[key], days_seen[arrival.seen]
        if len(together) <= _AT_ONCE or day == max(together):
            came[day] = max(arrival.at, came.get(day, arrival.at))
    return came


def _day_in(part: str) -> date | None:
    """Return the day in the key of a part, such as `london/2011-12-09`; None for none."""
    return next((date.fromisoformat(text) for text in part.split("/") if is_date(text)), None)


class _Dues:
    """When the drops of days are due by a window; `days` are those that it names."""

    def __init__(self, window: DueWindow | None, first: date, now: datetime, tz: str) -> None:
        self._tz = tz
        promises = []
        if window is not None:
            start = utc_of(datetime.combine(first - _DAY, time()), tz)
            try:
                promises = window.between(start, now + _DAY, None)
                promises += [promise] if (promise := window.next(now + _DAY, None)) else []
            except DaysUnknown:
                pass
        dated = [p for p in promises if not isinstance(p.reach, datetime)]
        self.days = [p.reach for p in dated]
        self._dues = [p.due for p in dated]

    def of(self, day: date) -> datetime:
        """Return when the drop of a day is due, or else when the day begins."""
        place = bisect_left(self.days, day)
        if place < len(self.days):
            return self._dues[place]
        return utc_of(datetime.combine(day, time()), self._tz).astimezone(UTC)


# ---------------------------------------------------------------------------------------- weekdays


def days_like(day: date, values: Mapping[date, float]) -> Collection[date]:
    """Return the days whose values tell most about a day: those of like weekdays.

    A weekday is of another kind when its values are clearly higher, or lower, than those of all
    other days: then only its own count for it, and for other days they do not count.
    """
    by_weekday: dict[int, list[date]] = {}
    for other in values:
        by_weekday.setdefault(other.weekday(), []).append(other)
    others = {
        weekday: days
        for weekday, days in by_weekday.items()
        if not _differ(days, [d for d in values if d.weekday() != weekday], values)
    }
    if day.weekday() not in others and day.weekday() in by_weekday:
        return by_weekday[day.weekday()]
    return [d for days in others.values() for d in days]


def _differ(days: Sequence[date], others: Sequence[date], values: Mapping[date, float]) -> bool:
    """Return whether the values of some days are clearly higher or lower (Mann and Whitney)."""
    count, rest = len(days), len(others)
    if count < _LEAST or rest < _LEAST:
        return False
    ordered = sorted(values[other] for other in others)
    # An equal value counts as half below.
    below = [
        (bisect_left(ordered, values[day]) + bisect_right(ordered, values[day])) / 2 for day in days
    ]
    error = sqrt(count * rest * (count + rest + 1) / 12)
    return abs(sum(below) - count * rest / 2) > _SURE * error
