"""Changes of promises of freshness: later, longer, on fewer days is weaker."""

from collections.abc import Iterator, Mapping

from assay.model import Freshness, WorkCalendar
from assay.plan.calendars import Days
from assay.plan.changes.values import Moved, Role, Way, moved, ranked
from assay.plan.window_text import (
    PREVIOUS_DAY,
    TODAY,
    TRADING_DAY,
    WORKING_DAY,
    covers_of,
    on_of,
    share_of,
)
from assay.times import while_of

Calendars = Mapping[str, WorkCalendar]
# How near the end of the period is that the data has to reach.
_NEAR = {
    TODAY: 0,
    PREVIOUS_DAY: 1,
    TRADING_DAY: 2,
    WORKING_DAY: 2,
    "previous week": 3,
    "previous month": 4,
    "previous quarter": 5,
    "previous year": 6,
}


def freshness_changes(
    before: Freshness | None, now: Freshness | None, old: Calendars, new: Calendars
) -> Iterator[Moved]:
    """Yield how a promise moved; `old` and `new` are the calendars by name."""
    if before is None or now is None:
        if before != now:
            way = Way.WEAKER if now is None else Way.STRONGER
            what = f"freshness removed: {before}" if before else f"freshness promised: {now}"
            yield Moved(aspect="freshness", way=way, what=what, removed=now is None)
        return
    yield from _due(before, now)
    yield from _days(before, now, old, new)
    yield from _covers(before, now)
    yield from _trading(before, now, old, new)
    if before.tz != now.tz:
        yield _moved("tz", Way.OTHER, before.tz, now.tz)
    if before.warn_before != now.warn_before:
        what = f"people are told {moved(before.warn_before, now.warn_before)} before it falls due"
        yield Moved(aspect="freshness", role=Role.ABOUT, way=Way.OTHER, what=what)
    shares = [share_of(each.at_least) if each.at_least else 0.0 for each in (before, now)]
    if share_way := ranked(*shares, more=Way.STRONGER):
        yield _moved("at_least", share_way, before.at_least, now.at_least)


def _due(before: Freshness, now: Freshness) -> Iterator[Moved]:
    kinds = [next(k for k in ("by", "every", "within") if getattr(f, k)) for f in (before, now)]
    if kinds[0] != kinds[1]:
        texts = [f"{kind} {getattr(f, kind)}" for kind, f in zip(kinds, (before, now), strict=True)]
        yield Moved(aspect="freshness", way=Way.OTHER, what=f"freshness {moved(*texts)}")
        return
    kind = kinds[0]
    old, new = getattr(before, kind), getattr(now, kind)
    if old == new:
        return
    way: Way | None = Way.OTHER
    if kind == "by":
        way = ranked(*map(_minutes, (old, new)), more=Way.WEAKER)
    elif kind == "within":
        way = ranked(*(while_of(text).total_seconds() for text in (old, new)), more=Way.WEAKER)
    if way:
        yield _moved(kind, way, old, new)


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes or 0)


def _days(before: Freshness, now: Freshness, old: Calendars, new: Calendars) -> Iterator[Moved]:
    """Yield how the days moved on which a promise falls due."""
    ons = on_of(_name(before.on)), on_of(_name(now.on))
    # Each month's day by its number; its last working day comes after all others.
    numbers = [on.n or 99 if on.n is not None else 0 for on in ons]
    if (ons[0].n is None) != (ons[1].n is None):
        yield _moved("on", Way.OTHER, _name(before.on), _name(now.on))
        return
    if way := ranked(numbers[0], numbers[1], more=Way.WEAKER):
        yield _moved("on", way, _name(before.on), _name(now.on))
        return
    names = ons[0].calendar, ons[1].calendar
    if way := _calendar_way(old.get(names[0]), new.get(names[1]), names):
        what = moved(*names) if names[0] != names[1] else f"the days of {names[0]} changed"
        yield Moved(aspect="freshness", way=way, what=f"freshness on {what}{_amount(way)}")


def _amount(way: Way) -> str:
    return {Way.WEAKER: " (fewer days)", Way.STRONGER: " (more days)"}.get(way, "")


def _trading(before: Freshness, now: Freshness, old: Calendars, new: Calendars) -> Iterator[Moved]:
    names = _name(before.trading), _name(now.trading)
    if way := _calendar_way(old.get(names[0]), new.get(names[1]), names):
        what = moved(*names) if names[0] != names[1] else f"{names[0]} changed"
        yield Moved(aspect="freshness", way=way, what=f"trading days of {what}{_amount(way)}")


def _name(calendar: object) -> str:
    return calendar.name if isinstance(calendar, WorkCalendar) else str(calendar)


def _calendar_way(
    old: WorkCalendar | None, new: WorkCalendar | None, names: tuple[str, str]
) -> Way | None:
    """Return how a calendar moved on the days that both know; '' as a name is every day."""
    if names == ("", ""):
        return None
    if not names[0] or not names[1]:
        return Way.WEAKER if names[1] else Way.STRONGER
    if old is None or new is None:
        return Way.OTHER if names[0] != names[1] else None
    first, last = max(old.first, new.first), min(old.last, new.last)
    before, now = Days(old), Days(new)
    special = {*old.closed, *old.opened, *new.closed, *new.opened}
    days = [day for day in special if first <= day <= last]
    lost = bool(set(old.weekdays) - set(new.weekdays))
    gained = bool(set(new.weekdays) - set(old.weekdays))
    lost = lost or any(before.is_open(day) and not now.is_open(day) for day in days)
    gained = gained or any(now.is_open(day) and not before.is_open(day) for day in days)
    if lost and gained:
        return Way.OTHER
    return Way.WEAKER if lost else Way.STRONGER if gained else None


def _covers(before: Freshness, now: Freshness) -> Iterator[Moved]:
    if before.within and now.within:
        return
    old, new = (covers_of(f.covers) or _usual(f) for f in (before, now))
    if old == new:
        return
    way = ranked(_NEAR[old], _NEAR[new], more=Way.WEAKER) or Way.OTHER
    yield _moved("covers", way, old, new)


def _usual(freshness: Freshness) -> str:
    return WORKING_DAY if _name(freshness.on) else PREVIOUS_DAY


def _moved(name: str, way: Way, before: str, now: str) -> Moved:
    return Moved(aspect="freshness", way=way, what=f"freshness {name} {moved(before, now)}")
