"""When promises fall due: at a time of some days, or at the times of a cron expression."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct

from assay.plan.calendars import DueDays
from assay.times import local, utc_of

_DAY = timedelta(days=1)
_MOST_BREAKS = 40  # breaks of `on` that are skipped to find a time of a cron expression
# How far back times of a cron expression are looked for, until one is found.
_BACK = tuple(timedelta(hours=1) * 6**n for n in range(8))


class Due(Struct, frozen=True):
    """A moment (UTC) at which a promise falls due, and the local day that it is for."""

    at: datetime
    day: date


class Times(Protocol):
    """The moments at which promises fall due. All methods may raise DaysUnknown."""

    def after(self, now: datetime) -> Due | None:
        """Return the first after a moment; None when there is none for years."""
        ...

    def until(self, now: datetime) -> Due | None:
        """Return the last at or before a moment; None when there was none for years."""
        ...

    def counted(self, day: date) -> tuple[date, ...]:
        """Return the days that had to be counted to know that a day is one of them."""
        ...


class DayTimes(Struct, frozen=True):
    """A local time of some days."""

    days: DueDays
    time: time
    tz: str

    def after(self, now: datetime) -> Due | None:
        day = self.days.since(local(now, self.tz).date())
        while day and self._at(day) <= now:
            day = self.days.since(day + _DAY)
        return Due(self._at(day), day) if day else None

    def until(self, now: datetime) -> Due | None:
        today = local(now, self.tz).date()
        if self._at(today + _DAY) <= now:  # a clock that went back over midnight
            today += _DAY
        day = self.days.until(today)
        while day and self._at(day) > now:
            day = self.days.until(day - _DAY)
        return Due(self._at(day), day) if day else None

    def counted(self, day: date) -> tuple[date, ...]:
        return self.days.counted(day)

    def _at(self, day: date) -> datetime:
        return utc_of(datetime.combine(day, self.time), self.tz)


class CronTimes(Struct, frozen=True):
    """The local times of a cron expression on some days.

    Where a clock goes forward, a time that does not exist is the first moment after the gap; where
    it goes back, a time of day that comes twice counts once. Hours and minutes that begin with `*`
    go on in real time.
    """

    expression: str
    days: DueDays
    tz: str

    def after(self, now: datetime) -> Due | None:
        start = now
        for _ in range(_MOST_BREAKS):
            due = next((due for due in self._from(start) if due.at > now), None)
            if due is None:
                return None
            day = self.days.since(due.day)
            if day == due.day:
                return due
            if day is None:
                return None
            start = utc_of(datetime.combine(day, time()), self.tz) - timedelta(seconds=1)
        return None

    def until(self, now: datetime) -> Due | None:
        end = now
        for _ in range(_MOST_BREAKS):
            due = self._last_until(end)
            if due is None:
                return None
            day = self.days.until(due.day)
            if day == due.day:
                return due
            if day is None:
                return None
            midnight = utc_of(datetime.combine(day + _DAY, time()), self.tz)
            end = min(midnight - timedelta(seconds=1), due.at - timedelta(seconds=1))
        return None

    def counted(self, day: date) -> tuple[date, ...]:
        return self.days.counted(day)

    def _last_until(self, end: datetime) -> Due | None:
        """Return the last time at or before a moment, whatever the days."""
        # Not by cronsim's own search backwards: it does not get past a gap of the clock.
        for back in _BACK:
            last = None
            try:
                start = end - back
            except OverflowError:
                return None
            for due in self._from(start):
                if due.at > end:
                    break
                last = due
            if last:
                return last
        return None

    def _from(self, start: datetime) -> Iterator[Due]:
        """Yield the times after a moment, and maybe some shortly before it, in order."""
        from cronsim import CronSim  # only where a cron expression is used

        zone = UTC if self.tz == "UTC" else ZoneInfo(self.tz)
        for at in CronSim(self.expression, start.astimezone(zone)):
            yield Due(at.astimezone(UTC), at.date())


def wrong_cron(expression: str) -> str:
    """Return what is wrong with a cron expression; '' for nothing."""
    from cronsim import CronSim, CronSimError

    if len(expression.split()) != 5:
        return "it has five fields: minute, hour, day of the month, month, day of the week"
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return str(error)
    return ""
