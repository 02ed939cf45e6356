"""The lineage graph: order, neighbours, and products that are connected or released together."""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

from msgspec import Struct, field

from assay.errors import UsageError
from assay.model import Product, Source, WorkCalendar
from assay.plan.names import full_name, nearest
from assay.sensitive import unless


class Graph(Struct, frozen=True, dict=True):
    """Products and sources by full name, calendars by name; edges follow what is read."""

    products: Mapping[str, Product]
    sources: Mapping[str, Source]
    calendars: Mapping[str, WorkCalendar] = field(default_factory=dict)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The products, each after all products that it reads; ties are in the order of names.

        Raises CycleError.
        """
        sorter = TopologicalSorter({name: self._above(name) for name in sorted(self.products)})
        return tuple(sorter.static_order())

    def keep_order(self, order: Iterable[str]) -> None:
        """Take an order that was computed earlier; ValueError when it is no order of these products."""
        names = tuple(order)
        earlier: set[str] = set()
        for name in names:
            if not earlier.issuperset(self._above(name)):
                raise ValueError(f"{name} stands before what it reads")
            earlier.add(name)
        if len(names) != len(self.products) or len(earlier) != len(names):
            raise ValueError("the order is not that of all products")
        self.__dict__["order"] = names

    @cached_property
    def has_promises(self) -> bool:
        """Whether a product or a source promises how fresh it is."""
        return any(product.freshness for product in self.products.values()) or any(
            source.freshness for source in self.sources.values()
        )

    @cached_property
    def has_budgets(self) -> bool:
        """Whether a product has a budget of misses, late promises or times that it is held back."""
        return any(product.budget for product in self.products.values())

    @cached_property
    def below(self) -> Mapping[str, tuple[str, ...]]:
        """The products that read each product or source directly."""
        readers_of: dict[str, list[str]] = {}
        for name in sorted(self.products):
            for read in self.products[name].reads:
                readers_of.setdefault(read, []).append(name)
        return {name: tuple(readers) for name, readers in readers_of.items()}

    def _above(self, name: str) -> list[str]:
        return [read for read in self.products[name].reads if read in self.products]

    def cycle(self) -> tuple[str, ...]:
        """Return the path of one cycle, its first product repeated at its end; () when there is none."""
        try:
            _ = self.order
        except CycleError as error:
            return tuple(str(name) for name in reversed(error.args[1]))
        return ()

    def sensitive(self, name: str) -> frozenset[str]:
        """Return the patterns of columns whose values must not be shown, of a product or source by name."""
        return self._sensitive.get(name, frozenset())

    def sensitive_in_source(self, name: str) -> frozenset[str]:
        """Return the patterns of columns of a source that are sensitive in it, or downstream."""
        return self.sensitive(name).union(*map(self.sensitive, self.downstream(name)))

    @property
    def sensitive_sources(self) -> dict[str, frozenset[str]]:
        """The patterns of columns that sources themselves declare as sensitive, by source."""
        return {name: frozenset(s.sensitive) for name, s in self.sources.items() if s.sensitive}

    @cached_property
    def _sensitive(self) -> Mapping[str, frozenset[str]]:
        patterns_of = self.sensitive_sources
        for name in self.order:
            if patterns := sensitive_in(self.products[name], patterns_of):
                patterns_of[name] = patterns
        return patterns_of

    def upstream(self, name: str, steps: int | None = None) -> set[str]:
        """Return the products and sources that `name` depends on, up to `steps` away (None: all)."""
        return _walk(name, steps, lambda n: self.products[n].reads if n in self.products else ())

    def downstream(self, name: str, steps: int | None = None) -> set[str]:
        """Return the products that depend on `name`, up to `steps` away (None: all)."""
        return _walk(name, steps, lambda n: self.below.get(n, ()))

    def connected(self, names: Iterable[str]) -> list[tuple[str, ...]]:
        """Split products into sets that share lineage, each in order.

        Products are in one set when they read the same product or source, read one another, or have the same release
        group.
        """
        members = set(names)
        parent: dict[str, str] = {}  # of a disjoint-set forest

        def root(node: str) -> str:
            while parent.setdefault(node, node) != node:
                parent[node] = parent[parent[node]]
                node = parent[node]
            return node

        for name in members:
            neighbours = list(self.products[name].reads)
            if group := self.products[name].release_group:
                neighbours.append(f"group:{group}")
            for neighbour in neighbours:
                parent[root(neighbour)] = root(name)
        sets: dict[str, list[str]] = {}
        for name in self.order:
            if name in members:
                sets.setdefault(root(name), []).append(name)
        return [tuple(names_of_set) for names_of_set in sets.values()]

    def units(self, names: Iterable[str], *, coherent: bool) -> list[tuple[str, ...]]:
        """Split products into units that are released together, each unit after those that it depends on.

        Coherent: a unit is all that is connected. Otherwise a unit is one product, or a release group with the products
        that are between its members.
        """
        if coherent:
            return self.connected(names)
        members = set(names)
        unit_of = {name: self._release_unit(name) for name in members}
        order = self._unit_order(unit_of)
        while isinstance(order, CycleError):
            # Units that depend on one another become one.
            tied = set(order.args[1])
            merged = min(tied)
            unit_of = {name: merged if unit in tied else unit for name, unit in unit_of.items()}
            order = self._unit_order(unit_of)
        units: dict[str, list[str]] = {unit: [] for unit in order}
        for name in self.order:
            if name in members:
                units[unit_of[name]].append(name)
        return [tuple(unit) for unit in units.values()]

    def _release_unit(self, name: str) -> str:
        group = self.products[name].release_group
        return f"group:{group}" if group else name

    def _unit_order(self, unit_of: Mapping[str, str]) -> tuple[str, ...] | CycleError:
        """Return units in the order in which they depend on one another; the error when that is a cycle."""
        above: dict[str, set[str]] = {unit: set() for unit in unit_of.values()}
        for name, unit in unit_of.items():
            above[unit] |= {unit_of[read] for read in self.products[name].reads if read in unit_of}
        sorter = TopologicalSorter(
            {unit: sorted(above[unit] - {unit}) for unit in sorted(above)},
        )
        try:
            return tuple(sorter.static_order())
        except CycleError as error:
            return error

    def resolve(self, name: str, *, sources: bool = False) -> str:
        """Return the full name of a product (or source) given in full or, when unique, without its domain.

        Raises UsageError for a name that matches none, or several.
        """
        names = [*self.products, *(self.sources if sources else ())]
        if full := full_name(name, names):
            return full
        if source := full_name(name, self.sources):
            raise UsageError(
                f"{source} is a source, not a product",
                hint=f"`products show {source}` says which files it has; "
                f"`products lineage {source}` what reads it.",
            )
        raise UsageError(
            f"there is no {'product or source' if sources else 'product'} {name!r}",
            hint=nearest(name, names) or "`products ls` lists them.",
        )


def _walk(name: str, steps: int | None, neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    """Return all that is reached from `name` in up to `steps` steps (None: any number)."""
    reached: set[str] = set()
    edge = {name}
    while edge and steps != 0:
        edge = {next_name for node in edge for next_name in neighbours(node)} - reached
        reached |= edge
        steps = None if steps is None else steps - 1
    return reached


def sensitive_in(product: Product, patterns_of: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the patterns of columns whose values must not be shown; `patterns_of` has those of inputs, by name."""
    inherited = (patterns_of.get(i.name, frozenset()) for i in product.inputs)
    patterns = frozenset((*product.contract.sensitive, *product.renamed)).union(*inherited)
    return unless(patterns, product.contract.cleared)
