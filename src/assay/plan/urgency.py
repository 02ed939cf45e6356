"""What goes first: what the earliest promise needs that can still be kept; pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from msgspec import Struct

from assay.plan.graph import Graph

_NEVER = datetime.max.replace(tzinfo=UTC)
_SPARE = 0.5  # of the time that is to spare, how much lost promises may take: durations vary


class Rank(IntEnum):
    """What a product is for: a promise that can be kept, only lost promises, or none."""

    KEPT = 0
    LOST = 1
    NONE = 2


class Urgency(Struct, frozen=True, order=True):
    """How urgent a product is; the smallest goes first, and equal ones in order of lineage.

    `due` is that of the earliest promise that needs the product, of those that count.
    """

    rank: Rank = Rank.NONE
    due: datetime = _NEVER


class Lost(Struct, frozen=True, kw_only=True):
    """A promise that can no longer be kept.

    - `likely`: when the product is likely there.
    - `waits`: whether it goes behind all promises that can be kept; without it, there is time for
      both.
    """

    product: str
    due: datetime
    likely: datetime
    waits: bool


class WorkOrder(Struct, frozen=True, kw_only=True):
    """The urgency of each product, and the promises that are lost, in the order of their dues."""

    urgencies: Mapping[str, Urgency]
    lost: tuple[Lost, ...] = ()


def urgencies(
    graph: Graph,
    names: Collection[str],
    dues: Mapping[str, datetime],
    durations: Mapping[str, float],
    now: datetime,
) -> Mapping[str, Urgency]:
    """Return the urgency of each product, if each is published by itself and one runs at a time.

    For the arguments see `order_of_work`.
    """
    return order_of_work(graph, names, dues, durations, now).urgencies


def order_of_work(
    graph: Graph,
    names: Collection[str],
    dues: Mapping[str, datetime],
    durations: Mapping[str, float],
    now: datetime,
    *,
    sets: Iterable[Sequence[str]] | None = None,
    jobs: int = 1,
) -> WorkOrder:
    """Return what goes first of the products that have not settled (`names`).

    `dues` has the moment until which a product is promised, if its data does not reach that far
    yet. `durations` are the seconds that a product still takes; 0 where not known. `sets` are
    released together: a promise is kept when the whole set is released, and the sets it reads
    from. `jobs` products run at a time. The work is proportional to the number of edges.
    """
    work = _Work(graph, names, durations, sets)
    promises = sorted(
        (due, work.index[name], name) for name, due in dues.items() if name in work.index
    )
    if not promises:
        return WorkOrder(urgencies=dict.fromkeys(work.index, Urgency()))
    kept, lost = work.admit(promises, now, jobs)
    ranked = [(index, Urgency(Rank.KEPT, due)) for due, index, _ in kept]
    for promise in lost:
        rank = Rank.LOST if promise.waits else Rank.KEPT
        ranked.append((work.index[promise.product], Urgency(rank, promise.due)))
    return WorkOrder(urgencies=work.spread(ranked), lost=tuple(lost))


_Promise = tuple[datetime, int, str]  # when it is due, the index of its set, its product


class _Work:
    """Sets of products that have not settled, what they need, and the time that they take.

    `index` has the number of the set of a product. By this number, `seconds` are the sum of a set,
    and `paths` the longest chain until it is complete.
    """

    def __init__(
        self,
        graph: Graph,
        names: Collection[str],
        durations: Mapping[str, float],
        sets: Iterable[Sequence[str]] | None,
    ) -> None:
        members = set(names)
        order = [name for name in graph.order if name in members]
        parts = [[n for n in part if n in members] for part in sets or ([n] for n in order)]
        self.sets = [part for part in parts if part]
        self.index = {name: i for i, part in enumerate(self.sets) for name in part}
        self.needs: list[set[int]] = [set() for _ in self.sets]
        self.seconds = [0.0] * len(self.sets)
        for name in order:
            i = self.index[name]
            self.seconds[i] += durations.get(name, 0.0)
            reads = graph.products[name].reads
            self.needs[i].update(self.index[read] for read in reads if read in members)
        for i, needs in enumerate(self.needs):
            needs.discard(i)
        self.paths = self._paths(graph, order, durations)

    def _paths(
        self, graph: Graph, order: Sequence[str], durations: Mapping[str, float]
    ) -> list[float]:
        ends: dict[str, float] = {}
        paths = [0.0] * len(self.sets)
        for name in order:
            reads = graph.products[name].reads
            start = max((ends[read] for read in reads if read in ends), default=0.0)
            ends[name] = start + durations.get(name, 0.0)
            i = self.index[name]
            paths[i] = max(paths[i], ends[name])
        for i, needs in enumerate(self.needs):  # a set comes after the sets that it needs
            paths[i] = max((paths[i], *(paths[j] for j in needs)))
        return paths

    def admit(
        self, promises: Sequence[_Promise], now: datetime, jobs: int
    ) -> tuple[list[_Promise], list[Lost]]:
        """Return the promises that can be kept, and those that are lost.

        A promise can be kept if there is time for what it needs besides the earlier ones that can.
        """
        admitted: set[int] = set()
        total, spare = 0.0, float("inf")
        kept, late = list[_Promise](), list[_Promise]()
        for promise in promises:
            seconds, index = (promise[0] - now).total_seconds(), promise[1]
            new = self._new(index, admitted, seconds * jobs - total)
            if new is None or self.paths[index] > seconds:
                late.append(promise)
                continue
            admitted |= new
            total += sum(self.seconds[i] for i in new)
            spare = min(spare, seconds - max(self.paths[index], total / jobs))
            kept.append(promise)
        lost = []
        before = total
        for due, index, name in late:
            new = self._new(index, admitted, float("inf")) or set()
            admitted |= new
            total += sum(self.seconds[i] for i in new)
            likely = now + timedelta(seconds=max(self.paths[index], total / jobs))
            waits = (total - before) / jobs > spare * _SPARE
            lost.append(Lost(product=name, due=due, likely=likely, waits=waits))
        return kept, lost

    def _new(self, index: int, admitted: Collection[int], most: float) -> set[int] | None:
        """Return the sets that a set needs, and itself, without those that are admitted.

        None if they take more than `most` seconds.
        """
        new, candidates, total = set[int](), [index], 0.0
        while candidates and total <= most:
            i = candidates.pop()
            if i not in new and i not in admitted:
                new.add(i)
                total += self.seconds[i]
                candidates += self.needs[i]
        return new if total <= most else None

    def spread(self, ranked: Sequence[tuple[int, Urgency]]) -> dict[str, Urgency]:
        """Return the urgency of each product: the greatest of its set and of those that need it."""
        least = [Urgency()] * len(self.sets)
        for i, urgency in ranked:
            least[i] = min(least[i], urgency)
        for i in reversed(range(len(self.sets))):
            for j in self.needs[i]:
                least[j] = min(least[j], least[i])
        return {name: least[i] for name, i in self.index.items()}
