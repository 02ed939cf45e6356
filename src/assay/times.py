"""Where settled time ends, and how long a while is; pure, given the moment."""

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

GRACE = timedelta(
    hours=1
)  # how far clocks may differ, and for how long those who leave no trace may go on reading
AHEAD = timedelta(
    days=1
)  # how far from now an event may be, as a date of an eastern zone is: later ones do not count
MOST_RETRIES = 100
_MOST = 10_000
_AGO = re.compile(r"(\d{1,9}) (hour|day|week)s? ago")
_WORKING_DAYS = re.compile(r"(\d{1,4}) ?working days?")
_WHILE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?) ?(?:(second|minute|hour|day|week)s?|([smhd]))")
_SHORT = {"s": "second", "m": "minute", "h": "hour", "d": "day"}


def while_of(told: str) -> timedelta:
    """Return how long "36 hours", "2 days", "90 minutes" or "10m" are; ValueError for anything else."""
    found = _WHILE.fullmatch(told.strip())
    if not found or float(found[1]) > _MOST:
        raise ValueError(f"{told!r} is no length of time")
    return timedelta(**{f"{found[2] or _SHORT[found[3]]}s": float(found[1])})


def seconds_of(told: str | float) -> float:
    """Return a length of time, in words or in seconds, in seconds; '' is none."""
    return while_of(told).total_seconds() if isinstance(told, str) and told else float(told or 0)


def shown_while(seconds: float) -> str:
    """Return a length of time as people write it: 90 s, 10 min, 1.5 h."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= length and seconds % (length / 2) == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:.3g} s" if seconds < 1000 else f"{seconds:,.0f} s"


def local(now: datetime, tz: str) -> datetime:
    """Return what the clock on the wall shows in a zone, without saying the zone."""
    return now.astimezone(UTC if tz == "UTC" else ZoneInfo(tz)).replace(tzinfo=None)


def settled_before(told: str, now: datetime, tz: str = "UTC", grace: str = "") -> datetime:
    """Return the local moment (no zone) before which rows are settled, seen from `now`; ValueError for other words.

    With a `grace`, a period is settled only when that has passed since the period ended.
    """
    here = before_grace(local(now, tz), grace)
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


def before_grace(here: datetime, grace: str) -> datetime:
    """Return the local moment that lies a grace ("5 days", "3 working days") back; ValueError for other words.

    Working days are Monday to Friday, whatever the holidays: a day counts once it is over.
    """
    counted = _WORKING_DAYS.fullmatch(grace.strip())
    if not counted:
        return here - while_of(grace) if grace else here
    left = int(counted[1])
    while left:
        here -= timedelta(days=1)
        left -= here.weekday() < 5
    return here


def is_date(told: str) -> bool:
    """Say whether these words name one day, whatever the day is today."""
    try:
        return bool(date.fromisoformat(told))
    except ValueError:
        return False


def as_seen(moment: datetime, tz: str, *, zoned: bool) -> datetime:
    """Return a local moment as a column has it: with its zone where the column's values have one."""
    return moment.replace(tzinfo=ZoneInfo(tz)) if zoned else moment
