"""What is due: the products that are wanted now, and the moments at which that changes; pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import date, datetime

from assay.decisions import (
    Build,
    Check,
    Decision,
    InputChanged,
    Maybe,
    Publish,
    Reason,
    Restate,
    TimePassed,
    Waive,
)
from assay.facts import SourceState
from assay.plan.calendars import DaysUnknown
from assay.plan.graph import Graph
from assay.plan.reach import last_day_of
from assay.plan.windows import WARN_BEFORE, Window
from assay.times import while_of


def is_open(
    window: Window, now: datetime, as_of: datetime | None, available: datetime | None
) -> bool:
    """Return whether a product is wanted now for the sake of a window.

    It is when the last promise is not reached by what readers see (`as_of`), when data for the next
    promise can exist, or when the data that is `available` in sources reaches it already. A
    calendar that does not know the days makes nothing wait.
    """
    try:
        last = window.last(now, as_of)
        if last and not window.reached(last, as_of):
            return True
        promise = window.next(now, as_of)
        return promise is None or window.opens(promise) <= now or window.reached(promise, available)
    except DaysUnknown:
        return True


def is_corrected(
    window: Window, now: datetime, as_of: datetime | None, corrected: date | None
) -> bool:
    """Return whether data that a promise was about was delivered anew; see `corrected_days`."""
    if corrected is None:
        return False
    try:
        last = window.last(now, as_of)
    except DaysUnknown:
        return True
    return last is not None and not isinstance(last.reach, datetime) and corrected <= last.reach


def corrected_days(
    graph: Graph, steps: Mapping[str, Decision], sources: Mapping[str, SourceState]
) -> dict[str, date]:
    """Return the first day of which a drop was corrected that a product was built from.

    Of files that are replaced, only those with a day, month or year in their path count, by the
    last day that they may hold: another may well be new data. A file that is removed while none is
    added is no new data, whatever day it was of: `date.min`.
    """
    days: dict[str, date] = {}
    for name in graph.order:
        known = [days[read] for read in graph.products[name].reads if read in days]
        step = steps.get(name)
        if isinstance(step, Build):
            known += _days_replaced(graph, step.reasons, sources)
        if known:
            days[name] = min(known)
    return days


def _days_replaced(
    graph: Graph, reasons: Iterable[Reason], sources: Mapping[str, SourceState]
) -> Iterator[date]:
    for reason in reasons:
        if isinstance(reason, InputChanged) and reason.removed and not reason.added:
            yield date.min
        if isinstance(reason, InputChanged) and reason.replaced:
            source, replaced = graph.sources[reason.name], set(reason.replaced)
            for file in sources[reason.name].files:
                if file.path in replaced and (day := last_day_of(source, file.part)):
                    yield day


def due_products(
    graph: Graph, steps: Mapping[str, Decision], is_open: Callable[[str], bool]
) -> set[str]:
    """Return the products that are due; `is_open` is asked about those with a window of their own.

    Due are

    - products whose own window is open or whose data is corrected, and those that feed no window;
    - products that are not up to date for another reason than new data: their code or contract
      changed, they were never built, or what was built is not released; and those downstream;
    - the other members of their release groups, and all that any of them is built from.
    """
    feeds_window = set[str]()
    chosen = set[str]()
    for name in reversed(graph.order):
        has_window = graph.products[name].freshness is not None
        readers = graph.below.get(name, ())
        if has_window and is_open(name):
            chosen.add(name)
        if has_window or not feeds_window.isdisjoint(readers):
            feeds_window.add(name)
        else:
            chosen.add(name)
    chosen |= _changed_otherwise(graph, steps)
    return with_inputs(graph, chosen)


def with_inputs(graph: Graph, names: Collection[str]) -> set[str]:
    """Return products with their release groups, and with all products that they are built from."""
    members: dict[str, list[str]] = {}
    for name, product in graph.products.items():
        if product.release_group:
            members.setdefault(product.release_group, []).append(name)
    reached, edge = set[str](), list(names)
    while edge:
        name = edge.pop()
        if name in reached or name not in graph.products:
            continue
        reached.add(name)
        product = graph.products[name]
        edge += [*product.reads, *members.get(product.release_group, ())]
    return reached


def without(graph: Graph, names: Collection[str], left_out: Iterable[str]) -> set[str]:
    """Return products without some, all that is built from those, and their release groups.

    So no product is built from an older version of an input than the others are.
    """
    groups: dict[str, list[str]] = {}
    for name, product in graph.products.items():
        if product.release_group:
            groups.setdefault(product.release_group, []).append(name)
    dropped, edge = set[str](), list(left_out)
    while edge:
        name = edge.pop()
        if name in dropped or name not in graph.products:
            continue
        dropped.add(name)
        edge += [*graph.below.get(name, ()), *groups.get(graph.products[name].release_group, ())]
    return set(names) - dropped


def _changed_otherwise(graph: Graph, steps: Mapping[str, Decision]) -> set[str]:
    """Return the products with work to do that new data alone does not cause.

    What time has made stale is fetched anew; to products downstream, that is new data.
    """
    changed, spreading = set[str](), set[str]()
    for name in graph.order:
        below = not spreading.isdisjoint(graph.products[name].reads)
        match steps.get(name):
            case Check() | Publish() | Restate() | Waive():
                changed.add(name)
                spreading.add(name)
            case Maybe() if below:
                spreading.add(name)
            case Build(reasons=reasons):
                own = [reason for reason in reasons if not isinstance(reason, InputChanged)]
                if own:
                    changed.add(name)
                if below or any(not isinstance(reason, TimePassed) for reason in own):
                    spreading.add(name)
    return changed | spreading


def moments(window: Window, now: datetime, as_of: datetime | None) -> Iterator[datetime]:
    """Yield the moments after `now` at which something about a window changes by time alone.

    They are when the next promise opens, when people are to be warned of it, and when it is due.
    """
    try:
        promise = window.next(now, as_of)
        if promise is None:
            return
        warn_before = window.freshness.warn_before
        warned = promise.due - (while_of(warn_before) if warn_before else WARN_BEFORE)
        yield from (at for at in (window.opens(promise), warned, promise.due) if at > now)
    except DaysUnknown:
        return
