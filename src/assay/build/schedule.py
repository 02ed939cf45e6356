"""Which products a run can decide on now, how each has ended, and what can be released; pure."""

from collections.abc import Collection, Mapping, Sequence

from assay.build.ready import Ready
from assay.decisions import (
    AwaitApproval,
    Blocked,
    Decision,
    Held,
    InputState,
    Keep,
    UnusableInput,
)
from assay.events import Busy, End, Failed, Left, Unfinished
from assay.plan.graph import Graph
from assay.plan.ladder import Plan
from assay.plan.observed import Facts, Observed
from assay.plan.releasing import withheld
from assay.plan.states import output_state, published_state, source_states

Settled = Decision | Failed | Unfinished | Busy
_ALONE = Failed | Unfinished | Busy | Blocked | AwaitApproval | Held | Keep  # without a release


class ReleaseSets:
    """The sets of products that are released together, and what each set still waits for."""

    def __init__(self, graph: Graph, names: Collection[str], *, coherent: bool) -> None:
        self.sets = graph.units(names, coherent=coherent)
        self._index = {name: index for index, names in enumerate(self.sets) for name in names}
        self._unsettled = [len(names) for names in self.sets]
        self._waits = [self._inputs_of(index, graph) for index in range(len(self.sets))]
        self._readers: list[list[int]] = [[] for _ in self.sets]
        for index, inputs in enumerate(self._waits):
            for input_index in inputs:
                self._readers[input_index].append(index)

    def _inputs_of(self, index: int, graph: Graph) -> set[int]:
        """Return the sets that a set reads from."""
        reads = {read for name in self.sets[index] for read in graph.products[name].reads}
        return {self._index[read] for read in reads if read in self._index} - {index}

    def settle(self, name: str, put_off: Collection[str]) -> list[Sequence[str]]:
        """Note that a product has settled; return the sets to release, in order of lineage.

        A set with a product that is `put_off` is not released, nor is a set that reads from it.
        """
        index = self._index[name]
        self._unsettled[index] -= 1
        candidates = [index]
        released: list[Sequence[str]] = []
        while candidates:
            index = candidates.pop()
            waits = self._unsettled[index] or self._waits[index]
            if waits or not set(put_off).isdisjoint(self.sets[index]):
                continue
            released.append(self.sets[index])
            for reader in self._readers[index]:
                self._waits[reader].discard(index)
                candidates.append(reader)
        return released

    def released_before_or_with(self, name: str) -> set[str]:
        """Return the products that must be released together with this one, or before it."""
        indexes, candidates = set[int](), [self._index[name]]
        while candidates:
            index = candidates.pop()
            if index not in indexes:
                indexes.add(index)
                candidates += self._waits[index]
        return {product for index in indexes for product in self.sets[index]}


class Schedule:
    """The products of a plan in order of lineage, with the end of each product that has settled.

    `ready` are products whose inputs have all settled, the most urgent first. `states` are the products and sources as
    inputs of others. `put_off` are products left to another pass, and those that wait for them.
    """

    def __init__(self, graph: Graph, plan: Plan, observed: Observed, *, coherent: bool) -> None:
        self.graph = graph
        self.states: dict[str, InputState] = source_states(observed)
        for name in graph.order:
            if name not in plan.steps:
                self.states[name] = published_state(name, observed.facts)
        self.decisions: dict[str, Settled] = {}
        self.put_off: set[str] = set()
        self._held: dict[str, Held] = {}
        names = set(plan.steps)
        self._unsettled_inputs = {
            name: len(names.intersection(graph.products[name].reads)) for name in plan.steps
        }
        self.ready = Ready(name for name, count in self._unsettled_inputs.items() if not count)
        self._sets = ReleaseSets(graph, plan.steps, coherent=coherent)

    @property
    def sets(self) -> Sequence[Sequence[str]]:
        """The sets of products that are released together, each after those that it reads from."""
        return self._sets.sets

    def settle(self, name: str, end: Settled) -> list[Sequence[str]]:
        """Note the end of a product; return the sets of products that can be released now."""
        self.decisions[name] = end
        self.states[name] = _state_after(name, end)
        waits = isinstance(end, Held) and not self.put_off.isdisjoint(end.by)
        if waits or isinstance(end, Busy):
            self.put_off.add(name)
        for reader in self.graph.below.get(name, ()):
            if reader in self._unsettled_inputs:
                self._unsettled_inputs[reader] -= 1
                if not self._unsettled_inputs[reader]:
                    self.ready.add(reader)
        return self._sets.settle(name, self.put_off)

    def ends_of(self, names: Sequence[str], facts: Facts) -> dict[str, End]:
        """Return the ends of a set's products: as decided, or held because of others of the set."""
        near = {*names, *(read for name in names for read in self.graph.products[name].reads)}
        steps = {
            name: _as_step(name, self.decisions[name]) for name in near & self.decisions.keys()
        }
        self._held |= withheld(self.graph, steps, facts, self._held)
        return {name: self._held.get(name, self.decisions[name]) for name in names}

    def end_without_release(self, name: str, busy: Mapping[str, object], *, stopping: bool) -> End:
        """Return the end of a product that was not released, which others or a stop prevented.

        `busy` are the products that other runs build.
        """
        end = self.decisions.get(name)
        if isinstance(end, _ALONE):
            return end
        missing = sorted(self._sets.released_before_or_with(name) & self.put_off)
        why = {n: "another run builds" for n in missing if n in busy}
        if not why:
            why = {n: "failed" for n in missing if isinstance(self.decisions[n], Failed)}
        if stopping or not why:
            return Left()
        return Held(
            by={
                n: f"it is published together with {n}, which {reason}" for n, reason in why.items()
            }
        )


def _as_step(name: str, end: Settled) -> Decision:
    """Return the end of a product as a decision: a product without a version is held."""
    return Held(by={name: "it failed"}) if isinstance(end, Failed | Unfinished | Busy) else end


def _state_after(name: str, end: Settled) -> InputState:
    """Return the state of a product as an input of others, after this end."""
    match end:
        case Failed():
            return UnusableInput(why=f"{name} failed")
        case Unfinished(parts_built=built, of=of):
            return UnusableInput(why=f"{name} has {built} of {of} parts")
        case Busy():
            return UnusableInput(why=f"another run builds {name}")
    return output_state(name, end)
