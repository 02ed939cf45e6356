"""Products that change with time: the current day, hour, … or window is part of their code.

Those are products that say `changes_with`, and fetchers: functions without inputs that have a
promise of freshness, and so are stale when its next window opens.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

from msgspec.structs import replace

from assay.model import Freshness, Kind, Product, WorkCalendar
from assay.plan.calendars import DaysUnknown
from assay.plan.digests import code_of
from assay.plan.graph import Graph
from assay.plan.windows import Window, window_of
from assay.times import local, settled_before, utc_of, while_of

NEVER = "never"
TURNS = ("hour", "day", "week", "month", "quarter", "year")
CLOCK = "clock"  # the name of the moment among the things that code reaches
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def start_of(period: str, now: datetime) -> datetime:
    """Return when the current hour, day, month … began, in UTC; for "never", return now."""
    if period == NEVER:
        return now.astimezone(UTC)
    if period == "hour":
        return now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return settled_before(f"start of {period}", now).replace(tzinfo=UTC)


def is_fetcher(product: Product) -> bool:
    """Return whether a product is a function without inputs that has a promise to keep."""
    is_function = product.kind in {Kind.FUNCTION, Kind.FILE}
    is_alone = not product.inputs and not product.changes_with
    return is_function and is_alone and product.freshness is not None


def at_moment(product: Product, now: datetime, calendars: Mapping[str, WorkCalendar]) -> Product:
    """Return a product with its clock at the start of the current period or window."""
    if product.changes_with:
        return with_moment(product, start_of(product.changes_with, now))
    if product.freshness and is_fetcher(product):
        return with_moment(product, opened(product.freshness, now, calendars))
    return product


def with_moment(product: Product, moment: datetime) -> Product:
    """Return a product that changes with time with its clock at a moment that `at_moment` gave."""
    reached = dict(product.code.reached)
    if not product.changes_with:
        reached[CLOCK] = f"window of {moment:%Y-%m-%d %H:%M} UTC"
    elif product.clocked and product.changes_with != NEVER:
        reached[CLOCK] = _period_name(product.changes_with, moment)
    return replace(product, moment=moment, code=code_of(reached))


def graph_at(graph: Graph, now: datetime) -> Graph:
    """Return the graph with the clock of each product at the start of its current period."""
    if not any(p.changes_with or is_fetcher(p) for p in graph.products.values()):
        return graph
    products = {
        name: at_moment(product, now, graph.calendars) for name, product in graph.products.items()
    }
    timed = replace(graph, products=products)
    timed.keep_order(graph.order)
    return timed


def judged_at(product: Product) -> str:
    """Return the period that a verdict on a product is for, as "day 2026-12-08".

    '' means that no rule reads the clock, or that the product never changes with time.
    """
    is_clocked = any(rule.clocked for rule in product.contract.rules)
    if not is_clocked or not product.moment or product.changes_with in {"", NEVER}:
        return ""
    return _period_name(product.changes_with, product.moment)


def _period_name(period: str, moment: datetime) -> str:
    if period == "hour":
        return f"hour {moment:%Y-%m-%dT%H:00}"
    return f"{period} {moment:%Y-%m-%d}"


# ----------------------------------------------------------------------------- windows of fetchers


def opened(freshness: Freshness, now: datetime, calendars: Mapping[str, WorkCalendar]) -> datetime:
    """Return when the window that is open at `now` opened, in UTC.

    Of `within`, windows are half as long as it, counted from 1970. Where the calendar is unknown,
    each day is a window: to fetch once too often does no harm.
    """
    if freshness.within:
        return _bucket(freshness, now)
    window = window_of(freshness, calendars)
    try:
        return _newest_open(window, now) or _start_of_day(now, freshness.tz)
    except DaysUnknown:
        return _start_of_day(now, freshness.tz)


def opens_next(
    freshness: Freshness, now: datetime, calendars: Mapping[str, WorkCalendar]
) -> datetime:
    """Return when the next window of a fetcher opens after `now`, in UTC."""
    if freshness.within:
        return _bucket(freshness, now) + while_of(freshness.within) / 2
    window = window_of(freshness, calendars)
    tomorrow = _start_of_day(now + timedelta(days=1), freshness.tz)
    try:
        promise = window.next(now, None)
        while promise and window.opens(promise) <= now:
            promise = window.next(promise.due, None)
        return window.opens(promise) if promise else tomorrow
    except DaysUnknown:
        return tomorrow


def _newest_open(window: Window, now: datetime) -> datetime | None:
    """Return when the window of the newest promise for which data can exist opened."""
    for promise in (window.next(now, None), window.last(now, None)):
        if promise and window.opens(promise) <= now:
            return window.opens(promise)
    return None


def _bucket(freshness: Freshness, now: datetime) -> datetime:
    length = while_of(freshness.within) / 2
    return _EPOCH + (now - _EPOCH) // length * length


def _start_of_day(now: datetime, tz: str) -> datetime:
    return utc_of(datetime.combine(local(now, tz).date(), time()), tz)
