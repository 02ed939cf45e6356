"""Which parts a product should have, by the parts of its inputs; and the digests of inputs in parts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from assay.decisions import InputState, KnownInput, UnknownInput
from assay.facts import Part, SourceState, Version
from assay.model import Input, Partition, Product
from assay.plan.digests import digest
from assay.plan.observed import Facts
from assay.plan.parts import coarsen, ordinal, parts_in_range
from assay.plan.states import published_version

_Pairs = tuple[tuple[str, str], ...]  # names and digests
_Uses = tuple[tuple[str, tuple[str, ...]], ...]  # aliases, and the names of parts
_Followed = tuple[Input, Mapping[str, str]]  # an input, and its parts by digest
_Place = Any
_Places = dict[_Place, tuple[str, _Pairs]]


class PartSpec(Struct, frozen=True, gc=False):
    """A part that should be there, `made_of` these inputs (by alias) by digest; '': not known yet.

    `used` are the parts of the inputs that are followed part by part, by alias; others are used as a whole.
    """

    key: str
    built_from: str
    made_from: _Pairs
    used: _Uses

    @property
    def inputs(self) -> Mapping[str, str]:
        """The digest of what it uses of each input, by alias."""
        return dict(self.made_from)

    @property
    def uses(self) -> Mapping[str, tuple[str, ...]]:
        """The parts that it uses of each input that is followed, by alias."""
        return dict(self.used)


class PartSteps(Struct, frozen=True, kw_only=True):
    """The parts that a product should have (`specs`), and those that are `stored`, by the key they were made of.

    `chosen` are the keys of the parts to build now; None: all.
    """

    specs: Sequence[PartSpec] = ()
    stored: Mapping[str, Part] = {}
    chosen: Collection[str] | None = None

    def is_to_build(self, spec: PartSpec) -> bool:
        """Return whether a part has to be built now."""
        chosen = self.chosen is None or spec.key in self.chosen
        return chosen and spec.built_from not in self.stored

    @property
    def to_build(self) -> int:
        """The number of parts that have to be built now."""
        return sum(map(self.is_to_build, self.specs))

    @property
    def digests(self) -> dict[str, str]:
        """The digest of the content of each part, '' for one that is not stored."""
        stored = self.stored
        return {
            spec.key: stored[spec.built_from].digest if spec.built_from in stored else ""
            for spec in self.specs
        }


def part_steps(
    product: Product,
    states: Mapping[str, InputState],
    facts: Facts,
    *,
    forced: bool = False,
    part_range: str = "",
) -> PartSteps:
    """Return which parts a product that follows its inputs should have, and which of them are stored.

    Of the parts in `part_range` (`A..B`; '' for all), those that are not stored are to be built, or all if `forced`.
    """
    assert product.partition is not None
    specs = part_specs(product, states, published_version(product.name, facts)) or []
    keys = [spec.key for spec in specs]
    chosen = parts_in_range(keys, part_range, product.partition.grain) if part_range else None
    rebuilt = set(keys if chosen is None else chosen) if forced else set()
    needed = [spec.built_from for spec in specs if spec.built_from and spec.key not in rebuilt]
    return PartSteps(specs=specs, stored=facts.parts(product.name, needed), chosen=chosen)


def part_specs(
    product: Product, states: Mapping[str, InputState], before: Version | None = None
) -> list[PartSpec] | None:
    """Return the parts of a product that follows its inputs, in order; None when no part of one of them is known.

    What a part is made of need not be digested again where it is that of a version from `before`.
    """
    assert product.partition is not None
    followed: list[_Followed] = []
    for i in product.inputs:
        if i.grain is not None:
            parts = parts_of(states[i.name])
            if parts is None:
                return None
            followed.append((i, parts))
    whole = tuple(
        (i.alias, input_digest(states[i.name])) for i in product.inputs if i.grain is None
    )
    code, known, found = (
        product.code.digest,
        {part.key: part for part in _made_alike(product, before)},
        [],
    )
    for key, used, told in _used(followed, product.partition):
        made_from = whole + told
        old = known.get(key)
        built_from = (
            old.built_from
            if old and old.inputs == dict(made_from)
            else _made_of(code, key, made_from)
        )
        found.append(PartSpec(key, built_from, made_from, used))
    return found


def _made_alike(product: Product, before: Version | None) -> Sequence[Part]:
    """Return the parts of a version that are all made as those of this product are."""
    return (
        before.parts
        if before and not before.key.held and before.key.code.digest == product.code.digest
        else ()
    )


def _made_of(code: str, key: str, made_from: _Pairs) -> str:
    return digest([code, key, dict(made_from)]) if all(told for _, told in made_from) else ""


def parts_of(state: InputState) -> Mapping[str, str] | None:
    """Return the parts of an input by digest, '' for one that is not known yet; None when none is known."""
    match state:
        case KnownInput(origin=Version() as version) if version.in_parts:
            return {part.key: part.digest for part in version.parts}
        case KnownInput(origin=SourceState() as source):
            return source_parts(source)
        case UnknownInput(part_digests=parts):
            return parts
    return None


def source_parts(source: SourceState) -> dict[str, str]:
    """Return the content digest of each part of a source; what its files are called does not count."""
    alone = {file.part: source.reading + file.digest for file in source.files}
    if len(alone) == len(source.files):  # mostly, and there may be very many
        return alone
    found: dict[str, list[str]] = {}
    for file in source.files:
        found.setdefault(file.part, []).append(file.digest)
    return {
        key: source.reading + (told[0] if len(told) == 1 else digest(sorted(told)))
        for key, told in found.items()
    }


def input_digest(state: InputState) -> str:
    """Return the content digest of an input as a whole, '' when it is not known yet."""
    return state.digest if isinstance(state, KnownInput) else ""


def _used(
    followed: Sequence[_Followed], partition: Partition
) -> Iterator[tuple[str, _Uses, _Pairs]]:
    """Yield the parts that should be there, in order: each one's key, and what it uses of inputs, with its digest."""
    if any(i.grain != partition.grain or i.back for i, _ in followed):
        yield from _used_by_place(followed, partition)
    elif len(followed) == 1:  # each part is made of one of the same name: there may be very many
        [(i, parts)] = followed
        alias = i.alias
        for key, told in sorted(parts.items()):
            yield key, ((alias, (key,)),), ((alias, told),)
    else:
        for key in sorted(set[str]().union(*(parts for _, parts in followed))):
            used = [
                (i.alias, ((key, parts[key]),) if key in parts else ()) for i, parts in followed
            ]
            yield _told(key, used)


