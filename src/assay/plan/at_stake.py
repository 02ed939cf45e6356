"""The promises that a run may still keep, or has not kept yet: when each product is due; pure."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from assay.plan.calendars import DaysUnknown
from assay.plan.graph import Graph
from assay.plan.windows import Window, window_of


def at_stake(
    graph: Graph, names: Iterable[str], as_of: Mapping[str, datetime | None], now: datetime
) -> dict[str, datetime]:
    """Return until when products with a promise are due: the first one that is not reached yet.

    It lies in the past if the product is late. `as_of` is how far the data of each product reaches;
    where that is not known, the next promise counts. A product whose calendar does not know the
    days has none.
    """
    dues = {}
    for name in names:
        freshness = graph.products[name].freshness
        if freshness is None:
            continue
        window = window_of(freshness, graph.calendars)
        try:
            due = _due(window, as_of.get(name), now)
        except DaysUnknown:
            continue
        if due is not None:
            dues[name] = due
    return dues


def _due(window: Window, as_of: datetime | None, now: datetime) -> datetime | None:
    last = window.last(now, as_of) if as_of else None
    if last and not window.reached(last, as_of):
        return last.due
    promise = window.next(now, as_of)
    if promise and window.reached(promise, as_of):
        promise = window.next(promise.due, as_of)
    return promise.due if promise else None
