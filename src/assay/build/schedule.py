"""Which products are released together, and in which order; pure."""

from collections.abc import Collection, Iterator, Sequence

from assay.plan.graph import Graph


class ReleaseSets:
    """The sets of products that are released together, and what each of them still waits for."""

    def __init__(self, graph: Graph, names: Collection[str], *, coherent: bool) -> None:
        self.sets = graph.units(names, coherent=coherent)
        self._of = {name: index for index, unit in enumerate(self.sets) for name in unit}
        self._open = [len(unit) for unit in self.sets]
        self._waits = [self._above(index, graph) for index in range(len(self.sets))]
        self._readers: list[list[int]] = [[] for _ in self.sets]
        for index, above in enumerate(self._waits):
            for other in above:
                self._readers[other].append(index)

    def _above(self, index: int, graph: Graph) -> set[int]:
        """Return the sets that a set reads from."""
        reads = {read for name in self.sets[index] for read in graph.products[name].reads}
        return {self._of[read] for read in reads if read in self._of} - {index}

    def settled(self, name: str, put_off: Collection[str]) -> Iterator[Sequence[str]]:
        """Take that a product has come out, and give every set that can be released now, each after what it reads.

        A set with a product that is `put_off` is not released, nor is what reads from it.
        """
        index = self._of[name]
        self._open[index] -= 1
        ready = [index]
        while ready:
            index = ready.pop()
            if (
                self._open[index]
                or self._waits[index]
                or not set(put_off).isdisjoint(self.sets[index])
            ):
                continue
            yield self.sets[index]
            for reader in self._readers[index]:
                self._waits[reader].discard(index)
                ready.append(reader)

    def with_which(self, name: str) -> set[str]:
        """Return the products that are released with this one, or have to be before."""
        found, look = set[int](), [self._of[name]]
        while look:
            if (index := look.pop()) not in found:
                found.add(index)
                look += self._waits[index]
        return {name for index in found for name in self.sets[index]}
