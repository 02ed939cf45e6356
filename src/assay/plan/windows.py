"""Windows: when the promises of a `Freshness` fall due and what data must reach by then; pure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from msgspec import Struct

from assay.model import Freshness, WorkCalendar
from assay.plan.calendars import (
    EVERY_DAY,
    MONDAY_TO_FRIDAY,
    DayOfMonth,
    Days,
    DaysUnknown,
    DueDays,
    EachDay,
)
from assay.plan.due_times import CronTimes, DayTimes, Due, Times
from assay.plan.graph import Graph
from assay.plan.window_text import (
    PERIODS,
    PREVIOUS_DAY,
    TODAY,
    TRADING_DAY,
    covers_of,
    is_weekmask,
    on_of,
    weekdays_of,
)
from assay.times import local, start_of_period, utc_of, while_of

WARN_BEFORE = timedelta(hours=1)  # unless `warn_before` says otherwise
_DAY = timedelta(days=1)
_MOST_OFF = 31  # days off between two days that are recorded with a promise
_CACHED = 20_000
_LOOKED_FROM = date(2000, 1, 1)  # promises are looked for from here on


class Promise(Struct, frozen=True):
    """One moment at which data is due.

    - `due`: in UTC.
    - `reach`: the local day that data has to reach, or the moment (UTC) that it has to be newer
      than.
    - `days`: the days of the calendars that `due` and `reach` follow from, in order.
    """

    due: datetime
    reach: date | datetime
    days: tuple[date, ...] = ()


class Window(ABC):
    """The promises of one `Freshness`. `as_of` is how far data reaches; None is no data.

    All methods may raise DaysUnknown. An `as_of` without a zone is local to `tz`.
    """

    def __init__(self, freshness: Freshness, days: Days) -> None:
        self.freshness, self.days = freshness, days
        self.tz = freshness.tz

    @abstractmethod
    def next(self, now: datetime, as_of: datetime | None) -> Promise | None:
        """Return the first promise that is due after `now`; None when none will be."""

    @abstractmethod
    def last(self, now: datetime, as_of: datetime | None) -> Promise | None:
        """Return the newest promise that was due by `now`; None when none was."""

    @abstractmethod
    def between(self, start: datetime, end: datetime, as_of: datetime | None) -> list[Promise]:
        """Return the promises due after `start` and by `end`, in order."""

    @abstractmethod
    def opens(self, promise: Promise) -> datetime:
        """Return the moment (UTC) from which data for a promise can exist."""

    def reached(self, promise: Promise, as_of: datetime | None) -> bool:
        """Return whether data reaches what was promised."""
        if as_of is None:
            return False
        moment = utc_of(as_of, self.tz)
        if isinstance(promise.reach, datetime):
            return moment > promise.reach
        return local(moment, self.tz).date() >= promise.reach

    def basis(self, promise: Promise) -> Mapping[str, Any]:
        """Return what a promise follows from, to be stored as JSON."""
        basis: dict[str, Any] = {
            "promise": str(self.freshness),
            "reach": promise.reach.isoformat(),
            "days": [day.isoformat() for day in promise.days],
        }
        if self.days.calendar.name:
            basis["calendar"] = self.days.calendar.name
            basis["origin"] = self.days.calendar.origin
        return basis


class AgeWindow(Window):
    """`within`: data is due when the newest that there is becomes too old. Days off do not age."""

    def __init__(self, freshness: Freshness, days: Days) -> None:
        super().__init__(freshness, days)
        self._age = while_of(freshness.within)

    def next(self, now: datetime, as_of: datetime | None) -> Promise | None:
        promise = self._promise(as_of)
        return promise if promise and promise.due > now else None

    def last(self, now: datetime, as_of: datetime | None) -> Promise | None:
        promise = self._promise(as_of)
        return promise if promise and promise.due <= now else None

    def between(self, start: datetime, end: datetime, as_of: datetime | None) -> list[Promise]:
        promise = self._promise(as_of)
        return [promise] if promise and start < promise.due <= end else []

    def opens(self, promise: Promise) -> datetime:
        assert isinstance(promise.reach, datetime)
        return promise.reach

    def _promise(self, as_of: datetime | None) -> Promise | None:
        if as_of is None:
            return None
        reach = utc_of(as_of, self.tz)
        if self.days.calendar == EVERY_DAY:
            return Promise(reach + self._age, reach)
        due, days = self._aged(reach)
        return Promise(due, reach, days)

    def _aged(self, moment: datetime) -> tuple[datetime, tuple[date, ...]]:
        """Return when data of a moment is too old, and the open days that it aged on."""
        remaining, days = self._age, []
        while True:
            day = local(moment, self.tz).date()
            end_of_day = utc_of(datetime.combine(day + _DAY, time()), self.tz)
            if self.days.is_open(day):
                days.append(day)
                if remaining <= end_of_day - moment:
                    return moment + remaining, tuple(days)
                remaining -= end_of_day - moment
            moment = end_of_day


class DueWindow(Window):
    """`by` and `every`: promises that fall due at certain times, whatever data there is."""

    def __init__(self, freshness: Freshness, days: Days, trading: Days, times: Times) -> None:
        super().__init__(freshness, days)
        self._trading, self._times = trading, times
        self._covers = covers_of(freshness.covers)

    def next(self, now: datetime, as_of: datetime | None) -> Promise | None:
        return _next(self, now.astimezone(UTC))

    def last(self, now: datetime, as_of: datetime | None) -> Promise | None:
        return _last(self, now.astimezone(UTC))

    def between(self, start: datetime, end: datetime, as_of: datetime | None) -> list[Promise]:
        promises = []
        due = self._times.after(start)
        while due and due.at <= end:
            promises.append(self.promise(due))
            due = self._times.after(due.at)
        return promises

    def opens(self, promise: Promise) -> datetime:
        """Return the end of the period that data has to reach; its start if that end is after due."""
        if isinstance(promise.reach, datetime):
            return promise.reach
        if self._covers in PERIODS:
            start = start_of_period(self._covers.removeprefix("previous "), promise.days[-1])
            return utc_of(datetime.combine(start, time()), self.tz)
        end = utc_of(datetime.combine(promise.reach + _DAY, time()), self.tz)
        if end <= promise.due:
            return end
        return utc_of(datetime.combine(promise.reach, time()), self.tz)

    def basis(self, promise: Promise) -> Mapping[str, Any]:
        basis = dict(super().basis(promise))
        if not isinstance(promise.reach, datetime):
            off = self._days_off(promise)
            basis |= {"off": [day.isoformat() for day in off]} if off else {}
        if self._trading is not self.days and self._trading.calendar.name:
            basis["trading"] = self._trading.calendar.name
            basis["trading_origin"] = self._trading.calendar.origin
        return basis

    def promise(self, due: Due) -> Promise:
        """Return the promise that falls due at a moment."""
        days = self._times.counted(due.day)
        if self.freshness.every and not self._covers:
            before = self._times.until(due.at - timedelta(microseconds=1))
            return Promise(due.at, before.at if before else due.at - _DAY, days)
        reach = self._reach(due.day)
        return Promise(due.at, reach, tuple(sorted({reach, *days})))

    def _reach(self, day: date) -> date:
        """Return the last day of the period that data has to cover on a day."""
        if self._covers == TODAY:
            return day
        if self._covers == PREVIOUS_DAY:
            return day - _DAY
        if self._covers == TRADING_DAY:
            return self._trading.previous(day)
        if self._covers in PERIODS:
            period = self._covers.removeprefix("previous ")
            return self._trading.previous(start_of_period(period, day))
        return self.days.previous(day)

    def _days_off(self, promise: Promise) -> list[date]:
        """Return the days off between the day that data has to reach and the day of due."""
        reach, due = promise.days[0], promise.days[-1]
        between = [reach + n * _DAY for n in range(1, min((due - reach).days, _MOST_OFF))]
        days = self._trading if self._covers == TRADING_DAY else self.days
        return [day for day in between if not days.is_open(day)]


@lru_cache(_CACHED)
def _next(window: DueWindow, now: datetime) -> Promise | None:
    due = window._times.after(now)
    return window.promise(due) if due else None


@lru_cache(_CACHED)
def _last(window: DueWindow, now: datetime) -> Promise | None:
    due = window._times.until(now)
    return window.promise(due) if due else None


def window_of(freshness: Freshness, calendars: Mapping[str, WorkCalendar]) -> Window:
    """Return the promises of a `Freshness`; `calendars` are those of the project, by name.

    Raises ValueError for a text without a meaning or an unknown calendar.
    """
    on = on_of(freshness.on)
    days = calendar_of(on.calendar, calendars, EVERY_DAY if on.n is None else MONDAY_TO_FRIDAY)
    trading = calendar_of(freshness.trading, calendars, days)
    return _window(freshness, days, trading)


def windows_of(graph: Graph) -> dict[str, Window]:
    """Return the windows that products and sources have of their own, by name."""
    declared = [
        *((source.name, source.freshness) for source in graph.sources.values()),
        *((product.name, product.freshness) for product in graph.products.values()),
    ]
    shared = {f: window_of(f, graph.calendars) for f in {f for _, f in declared if f}}
    return {name: shared[f] for name, f in declared if f}


def never_due(window: Window) -> bool:
    """Return whether no promise ever falls due, as far as the days of its calendar are known."""
    start = max(window.days.calendar.first, _LOOKED_FROM)
    try:
        return window.next(datetime.combine(start, time(), UTC), datetime.max) is None
    except DaysUnknown:
        return False


def calendar_of(
    name: str, calendars: Mapping[str, WorkCalendar], default: WorkCalendar = EVERY_DAY
) -> WorkCalendar:
    """Return the calendar of a name, or of a list of weekdays; ValueError for an unknown one."""
    if not name:
        return default
    if name in calendars:
        return calendars[name]
    if is_weekmask(name):
        return WorkCalendar(name=name, weekdays=weekdays_of(name))
    raise ValueError(f"there is no calendar {name!r}")


@lru_cache(_CACHED)
def _window(freshness: Freshness, on: WorkCalendar, trading: WorkCalendar) -> Window:
    """Return the window of a freshness; windows that are equal are one object."""
    days = _days(on)
    if freshness.within:
        return AgeWindow(freshness, days)
    n = on_of(freshness.on).n
    due_days: DueDays = EachDay(days) if n is None else DayOfMonth(days, n)
    times: Times
    if freshness.every:
        times = CronTimes(freshness.every, due_days, freshness.tz)
    else:
        times = DayTimes(due_days, time.fromisoformat(freshness.by), freshness.tz)
    return DueWindow(freshness, days, _days(trading), times)


@lru_cache(1_000)
def _days(calendar: WorkCalendar) -> Days:
    return Days(calendar)
