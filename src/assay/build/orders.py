"""Decisions to build, made orders: what a version, and each part of it, is made of, and what is there already."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from assay.build.builder import BuildOrder
from assay.build.inputs import Inputs
from assay.build.observe import changed_since
from assay.build.overlay import RunFacts
from assay.decisions import InputState, KnownInput
from assay.declare.resolve import Definition
from assay.engines.tables import InputFiles
from assay.errors import SourceReplaced, UsageError
from assay.model import Key, Part, Product, SourceState, Version
from assay.plan.digests import key_of
from assay.plan.ladder import current
from assay.plan.parts import PartSpec, wanted, within
from assay.store.files import Storage
from assay.text import clean


class Orders:
    """Makes the orders of one run, from what it knows by then (`states` may grow)."""

    def __init__(
        self, run: str, shelf: Inputs, states: Mapping[str, InputState], facts: RunFacts
    ) -> None:
        self.run, self.shelf, self.states, self.facts = run, shelf, states, facts

    def whole(self, product: Product, key: Key, definition: Definition) -> BuildOrder:
        """Return the order of a product that is made as a whole; of one that is then cut, with the parts there were."""
        cut = product.partition and not product.follows
        there = {part.made_of: part for part in self._parts_before(product)} if cut else {}
        return BuildOrder(
            product=product,
            key=key,
            run=self.run,
            definition=definition,
            feeds=self.shelf.feeds(product),
            check=self._check_sources,
            inherited=self._inherited(product),
            there=there,
        )

    def parts(
        self, product: Product, key: Key, definition: Definition, *, range: str, forced: bool
    ) -> BuildOrder:
        """Return the order of a product that follows its inputs: all its parts, those there are, those to build now."""
        assert product.partition is not None
        seen = current(product.name, self.facts)
        parts = wanted(product, self.states, seen) or []
        asked = (
            within([part.key for part in parts], range, product.partition.grain) if range else None
        )
        if asked == []:
            raise UsageError(
                f"{product.name} has no part in {range}", hint=_some([part.key for part in parts])
            )
        again: Collection[str] = ()
        if forced:
            again = set(asked if asked is not None else (part.key for part in parts))
        there = dict(
            self.facts.parts(
                product.name, [part.made_of for part in parts if part.key not in again]
            )
        )
        # What an earlier try of this run has made is not made again.
        there |= self.facts.made(
            product.name, [part.made_of for part in parts if part.key in again]
        )
        return replace(
            self.whole(product, key, definition),
            parts=parts,
            there=there,
            only=asked,
            holds=product.holds_parts and not forced,
            before=seen,
            part_inherits=self._part_inherits(product),
        )

    def without(
        self, product: Product, key: Key, made: Version | None
    ) -> tuple[BuildOrder, Version, Version | None]:
        """Return the order to leave some parts as readers have them, what was made, and what they see.

        `made` is a version that this run has made without some parts already.
        """
        version = made or self.facts.find(product.name, key_of(key.code, key.inputs).digest)
        assert version is not None
        return self.whole(product, key, Definition()), version, current(product.name, self.facts)

    def _parts_before(self, product: Product) -> Iterable[Part]:
        """Return the parts of what readers see, or of what was built last."""
        before = current(product.name, self.facts) or self.facts.latest(product.name)
        return (
            before.parts if before and before.in_parts and self._storage.holds(before.parts) else ()
        )

    def _inherited(self, product: Product) -> datetime | None:
        """Return the business time that the least advanced of the inputs reaches."""
        states = [self.states[i.name] for i in product.inputs]
        return _earliest(s.data_as_of for s in states if isinstance(s, KnownInput))

    def _part_inherits(self, product: Product) -> Callable[[PartSpec], datetime | None]:
        """Return what says which business time the least advanced of the inputs reaches that one part is made of."""
        whole = {
            i.alias: s.data_as_of
            for i in product.inputs
            if isinstance(s := self.states[i.name], KnownInput)
        }
        parts = {
            i.alias: _times(self.states[i.name]) for i in product.inputs if i.grain is not None
        }

        def reaches(wanted: PartSpec) -> datetime | None:
            used = {
                alias: [at for key in keys if (at := parts[alias].get(key))]
                for alias, keys in wanted.uses.items()
            }
            return _earliest(max(used[a]) if used.get(a) else at for a, at in whole.items())

        return reaches

    def _check_sources(self, feeds: Sequence[InputFiles]) -> None:
        """Refuse what was made of files that were replaced meanwhile."""
        for feed in feeds:
            if feed.source and (
                changed := changed_since(self.shelf.root, feed.observed, self._now)
            ):
                told = f"{feed.name}: {clean(changed)} was replaced while it was being read"
                raise SourceReplaced(
                    told, hint="Let files be finished elsewhere and then moved here."
                )

    @property
    def _now(self) -> datetime:
        return self.shelf.observed.now

    @property
    def _storage(self) -> Storage:
        return self.shelf.storage


def _times(state: InputState) -> dict[str, datetime]:
    """Return the business time that each part of an input reaches, where it says so."""
    version = state.behind if isinstance(state, KnownInput) else None
    parts = version.parts if isinstance(version, Version) else ()
    return {part.key: part.data_as_of for part in parts if part.data_as_of}


def _earliest(times: Iterable[datetime | None]) -> datetime | None:
    known = [at for at in times if at]
    return min(known, key=lambda at: at.replace(tzinfo=None)) if known else None


def _some(keys: Sequence[str]) -> str:
    return f"It has {len(keys)}, from {keys[0]} to {keys[-1]}." if keys else "It has none."


def todo(order: BuildOrder) -> int:
    """Return how many parts an order has to build now."""
    asked = order.only
    return sum(
        p.made_of not in order.there and (asked is None or p.key in asked) for p in order.parts
    )


def bytes_of(state: InputState) -> int:
    """Return how many bytes an input has, as they are stored."""
    match state:
        case KnownInput(behind=Version() as version):
            return version.bytes
        case KnownInput(behind=SourceState() as source):
            return sum(file.size for file in source.files)
    return 0
