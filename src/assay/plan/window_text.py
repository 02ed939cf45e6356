"""What the texts of a `Freshness` mean: the days of `on`, the period of `covers`, shares."""

import re
from collections.abc import Mapping

from msgspec import Struct

_MONTHLY = re.compile(
    r"(?:(?P<which>last|first) (?:working|business) day|(?:working|business) day (?P<n>\d{1,2}))"
    r"(?: of (?P<calendar>.+))?"
)
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = re.compile(r"(mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?s?")
_SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,6})?) ?%")
MOST_WORKING_DAYS = 31  # of a month, in a calendar without a day off

TODAY, PREVIOUS_DAY, WORKING_DAY, TRADING_DAY = (
    "today",
    "previous day",
    "previous working day",
    "previous trading day",
)
PERIODS = ("previous week", "previous month", "previous quarter", "previous year")
COVERS = (TODAY, PREVIOUS_DAY, WORKING_DAY, TRADING_DAY, *PERIODS)
_SAME: Mapping[str, str] = {"yesterday": PREVIOUS_DAY, "previous business day": WORKING_DAY}


class On(Struct, frozen=True):
    """The days of `on`: of a calendar ('' for none), each (`n` None), the nth, or the last (0)."""

    calendar: str = ""
    n: int | None = None


def on_of(text: str) -> On:
    """Return what `on` means; ValueError for a working day that no month has."""
    text = " ".join(text.split())
    match = _MONTHLY.fullmatch(text)
    if not match:
        return On(text)
    n = int(match["n"]) if match["n"] else int(match["which"] == "first")
    if match["n"] and not 1 <= n <= MOST_WORKING_DAYS:
        raise ValueError(f"no month has a working day {n}")
    return On(match["calendar"] or "", n)


def covers_of(text: str) -> str:
    """Return the one of COVERS that a text means, or ''; ValueError for a text without a meaning."""
    text = " ".join(text.lower().split()).removeprefix("the ")
    text = _SAME.get(text, text)
    if text and text not in COVERS:
        raise ValueError(f"{text!r} is no period")
    return text


def weekdays_of(text: str) -> tuple[int, ...]:
    """Return the days of the week of "Sun Mon Tue" or "Mon-Fri", 0 for Monday; ValueError."""
    days: set[int] = set()
    for part in text.lower().replace(",", " ").split():
        first, dash, last = part.partition("-")
        start, end = _weekday(first), _weekday(last) if dash else _weekday(first)
        days.update((start + step) % 7 for step in range((end - start) % 7 + 1))
    if not days:
        raise ValueError("no day of the week is named")
    return tuple(sorted(days))


def is_weekmask(text: str) -> bool:
    """Return whether a text names days of the week."""
    try:
        return bool(weekdays_of(text))
    except ValueError:
        return False


def share_of(text: str) -> float:
    """Return the share (0 to 1) of "95 %"; ValueError for other texts."""
    match = _SHARE.fullmatch(text.strip())
    if not match or not 0 < float(match[1]) <= 100:
        raise ValueError(f"{text!r} is no share")
    return float(match[1]) / 100


def _weekday(text: str) -> int:
    match = _WEEKDAY.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no day of the week")
    return _WEEKDAYS.index(match[1][:3])
