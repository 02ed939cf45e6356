"""Promises that are inherited: what has none of its own gets the tightest of what it feeds."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from assay.model import Freshness
from assay.plan.calendars import DaysUnknown
from assay.plan.graph import Graph
from assay.plan.reach import undated
from assay.plan.windows import Window, windows_of
from assay.times import while_of

_NEVER = datetime.max.replace(tzinfo=UTC)


class _Tight(Struct, frozen=True, order=True):
    """When a promise falls due next, and the product that it is of; the smaller is tighter."""

    due: datetime
    name: str


def inherited(
    graph: Graph, now: datetime, windows: Mapping[str, Window] | None = None
) -> Mapping[str, tuple[Freshness, str]]:
    """Return the promises of products and sources without one of their own, and whose each is.

    The tightest falls due first after `now`; of `within`, an age that begins now. What nothing
    dates but the time of its files inherits none: a list of countries may be old. `windows` are
    those of their own, if they are known.
    """
    dues = _dues(windows_of(graph) if windows is None else windows, now)
    if not dues:
        return {}
    without_date = undated(graph)
    tightest: dict[str, _Tight] = {}
    handed: dict[str, tuple[Freshness, str]] = {}
    for name in (*reversed(graph.order), *graph.sources):
        below = [tightest[reader] for reader in graph.below.get(name, ()) if reader in tightest]
        own = dues.get(name)
        if own is None and not below:
            continue
        tightest[name] = min([*below, *([_Tight(own, name)] if own else [])])
        if own is None and name not in without_date:
            of = tightest[name].name
            freshness = graph.products[of].freshness
            assert freshness
            handed[name] = (freshness, of)
    return handed


def _dues(windows: Mapping[str, Window], now: datetime) -> Mapping[str, datetime]:
    """Return when the own promise of each product or source falls due next."""
    shared: dict[int, datetime] = {}  # by window: many products have the same
    dues: dict[str, datetime] = {}
    for name, window in windows.items():
        if id(window) not in shared:
            shared[id(window)] = _next_due(window, now)
        dues[name] = shared[id(window)]
    return dues


def _next_due(window: Window, now: datetime) -> datetime:
    """Return when a window falls due next; the end of time when that is not known."""
    if window.freshness.within:
        return now + while_of(window.freshness.within)
    try:
        promise = window.next(now, None)
    except DaysUnknown:
        return _NEVER
    return promise.due if promise else _NEVER
