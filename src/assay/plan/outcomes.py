"""How each promise that fell due came out, from the history of what readers had; pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.plan.calendars import DaysUnknown
from assay.plan.promise_state import State
from assay.plan.windows import Promise, Window
from assay.times import in_utc, while_of

_MOST = 10_000  # promises that are looked at in one turn: a promise for every minute of a week


class Reach(Struct, frozen=True):
    """From `at` on, the data of readers reached `as_of`; None for data without a time, or none."""

    at: datetime
    as_of: datetime | None


class PromiseOutcome(Struct, frozen=True, kw_only=True):
    """How a promise came out.

    - `due`: when it fell due.
    - `state`: kept, late or missed.
    - `came`: when the data came, of one that was late.
    - `as_of`: how far the data reached when it fell due.
    - `cause`: why it was not kept; '' when it was.
    - `basis`: what the promise follows from (see Window.basis).
    """

    name: str
    due: datetime
    state: State
    came: datetime | None = None
    as_of: datetime | None = None
    cause: str = ""
    basis: Mapping[str, Any]


def came_out(
    name: str, window: Window, history: Sequence[Reach], since: datetime, now: datetime
) -> Iterator[tuple[Promise, PromiseOutcome]]:
    """Yield how promises came out that fell due after `since` and by `now`, in order.

    Ends at the first that is late and may still come: what is yielded depends on nothing that is
    later than that, so it is the same whenever it is asked for. `history` is in order of time.
    """
    for promise, following in _due(window, history, since):
        if promise.due > now:
            return
        try:
            outcome = _outcome(name, window, promise, history, min(following or now, now))
        except DaysUnknown:
            return
        if outcome.state is State.LATE and outcome.came is None:
            if following is None or following > now:
                return
            outcome = replace(outcome, state=State.MISSED)
        yield promise, outcome


def _due(
    window: Window, history: Sequence[Reach], since: datetime
) -> Iterator[tuple[Promise, datetime | None]]:
    """Yield promises due after a moment, each with when the next falls due (None: not known)."""
    if window.freshness.within:
        age = while_of(window.freshness.within)
        yield from ((p, p.due + age) for p in _of_ages(window, history) if p.due > since)
        return
    try:
        promise = window.next(since, None)
        for _ in range(_MOST):
            if promise is None:
                return
            following = _next(window, promise.due)
            yield promise, following.due if following else None
            promise = following
    except DaysUnknown:
        return


def _next(window: Window, due: datetime) -> Promise | None:
    try:
        return window.next(due, None)
    except DaysUnknown:
        return None


def _of_ages(window: Window, history: Sequence[Reach]) -> list[Promise]:
    """Return the promise of each age that data had, in order of due."""
    promises: dict[datetime, Promise] = {}
    for reach in history:
        try:
            if promise := window.next(datetime.min.replace(tzinfo=reach.at.tzinfo), reach.as_of):
                promises[promise.due] = promise
        except DaysUnknown:
            continue
    return [promises[due] for due in sorted(promises)]


def _outcome(
    name: str, window: Window, promise: Promise, history: Sequence[Reach], until: datetime
) -> PromiseOutcome:
    """Return a promise as kept, or as late; without `came` if the data did not come by `until`."""
    before = [reach for reach in history if reach.at <= promise.due]
    as_of = before[-1].as_of if before else None
    kept = window.reached(promise, as_of)
    outcome = PromiseOutcome(
        name=name, due=promise.due, state=State.KEPT, as_of=as_of, basis=window.basis(promise)
    )
    if kept:
        return outcome
    after = (reach for reach in history if promise.due < reach.at <= until)
    came = next((r.at for r in after if window.reached(promise, r.as_of)), None)
    return replace(outcome, state=State.LATE, came=came)


def newest(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the later of two times; a time without a zone is taken as UTC."""
    return max((at for at in (one, other) if at is not None), key=in_utc, default=None)


def start_of_quarter(now: datetime) -> datetime:
    """Return when the current quarter began."""
    start = now.replace(month=now.month - (now.month - 1) % 3, day=1)
    return start.replace(hour=0, minute=0, second=0, microsecond=0)
