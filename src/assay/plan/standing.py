"""How the promises of products and sources stand: kept, due, at risk, late, missed or unknown."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from assay.plan.forecast import Forecast, obstacle
from assay.plan.graph import Graph
from assay.plan.inheritance import inherited
from assay.plan.lateness import (
    Delay,
    Moments,
    Progress,
    Surroundings,
    is_prevented,
    moments_of,
    root_causes,
)
from assay.plan.promise_state import State
from assay.plan.windows import WARN_BEFORE, Promise, Window, window_of, windows_of
from assay.times import while_of

LIKELY = 0.8  # a promise that is less likely to be kept is at risk


class Expected(Protocol):
    """When a product is likely to be there; None for what cannot be told.

    - `start_by`: when building has to begin.
    - `likely_at`: when it is likely to be published.
    - `probability`: that the promise is kept, from 0 to 1.
    """

    @property
    def start_by(self) -> datetime | None: ...
    @property
    def likely_at(self) -> datetime | None: ...
    @property
    def probability(self) -> float | None: ...


class Standing(Struct, frozen=True, kw_only=True):
    """How the promise of a product or source stands.

    - `as_of`: how far the data of readers reaches.
    - `promise`: the broken one when it is late or missed, else the next; None for none.
    - `next`: the next promise that falls due; None when not known.
    - `time_left`: until `promise` falls due; negative once it did.
    - `start_by`, `likely_at`, `probability`: as in Expected.
    - `causes`: where it begins that the promise is, or may be, broken.
    - `inherited_from`: the product whose window this is; '' for a window of its own.
    - `problem`: why the state is unknown, and what to do; '' when it is known.
    """

    name: str
    state: State
    window: Window
    as_of: datetime | None
    promise: Promise | None = None
    next: Promise | None = None
    time_left: timedelta | None = None
    start_by: datetime | None = None
    likely_at: datetime | None = None
    probability: float | None = None
    causes: tuple[Delay, ...] = ()
    inherited_from: str = ""
    problem: str = ""


def broken(window: Window, moments: Moments, now: datetime, as_of: datetime | None) -> State | None:
    """Return late or missed when the last promise was not kept; None when it was, or was none."""
    last = moments.last
    if last is None or window.reached(last, as_of):
        return None
    if window.freshness.within:
        age = while_of(window.freshness.within)
        return State.MISSED if now >= last.due + age else State.LATE
    if as_of and moments.before and not window.reached(moments.before, as_of):
        return State.MISSED
    return State.LATE


def warned_from(window: Window, due: datetime, expected: Expected | None) -> datetime:
    """Return from when a promise that is not kept yet is shown as due."""
    text = window.freshness.warn_before
    warn = while_of(text) if text else WARN_BEFORE
    start_by = expected.start_by if expected else None
    return (min(due, start_by) if start_by else due) - warn


def doubtful(expected: Expected | None, now: datetime, *, started: bool) -> bool:
    """Return whether a forecast says that a promise will probably not be kept."""
    if expected is None:
        return False
    if expected.probability is not None and expected.probability < LIKELY:
        return True
    return expected.start_by is not None and now >= expected.start_by and not started


def standings(
    graph: Graph,
    as_of: Mapping[str, datetime | None],
    now: datetime,
    *,
    forecast: Mapping[str, Expected] | None = None,
    progress: Progress | None = None,
) -> Mapping[str, Standing]:
    """Return how the promise of everything with a window, of its own or inherited, stands at `now`.

    `as_of` says of each published product and source how far its data reaches.
    """
    return standings_in(surroundings(graph, as_of, now, progress or Progress()), forecast or {})


def standings_in(around: Surroundings, forecast: Mapping[str, Expected]) -> Mapping[str, Standing]:
    """Return how promises stand; sources first, then products in order."""
    graph = around.graph
    return {
        name: _standing(name, around, forecast.get(name))
        for name in (*graph.sources, *graph.order)
        if name in around.windows
    }


def surroundings(
    graph: Graph, as_of: Mapping[str, datetime | None], now: datetime, progress: Progress
) -> Surroundings:
    """Return all windows, with the promises around a moment."""
    windows = windows_of(graph)
    handed = inherited(graph, now, windows)
    windows |= {name: window_of(f, graph.calendars) for name, (f, _) in handed.items()}
    return Surroundings(
        graph=graph,
        now=now,
        as_of=as_of,
        progress=progress,
        windows=windows,
        moments=_moments(windows, as_of, now),
        inherited_from={name: of for name, (_, of) in handed.items()},
    )


def _moments(
    windows: Mapping[str, Window], as_of: Mapping[str, datetime | None], now: datetime
) -> Mapping[str, Moments]:
    """Return the promises around now; those of one window are the same, unless they are of ages."""
    shared: dict[int, Moments] = {}
    moments: dict[str, Moments] = {}
    for name, window in windows.items():
        if window.freshness.within:
            moments[name] = moments_of(window, now, as_of.get(name))
            continue
        if id(window) not in shared:
            shared[id(window)] = moments_of(window, now, None)
        moments[name] = shared[id(window)]
    return moments


def _standing(name: str, around: Surroundings, expected: Expected | None) -> Standing:
    window, moments, as_of = around.windows[name], around.moments[name], around.as_of.get(name)
    standing = Standing(
        name=name,
        state=State.KEPT,
        window=window,
        as_of=as_of,
        next=moments.next,
        inherited_from=around.inherited_from.get(name, ""),
    )
    if as_of is None and (problem := _why_unknown(name, around)):
        return replace(standing, state=State.UNKNOWN, problem=problem)
    if state := broken(window, moments, around.now, as_of):
        assert moments.last
        late = _of_promise(standing, state, moments.last, around)
        return replace(late, likely_at=expected.likely_at) if expected else late
    if moments.problem:
        return replace(standing, state=State.UNKNOWN, problem=moments.problem)
    if moments.next is None:
        problem = "nothing is published yet" if as_of is None else "it never falls due"
        return replace(standing, state=State.UNKNOWN, problem=problem)
    state = _before(name, moments.next, around, expected)
    standing = _of_promise(standing, state, moments.next, around)
    if expected is None or window.reached(moments.next, as_of):
        return standing
    return replace(
        standing,
        start_by=expected.start_by,
        likely_at=expected.likely_at,
        probability=expected.probability,
        causes=_with_obstacle(standing, moments.next, expected),
    )


def _with_obstacle(standing: Standing, promise: Promise, expected: Expected) -> tuple[Delay, ...]:
    """Return the causes of a standing, with the work that makes a promise unlikely in front."""
    if standing.state is not State.AT_RISK or not isinstance(expected, Forecast):
        return standing.causes
    name, text = obstacle(expected, promise.due)
    others = tuple(cause for cause in standing.causes if cause.name != name)
    return (Delay(name=name, text=text, is_work=True), *others) if name else standing.causes


def _why_unknown(name: str, around: Surroundings) -> str:
    """Return why it is not known how far the data of `name` reaches; '' if there is none."""
    published = around.progress.published
    if published is not None and name not in published:
        return ""
    graph = around.graph
    declared = graph.products[name] if name in graph.products else graph.sources[name]
    if declared.event_time:
        return f"no {declared.event_time} of {name} is before tomorrow, or none was read yet"
    return f"nothing says how far the data of {name} reaches: declare its event_time="


def _of_promise(
    standing: Standing, state: State, promise: Promise, around: Surroundings
) -> Standing:
    """Return a standing with its promise and, unless that is or will be kept, the causes."""
    causes: tuple[Delay, ...] = ()
    if state is not State.KEPT:
        causes = root_causes(standing.name, promise, standing.window, around)
    left = promise.due - around.now
    return replace(standing, state=state, promise=promise, time_left=left, causes=causes)


def _before(name: str, promise: Promise, around: Surroundings, expected: Expected | None) -> State:
    """Return the state before a promise falls due: kept, due or at risk.

    A forecast counts from when there is little time left: hours before, it says no more than that
    earlier nights were not all in time, and people would be told so every day.
    """
    window, now = around.windows[name], around.now
    if window.reached(promise, around.as_of.get(name)):
        return State.KEPT
    near = now >= warned_from(window, promise.due, expected)
    if near and doubtful(expected, now, started=name in around.progress.started):
        return State.AT_RISK
    if is_prevented(name, promise, window, around, near=near):
        return State.AT_RISK
    return State.DUE if near else State.KEPT
