"""Lengths of time, and the moment before which rows are settled; pure, given the current time."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

# How far clocks may differ, and for how long a reader without a lease may go on reading.
GRACE = timedelta(hours=1)
# How far in the future an event may be (a date in an eastern zone); later events do not count.
AHEAD = timedelta(days=1)
MOST_RETRIES = 100
PERIODS = ("day", "week", "month", "quarter", "year")
_MOST = 10_000
_AGO = re.compile(r"(\d{1,9}) (hour|day|week)s? ago")
_WORKING_DAYS = re.compile(r"(\d{1,4}) ?working days?")
_WHILE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(?:(second|minute|hour|day|week)s?|([smhd]))")
D = TypeVar("D", date, datetime)
_SHORT = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


def while_of(text: str) -> timedelta:
    """Return the length of "36 hours", "2 days", "90 minutes" or "10m"; ValueError for others."""
    match = _WHILE.fullmatch(text.strip())
    if not match or float(match[1]) > _MOST:
        raise ValueError(f"{text!r} is no length of time")
    return timedelta(**{f"{match[2] or _SHORT[match[3]]}s": float(match[1])})


def seconds_of(text: str | float) -> float:
    """Return a length of time, given as text or in seconds, in seconds; '' is 0."""
    return while_of(text).total_seconds() if isinstance(text, str) and text else float(text or 0)


def shown_while(seconds: float) -> str:
    """Return a length of time as people write it: 90 s, 10 min, 1.5 h."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % (length / 2) == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"


def local(now: datetime, tz: str) -> datetime:
    """Return the local time in a zone, as a datetime without a zone."""
    return now.astimezone(UTC if tz == "UTC" else ZoneInfo(tz)).replace(tzinfo=None)


def in_utc(moment: datetime) -> datetime:
    """Return a moment with a zone, so that any two can be compared; without one, it is in UTC."""
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def settled_before(text: str, now: datetime, tz: str = "UTC", grace: str = "") -> datetime:
    """Return the local moment (without zone) before which rows are settled at `now`.

    With a `grace`, a period is settled when so much time has passed since its end. Raises
    ValueError for a text that cannot be read.
    """
    moment = before_grace(local(now, tz), grace)
    today = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if text.startswith("start of ") and text[9:] in PERIODS:
        return start_of_period(text[9:], today)
    if (match := _AGO.fullmatch(text)) and int(match[1]) <= _MOST:
        back = timedelta(**{f"{match[2]}s": int(match[1])})
        return moment - back if match[2] == "hour" else today - back
    return datetime.combine(date.fromisoformat(text), datetime.min.time())


def start_of_period(period: str, day: D) -> D:
    """Return the first day of the day, week, month, quarter or year that a day is in."""
    match period:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "quarter":
            return day.replace(month=day.month - (day.month - 1) % 3, day=1)
        case "year":
            return day.replace(month=1, day=1)
    return day


def before_grace(moment: datetime, grace: str) -> datetime:
    """Return the local moment that is a grace ("5 days", "3 working days") earlier.

    Working days are Monday to Friday; holidays are not known. A day counts when it is over. Raises
    ValueError for a text that cannot be read.
    """
    counted = _WORKING_DAYS.fullmatch(grace.strip())
    if not counted:
        return moment - while_of(grace) if grace else moment
    remaining = int(counted[1])
    while remaining:
        moment -= timedelta(days=1)
        remaining -= moment.weekday() < 5
    return moment


def is_date(text: str) -> bool:
    """Return whether a text is a date (ISO 8601)."""
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def as_seen(moment: datetime, tz: str, *, zoned: bool) -> datetime:
    """Return a local moment with its zone, if the values of the column have one (`zoned`)."""
    return moment.replace(tzinfo=ZoneInfo(tz)) if zoned else moment


def utc_of(moment: datetime, tz: str) -> datetime:
    """Return a moment in UTC; one without a zone is local to `tz`.

    A local time that does not exist (a clock goes forward) is the first moment after the gap. Of
    one that comes twice (a clock goes back), the first is meant.
    """
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if tz == "UTC":
        return moment.replace(tzinfo=UTC)
    zone = ZoneInfo(tz)
    first = moment.replace(tzinfo=zone, fold=0)
    utc = first.astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None, fold=0) == first.replace(tzinfo=None):
        return utc
    return _end_of_gap(first.replace(fold=1).astimezone(UTC), utc, zone)


def _end_of_gap(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment between two in UTC at which the clock of a zone changes, to the second."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle <= before:
            break
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)
