"""How much the queries of a run read, as far as that can be told before: little is soonest done by one thread; pure."""

from collections import Counter

from assay.decision import Build, InputState, Known, Maybe
from assay.graph import Graph
from assay.model import Input, Product, SourceState, Version
from assay.plan import Observed, Plan, current
from assay.rules.by_parts import over_all

_LITTLE = 2**20  # bytes: about what DuckDB gives one thread at a time


def is_little(plan: Plan, graph: Graph, observed: Observed) -> bool:
    """Say whether no query reads much that a plan needs; who knows how much is made of nothing."""
    load = _Load(graph, observed)
    return all(load.of(graph.products[name], plan) < _LITTLE for name in plan.builds)


def size_of(state: InputState) -> int:
    """Return how many bytes an input has, as they are stored."""
    match state:
        case Known(behind=Version() as version):
            return version.bytes
        case Known(behind=SourceState() as source):
            return sum(file.size for file in source.files)
    return 0


class _Load:
    """The bytes that queries read; a table that was never published may hold as much as what it is made of."""

    def __init__(self, graph: Graph, observed: Observed) -> None:
        self.graph, self.sources, self.facts = graph, observed.sources, observed.facts
        self.sizes = {name: sum(f.size for f in state.files) for name, state in observed.sources.items()}

    def of(self, product: Product, plan: Plan) -> int:
        """Return the most that one query reads to make or judge a product; those it is made of come before."""
        version = current(product.name, self.facts)
        if version and product.follows and self._is_as_before(product, version, plan):
            made = max(self._of_a_part(product, i) for i in product.inputs)
            judged = version.bytes if over_all(product, version.columns, self.graph.sensitive(product.name)) else 0
        else:
            made = max((self._whole(i.name) for i in product.inputs), default=_LITTLE)
            judged = version.bytes if version else 0
        self.sizes[product.name] = version.bytes if version else made
        return max(made, judged, *map(self._whole, product.rule_inputs))

    def _is_as_before(self, product: Product, version: Version, plan: Plan) -> bool:
        """Say whether but some parts are made, and judged, that are not there yet."""
        same = version.in_parts and version.key.code.digest == product.code.digest
        return same and isinstance(plan.steps[product.name], Build | Maybe)

    def _whole(self, name: str) -> int:
        if name not in self.sizes:
            version = current(name, self.facts)
            self.sizes[name] = version.bytes if version else 0
        return self.sizes[name]

    def _of_a_part(self, product: Product, i: Input) -> int:
        """Return how much of an input one part of a product is made of."""
        if product.partition is None or i.grain != product.partition.grain:
            return self._whole(i.name)
        if state := self.sources.get(i.name):
            sizes = Counter[str]()
            for file in state.files:
                sizes[file.part] += file.size
            return max(sizes.values(), default=0) * (1 + i.back)
        version = current(i.name, self.facts)
        return self._whole(i.name) // max(1, len(version.parts) if version else 1) * (1 + i.back)
