"""The business time that the inputs of a build reach; it is inherited by what has none of its own."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache

from assay.decisions import InputState, KnownInput
from assay.facts import SourceFile, SourceState, Version
from assay.model import Product
from assay.plan.as_of import AsOf
from assay.plan.graph import Graph
from assay.plan.observed import Observed
from assay.plan.part_specs import PartSpec
from assay.plan.reach import LatestEvent, earliest, reach_of, undated
from assay.times import in_utc

_Time = Callable[[], datetime | None]


class InputReaches:
    """Gives the business times of inputs.

    Those of sources are only known when their new files were inspected, which a build does: so
    they are functions, which any thread may call.
    """

    def __init__(self, graph: Graph, observed: Observed, latest_event: LatestEvent) -> None:
        self._graph, self._observed, self._latest_event = graph, observed, latest_event
        self._as_of = AsOf(graph, observed)
        self._undated = undated(graph)

    def of_product(self, product: Product, states: Mapping[str, InputState]) -> _Time:
        """Return the function for the earliest of the times that the inputs reach."""
        times = {i.name: self._of_input(i.name, states[i.name]) for i in product.inputs}
        return lambda: earliest({name: time() for name, time in times.items()}, self._undated)

    def of_parts(
        self, product: Product, states: Mapping[str, InputState]
    ) -> Callable[[PartSpec], datetime | None]:
        """Return the function for the earliest of the times that the inputs of one part reach."""
        whole = {i.alias: self._of_input(i.name, states[i.name]) for i in product.inputs}
        by_part = {
            i.alias: self._by_part(i.name, states[i.name])
            for i in product.inputs
            if i.grain is not None
        }
        undated_aliases = {i.alias for i in product.inputs if i.name in self._undated}

        def of_part(spec: PartSpec) -> datetime | None:
            newest = {
                alias: max(times, key=in_utc)
                for alias, keys in spec.uses.items()
                if (times := [at for key in keys if (at := by_part[alias](key)) is not None])
            }
            reaches = {alias: newest.get(alias) or time() for alias, time in whole.items()}
            return earliest(reaches, undated_aliases)

        return of_part

    def _of_input(self, name: str, state: InputState) -> _Time:
        if not isinstance(state, KnownInput):
            return lambda: None
        if isinstance(state.origin, SourceState):
            files = state.origin.files
            if self._graph.sources[name].has_event_times:  # known when files were inspected
                return lambda: self._of_files(name, files)
            return cache(lambda: self._of_files(name, files))
        at = self._as_of.of_version(state.origin) if state.origin else state.data_as_of
        return lambda: at

    def _by_part(self, name: str, state: InputState) -> Callable[[str], datetime | None]:
        """Return the function for the time that a part of an input reaches."""
        origin = state.origin if isinstance(state, KnownInput) else None
        if isinstance(origin, SourceState):
            files: dict[str, list[SourceFile]] = {}
            for file in origin.files:
                files.setdefault(file.part, []).append(file)
            return lambda key: self._of_files(name, files.get(key, ()))
        parts = origin.parts if isinstance(origin, Version) else ()
        times = {part.key: part.data_as_of for part in parts}
        return times.get

    def _of_files(self, name: str, files: Sequence[SourceFile]) -> datetime | None:
        source, now = self._graph.sources[name], self._observed.now
        return reach_of(source, files, now, self._latest_event)