def _used_by_place(
    followed: Sequence[_Followed], partition: Partition
) -> Iterator[tuple[str, _Uses, _Pairs]]:
    placed = [(i, _by_place(parts, i, partition)) for i, parts in followed]
    own = {place: key for _, places in placed for place, (key, _) in places.items()}
    for place, key in sorted(own.items()):
        yield _told(key, [(i.alias, _window(places, place, i)) for i, places in placed])


def _told(key: str, used: Sequence[tuple[str, _Pairs]]) -> tuple[str, _Uses, _Pairs]:
    """Return what a part uses of each input: the names of the parts, and the digest of them all."""
    names = tuple((alias, tuple(name for name, _ in parts)) for alias, parts in used)
    return key, names, tuple((alias, _together(key, parts)) for alias, parts in used)


def _together(key: str, parts: _Pairs) -> str:
    """Return the digest of what a part of this key uses of an input: that of its part, or of several together."""
    if len(parts) == 1 and parts[0][0] == key:
        return parts[0][1]
    return digest(sorted(parts)) if all(told for _, told in parts) else ""


def _by_place(parts: Mapping[str, str], given: Input, partition: Partition) -> _Places:
    """Return the parts of an input by where they stand among those of the product: each one's key, and digests."""
    found: dict[_Place, tuple[str, list[tuple[str, str]]]] = {}
    for key, told in sorted(parts.items()):
        timed = partition.grain and key  # the only part of a table without rows is called ''
        own = coarsen(key, given.grain or "", partition.grain) if timed else key
        place: _Place = ordinal(own, partition.grain) if timed else 0 if partition.grain else own
        found.setdefault(place, (own, []))[1].append((key, told))
    return {place: (own, tuple(told)) for place, (own, told) in found.items()}


def _window(places: _Places, place: _Place, given: Input) -> _Pairs:
    if not given.back or isinstance(place, str):
        return places[place][1] if place in places else ()
    at = [n for n in range(place - given.back, place + 1) if n in places]
    return tuple(pair for n in at for pair in places[n][1])
