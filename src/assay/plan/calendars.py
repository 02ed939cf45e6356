"""Working days: which days of a calendar are open, and on which of them a promise falls due."""

from datetime import date, timedelta
from typing import Protocol

from msgspec import Struct

from assay.model import WorkCalendar

EVERY_DAY = WorkCalendar(name="", weekdays=(0, 1, 2, 3, 4, 5, 6))
MONDAY_TO_FRIDAY = WorkCalendar(name="Monday to Friday")
_LONGEST_BREAK = 3_700  # days that are looked at for a working day
_MOST_MONTHS = 36  # months that are looked at for one with so many working days
_DAY = timedelta(days=1)


class DaysUnknown(Exception):
    """A calendar does not say whether a day is a working day: it ends before, or begins later."""

    def __init__(self, calendar: WorkCalendar, day: date) -> None:
        self.calendar, self.day = calendar, day
        super().__init__(
            f"{calendar.name} is known from {calendar.first} to {calendar.last}:"
            f" whether {day} is a working day is unknown"
        )


class Days:
    """The days of one calendar. All methods raise DaysUnknown for days it does not know."""

    def __init__(self, calendar: WorkCalendar) -> None:
        self.calendar = calendar
        self._weekdays = frozenset(calendar.weekdays)
        self._closed = frozenset(calendar.closed)
        self._opened = frozenset(calendar.opened)

    def is_open(self, day: date) -> bool:
        """Return whether a day is a working day."""
        if not self.calendar.first <= day <= self.calendar.last:
            raise DaysUnknown(self.calendar, day)
        if day in self._opened:
            return True
        return day.weekday() in self._weekdays and day not in self._closed

    def previous(self, day: date) -> date:
        """Return the last working day before a day."""
        return self._open_from(day, -_DAY)

    def next(self, day: date) -> date:
        """Return the first working day after a day."""
        return self._open_from(day, _DAY)

    def in_month(self, year: int, month: int) -> list[date]:
        """Return the working days of a month, in order."""
        first = date(year, month, 1)
        days = [first + n * _DAY for n in range(_days_in(year, month))]
        return [day for day in days if self.is_open(day)]

    def nth(self, year: int, month: int, n: int) -> date | None:
        """Return working day `n` (from 1) of a month; None when it has fewer."""
        day = date(year, month, 1)
        for _ in range(_days_in(year, month)):
            n -= self.is_open(day)
            if n == 0:
                return day
            day += _DAY
        return None

    def last(self, year: int, month: int) -> date | None:
        """Return the last working day of a month; None when it has none."""
        first = date(year, month, 1)
        day = first + (_days_in(year, month) - 1) * _DAY
        while day >= first:
            if self.is_open(day):
                return day
            day -= _DAY
        return None

    def _open_from(self, day: date, step: timedelta) -> date:
        start = day
        for _ in range(_LONGEST_BREAK):
            try:
                day += step
            except OverflowError:
                break
            if self.is_open(day):
                return day
        raise DaysUnknown(self.calendar, start)


def _days_in(year: int, month: int) -> int:
    """Return how many days a month has."""
    if month == 12:
        return 31
    return (date(year, month + 1, 1) - date(year, month, 1)).days


# ------------------------------------------------------------------------------------- days of due


class DueDays(Protocol):
    """The days on which a promise falls due. All methods may raise DaysUnknown."""

    def since(self, day: date) -> date | None:
        """Return the first on or after a day; None when there is none in three years."""
        ...

    def until(self, day: date) -> date | None:
        """Return the last on or before a day; None when there was none in three years."""
        ...

    def counted(self, day: date) -> tuple[date, ...]:
        """Return the days that had to be counted to know that it falls due on a day."""
        ...


class EachDay(Struct, frozen=True):
    """Each working day."""

    days: Days

    def since(self, day: date) -> date | None:
        return day if self.days.is_open(day) else self.days.next(day)

    def until(self, day: date) -> date | None:
        return day if self.days.is_open(day) else self.days.previous(day)

    def counted(self, day: date) -> tuple[date, ...]:
        return (day,)


class DayOfMonth(Struct, frozen=True):
    """Working day `n` of each month that has so many; with `n` of 0, the last of each month."""

    days: Days
    n: int

    def since(self, day: date) -> date | None:
        return self._search(day, 1)

    def until(self, day: date) -> date | None:
        return self._search(day, -1)

    def counted(self, day: date) -> tuple[date, ...]:
        if self.n == 0:
            return (day,)
        return tuple(open for open in self.days.in_month(day.year, day.month) if open <= day)

    def _search(self, day: date, step: int) -> date | None:
        """Return the first one in its month or those after it (or before it, with step -1)."""
        month = day.year * 12 + day.month - 1
        for ahead in range(_MOST_MONTHS):
            year, index = divmod(month + ahead * step, 12)
            if not date.min.year <= year <= date.max.year:
                return None
            of_month = self._of_month(year, index + 1)
            if of_month and (of_month - day).days * step >= 0:
                return of_month
        return None

    def _of_month(self, year: int, month: int) -> date | None:
        return self.days.nth(year, month, self.n) if self.n else self.days.last(year, month)
