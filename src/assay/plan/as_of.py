"""As of when readers see each product: the business time that its published version reaches."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property

from assay.facts import Version
from assay.plan.graph import Graph
from assay.plan.observed import Observed
from assay.plan.previous import without_previous
from assay.plan.reach import earliest, reach_of, undated
from assay.plan.states import published_version
from assay.times import AHEAD, in_utc


class AsOf(Mapping[str, datetime | None]):
    """The business time that readers' data reaches, of every product and source, by full name.

    None: not known, or nothing is published. A time is worked out when it is looked up. It never
    is the moment of a build: what is built from old data is old. Times are as in the data: local
    and without a zone, unless the data has one.
    """

    def __init__(self, graph: Graph, observed: Observed) -> None:
        self._graph, self._observed = graph, observed
        self._times: dict[str, datetime | None] = {}

    def __getitem__(self, name: str) -> datetime | None:
        if name not in self._times:
            if name in self._graph.products:
                self._work_out(name)
            else:
                self._times[name] = self._source(name)
        return self._times[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._graph.sources
        yield from self._graph.products

    def __len__(self) -> int:
        return len(self._graph.sources) + len(self._graph.products)

    def of_version(self, version: Version) -> datetime | None:
        """Return the time that a version reaches: if it is published, as readers see it now."""
        pointer = self._observed.facts.pointer(version.product)
        is_published = pointer is not None and pointer.version == version.id
        if is_published and version.product in self._graph.products:
            return self[version.product]
        return version.data_as_of

    @cached_property
    def _undated(self) -> frozenset[str]:
        return undated(self._graph)

    def slowest_input(self, name: str) -> str | None:
        """Return the input of a product whose data reaches least far; None when none is known.

        It is the reason why a product that was just built is late.
        """
        product = self._graph.products.get(name)
        reads = dict.fromkeys(i.name for i in product.inputs) if product else {}
        times = {i: self.get(i) for i in reads}
        slowest = earliest(times, self._undated)
        return next((i for i, at in times.items() if slowest and at == slowest), None)

    def slowest_path(self, name: str) -> tuple[str, ...]:
        """Return the slowest input, its slowest input, and so on up to a source or a fetcher."""
        path, step = list[str](), self.slowest_input(name)
        while step is not None:
            path.append(step)
            step = self.slowest_input(step)
        return tuple(path)

    def _source(self, name: str) -> datetime | None:
        state = self._observed.sources.get(name)  # a source may be new since it was observed
        source = self._graph.sources[name]
        if state is None or state.missing:
            return None
        observed = self._observed
        return reach_of(source, state.files, observed.now, observed.facts.latest_event)

    def _work_out(self, name: str) -> None:
        """Work out the time of a product, after those of the inputs that it is taken from."""
        awaited = [name]
        looked_at: dict[str, tuple[Version | None, tuple[str, ...]]] = {}
        while awaited:
            current = awaited[-1]
            if current not in looked_at:
                version = published_version(current, self._observed.facts)
                inputs = self._inputs_of(current, version) if version else ()
                looked_at[current] = version, inputs
                missing = [i for i in inputs if i in self._graph.products and i not in self._times]
                if missing:
                    awaited += missing
                    continue
            if current not in self._times:
                self._times[current] = self._time_of(*looked_at[current])
            awaited.pop()

    def _time_of(self, version: Version | None, inputs: tuple[str, ...]) -> datetime | None:
        if version is None:
            return None
        if inputs:
            return earliest({i: self[i] for i in inputs}, self._undated)
        at = version.data_as_of
        # An event of the far future says nothing about how far the data reaches.
        return at if at is None or in_utc(at) <= self._observed.now + AHEAD else None

    def _inputs_of(self, name: str, version: Version) -> tuple[str, ...]:
        """Return the inputs that give the time of a version; () when what was recorded counts.

        The inputs count as they are now if the version was built from just their present content:
        a drop that was delivered again, or an input that was rebuilt with the same rows, reaches
        further, and so does the version, which is not built again.
        """
        product = self._graph.products[name]
        built_from = without_previous(name, version.key.inputs)
        if product.event_time or version.key.held:
            return ()
        names = tuple(dict.fromkeys(i.name for i in product.inputs))
        if len(names) != len(built_from):
            return ()
        same = all(built_from.get(i) == self._present_content(i) for i in names)
        return names if same else ()

    def _present_content(self, name: str) -> str | None:
        """Return the digest of a source, or of the published version of a product."""
        if name in self._graph.products:
            version = published_version(name, self._observed.facts)
            return version.digest if version else None
        state = self._observed.sources.get(name)
        return state.digest if state and not state.missing else None


def as_of(graph: Graph, observed: Observed) -> AsOf:
    """Return the business time that readers' data reaches, for every product and source.

    That is the newest event time that readers see; of a product without one, the oldest of the
    times of its inputs that are known. A function without inputs and without event time reaches no
    known time.
    """
    return AsOf(graph, observed)
