"""Where settled time ends, and how long a while is; pure, given the moment."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_MOST = 10_000
_AGO = re.compile(r"(\d{1,9}) (hour|day|week)s? ago")
_WHILE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(minute|hour|day|week)s?")


def while_of(told: str) -> timedelta:
    """Return how long "36 hours", "2 days" or "90 minutes" are; ValueError for anything else."""
    found = _WHILE.fullmatch(told.strip())
    if not found or float(found[1]) > _MOST:
        raise ValueError(f"{told!r} is no length of time")
    return timedelta(**{f"{found[2]}s": float(found[1])})


def local(now: datetime, tz: str) -> datetime:
    """Return what the clock on the wall shows in a zone, without saying the zone."""
    return now.astimezone(UTC if tz == "UTC" else ZoneInfo(tz)).replace(tzinfo=None)


def settled_before(told: str, now: datetime, tz: str = "UTC") -> datetime:
    """Return the local moment (no zone) before which rows are settled, seen from `now`; ValueError for other words."""
    here = local(now, tz)
    today = here.replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        "day": today,
        "week": today - timedelta(days=today.weekday()),
        "month": today.replace(day=1),
        "quarter": today.replace(month=today.month - (today.month - 1) % 3, day=1),
        "year": today.replace(month=1, day=1),
    }
    if told.startswith("start of ") and told[9:] in starts:
        return starts[told[9:]]
    if (found := _AGO.fullmatch(told)) and int(found[1]) <= _MOST:
        back = timedelta(**{f"{found[2]}s": int(found[1])})
        return here - back if found[2] == "hour" else today - back
    return datetime.combine(date.fromisoformat(told), datetime.min.time())


def as_seen(moment: datetime, tz: str, *, zoned: bool) -> datetime:
    """Return a local moment as a column has it: with its zone where the column's values have one."""
    return moment.replace(tzinfo=ZoneInfo(tz)) if zoned else moment
