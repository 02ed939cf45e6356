"""The products that a run can decide on next, the most urgent first; pure."""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from itertools import count

from assay.plan.urgency import Urgency

_EQUAL = Urgency()


class Ready:
    """A queue of products: the most urgent first, and of equal ones the one that came first."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._urgencies: Mapping[str, Urgency] = {}
        self._numbers = count()
        self._heap: list[tuple[Urgency, int, str]] = []
        self._begun: list[str] = []
        self._popped: dict[str, int] = {}  # the number that each had
        self.extend(names)

    def __len__(self) -> int:
        return len(self._heap) + len(self._begun)

    def add(self, name: str) -> None:
        """Add a product."""
        urgency = self._urgencies.get(name, _EQUAL)
        heappush(self._heap, (urgency, next(self._numbers), name))

    def extend(self, names: Iterable[str]) -> None:
        """Add products, one after the other."""
        for name in names:
            self.add(name)

    def resume(self, name: str) -> None:
        """Add a product whose work has begun: it goes before all others."""
        self._begun.append(name)

    def pop(self) -> str:
        """Remove and return the product that goes first."""
        if self._begun:
            return self._begun.pop()
        _, number, name = heappop(self._heap)
        self._popped[name] = number
        return name

    def put_back(self, names: Iterable[str]) -> None:
        """Add products that came out, each where it was: it came before what was added since."""
        for name in names:
            number = self._popped.get(name, -1)
            heappush(self._heap, (self._urgencies.get(name, _EQUAL), number, name))

    def reorder(self, urgencies: Mapping[str, Urgency]) -> None:
        """Take new urgencies; a product without one is not urgent."""
        self._urgencies = urgencies
        self._heap = [(urgencies.get(name, _EQUAL), number, name) for _, number, name in self._heap]
        heapify(self._heap)
