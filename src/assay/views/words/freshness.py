"""How promises stand, in words."""

import re
from datetime import datetime, timedelta

from assay.plan.promise_state import State
from assay.times import local
from assay.views.freshness import CauseView, FreshnessView
from assay.views.words.numbers import count_of, day

_DAY, _HOUR, _MINUTE = 86_400, 3600, 60
_DAY_OF_MONTH = re.compile(r"working day \d+|last working day")
_DAY_LENGTH = len("2011-12-09")


def standing_line(view: FreshnessView, now: datetime) -> str:
    """Return how a promise stands, in a sentence."""
    if view.state is State.UNKNOWN:
        return view.problem
    if view.due is None or view.seconds_left is None:
        return "; ".join(filter(None, [_as_of(view), _tally(view)]))
    if view.state is State.KEPT:
        return "; ".join(filter(None, [_as_of(view), _tally(view), _next(view, now)]))
    texts = [f"{_as_of(view)}, {_promised(view, now)} ({left(view.seconds_left)})"]
    if view.start_by and not view.state.is_broken:
        texts.append(f"has to start by {_clock(view.start_by, view, now)}")
    likely = f"likely there {_clock(view.likely_at, view, now)}" if view.likely_at else ""
    if likely and view.probability is not None:
        likely += f" ({view.probability:.0%})"
    line = ", ".join(filter(None, ["; ".join(texts), likely]))
    line = f"{line}; {_tally(view)}" if view.under_at_least else line
    return line if not view.inherited_from else f"{line} (for {view.inherited_from})"


def expected_line(view: FreshnessView, now: datetime) -> str:
    """Return when newer data is likely there, in a sentence; '' if it is, or nobody can tell."""
    if view.state is State.KEPT or view.likely_at is None:
        return ""
    line = f"Newer figures are expected at {_clock(view.likely_at, view, now)} {view.tz}"
    if view.due and view.probability is not None and not view.state.is_broken:
        line += (
            f"; promised by {_clock(view.due, view, now)}, which is {view.probability:.0%} likely"
        )
    return f"{line}."


def cause_line(view: FreshnessView, cause: CauseView) -> str:
    """Return a cause why a promise is, or may be, broken."""
    return cause.text if cause.name == view.name else f"waits for {cause.name}: {cause.text}"


def standing_cell(view: FreshnessView | None, now: datetime) -> str:
    """Return a standing as it is shown in a table: the state, and when the promise is due."""
    if view is None:
        return ""
    inherited = f" (for {view.inherited_from})" if view.inherited_from else ""
    if view.due is None:
        return f"{view.state}{inherited}"
    if inherited and view.state.is_broken:
        return f"older than promised by {_clock(view.due, view, now)}{inherited}"
    word = "was due" if view.state.is_broken else "due"
    return f"{view.state}, {word} {_clock(view.due, view, now)}{inherited}"


def left(seconds: float) -> str:
    """Return a time that is left, or over: "in 52 min", "3 days ago"."""
    length = abs(seconds)
    if length >= 2 * _DAY:
        text = count_of(int(length // _DAY), "day")
    elif length >= _HOUR:
        minutes = int(length % _HOUR // _MINUTE)
        text = f"{int(length // _HOUR)} h" + (f" {minutes} min" if minutes else "")
    else:
        text = f"{int(length // _MINUTE)} min"
    return f"in {text}" if seconds > 0 else f"{text} ago"


def _as_of(view: FreshnessView) -> str:
    if view.as_of is None:
        return "nothing is published"
    shown = view.as_of
    if shown.tzinfo:
        shown = local(shown, view.tz)
    if len(view.reach) == _DAY_LENGTH:
        return f"as of {shown:%Y-%m-%d}"
    return f"as of {day(shown)}"


def _promised(view: FreshnessView, now: datetime) -> str:
    assert view.due
    by = _clock(view.due, view, now)
    if len(view.reach) == _DAY_LENGTH:
        return f"promised {view.reach} by {by}"
    return f"newer was promised by {by}"


def _tally(view: FreshnessView) -> str:
    if not view.promised:
        return ""
    kept = f"{view.kept} of {view.promised} kept this quarter"
    if view.under_at_least:
        return f"{kept}, under the {view.at_least} promised"
    return f"{kept} (at least {view.at_least} promised)" if view.at_least else kept


def _next(view: FreshnessView, now: datetime) -> str:
    """Return when the next promise falls due, on which day of the month if that is what counts."""
    assert view.due
    at = _clock(view.due, view, now)
    if day_of_month := _DAY_OF_MONTH.search(view.freshness):
        at = f"{day_of_month[0]}, {at}"
    inherited = f", for {view.inherited_from}" if view.inherited_from else ""
    return f"next promise {at}{inherited}"


def _clock(moment: datetime, view: FreshnessView, now: datetime) -> str:
    """Return a local time, with its date unless that is today."""
    there, today = local(moment, view.tz), local(now, view.tz).date()
    if there.date() == today:
        return f"{there:%H:%M}"
    if there.date() == today + timedelta(days=1):
        return f"tomorrow {there:%H:%M}"
    return f"{there:%Y-%m-%d %H:%M}"
