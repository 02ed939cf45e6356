"""What promises still wait for: products to build, and drops that are not there; pure."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta

from msgspec import Struct

from assay.plan.graph import Graph
from assay.plan.lateness import Moments, Surroundings, lacking
from assay.plan.windows import Promise, Window

HORIZON = timedelta(hours=48)  # nothing is forecast of promises that fall due later


class Pending(Struct, frozen=True, kw_only=True):
    """Promises for data of the same day, and what is missing for them.

    - `day`: the day that data has to reach; None for any newer data than there is.
    - `tz`: the zone of that day.
    - `promises`: by the name of the product or source.
    - `to_build`: products that have to be built.
    - `awaited`: sources whose drop is not there.
    """

    day: date | None
    tz: str
    promises: dict[str, Promise]
    to_build: frozenset[str]
    awaited: frozenset[str]


def pending(around: Surroundings) -> Sequence[Pending]:
    """Return the promises that are late, or fall due soon and are not kept, the earliest in front.

    Inherited ones, those of products that are held, and of what depends on them, are left out.
    """
    groups: dict[tuple[date | None, str], dict[str, Promise]] = {}
    held = _with_below(around, around.progress.held)
    until = around.now + HORIZON
    open_of: dict[tuple[int, datetime | None], Promise | None] = {}  # many have the same window
    for name in _promising(around.graph):
        window, as_of = around.windows[name], around.as_of.get(name)
        key = (id(around.moments[name]), as_of)
        if key not in open_of:
            open_of[key] = _open_promise(window, around.moments[name], as_of)
        promise = open_of[key]
        if promise and name not in held and promise.due <= until:
            day = None if isinstance(promise.reach, datetime) else promise.reach
            groups.setdefault((day, window.tz), {})[name] = promise
    waiting = [_pending(day, tz, promises, around) for (day, tz), promises in groups.items()]
    return sorted(waiting, key=lambda one: min(p.due for p in one.promises.values()))


def _open_promise(window: Window, moments: Moments, as_of: datetime | None) -> Promise | None:
    """Return the first promise that is not kept: the last that fell due, or the next."""
    both = [promise for promise in (moments.last, moments.next) if promise]
    return next((p for p in both if not window.reached(p, as_of)), None)


def _promising(graph: Graph) -> Iterator[str]:
    """Yield the sources and products that have a promise of their own."""
    yield from (name for name, source in graph.sources.items() if source.freshness)
    yield from (name for name, product in graph.products.items() if product.freshness)


def _pending(
    day: date | None, tz: str, promises: dict[str, Promise], around: Surroundings
) -> Pending:
    """Return what is missing for promises: from each name upstream, through all that lack it."""
    seen: set[str] = set()
    for name, promise in promises.items():
        todo = [name]
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo += lacking(current, promise, around.windows[name], around)
    products = around.graph.products.keys()
    return Pending(
        day=day,
        tz=tz,
        promises=promises,
        to_build=frozenset(seen & products),
        awaited=frozenset(seen - products),
    )


def _with_below(around: Surroundings, names: Iterable[str]) -> Collection[str]:
    """Return products with all that depends on them."""
    reached = set(names)
    edge = set(reached)
    while edge:
        edge = {below for name in edge for below in around.graph.below.get(name, ())} - reached
        reached |= edge
    return reached
