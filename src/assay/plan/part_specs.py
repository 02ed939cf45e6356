"""The parts that a product should have, by the parts of its inputs, and their digests."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from assay.decisions import InputState, KnownInput, UnknownInput
from assay.errors import UsageError
from assay.facts import Part, SourceState, Version
from assay.model import PREVIOUS, Code, Input, Kind, Partition, Product
from assay.plan.digests import digest
from assay.plan.observed import Facts
from assay.plan.parts import coarsen, ordinal, parts_in_range
from assay.plan.quarantines import asides_of, part_built_from
from assay.plan.states import published_version

_Digests = tuple[tuple[str, str], ...]  # names and digests
_PartNames = tuple[tuple[str, tuple[str, ...]], ...]  # aliases, and the names of parts
_FollowedInput = tuple[Input, Mapping[str, str]]  # an input, and the digests of its parts
_NewPart = tuple[str, _PartNames, _Digests]  # key, parts used of each input, digest of them
_Place = Any  # what orders parts: a number in time, else the name of the part
_Places = dict[_Place, tuple[str, _Digests]]


class PartSpec(Struct, frozen=True, gc=False):
    """A part that a product should have.

    - `key`: the name of the part.
    - `built_from`: digest of code, key and inputs; '' when an input is not known yet.
    - `input_digests`: digest of what the part uses of each input, by alias.
    - `used`: the parts that it uses of inputs that are followed by part; others are read whole.
    """

    key: str
    built_from: str
    input_digests: _Digests
    used: _PartNames

    @property
    def inputs(self) -> Mapping[str, str]:
        """The digest of what it uses of each input, by alias."""
        return dict(self.input_digests)

    @property
    def uses(self) -> Mapping[str, tuple[str, ...]]:
        """The parts that it uses of each input that is followed by part, by alias."""
        return dict(self.used)


class PartSteps(Struct, frozen=True, kw_only=True):
    """The parts that a product should have, and those that are stored.

    - `specs`: the parts that it should have.
    - `stored`: the existing ones among them, by `built_from`.
    - `chosen`: the keys of the parts to build now; None for all.
    - `from_start`: whether none of them reads `previous`.
    """

    specs: Sequence[PartSpec] = ()
    stored: Mapping[str, Part] = {}
    chosen: Collection[str] | None = None
    from_start: bool = False

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
    from_start: bool = False,
) -> PartSteps:
    """Return the parts that a product should have by its inputs, and those that are stored.

    Of the parts in `part_range` (`A..B`; '' for all), those that are not stored are to be built, or
    all if `forced`. With `from_start`, none is built on an earlier one.
    """
    assert product.partition is not None
    published = published_version(product.name, facts)
    specs = part_specs(product, states, published, from_start=from_start) or []
    keys = [spec.key for spec in specs]
    chosen = parts_in_range(keys, part_range, product.partition.grain) if part_range else None
    rebuilt = set(keys if chosen is None else chosen) if forced else set()
    needed = [spec.built_from for spec in specs if spec.built_from and spec.key not in rebuilt]
    stored = facts.parts(product.name, needed)
    return PartSteps(specs=specs, stored=stored, chosen=chosen, from_start=from_start)


def part_specs(
    product: Product,
    states: Mapping[str, InputState],
    before: Version | None = None,
    *,
    from_start: bool = False,
) -> list[PartSpec] | None:
    """Return the parts of a product that follows its inputs, in order.

    None means that of one input no part is known. Digests are taken from the published version
    `before`, where the inputs of a part are the same, instead of being computed again.
    """
    assert product.partition is not None
    followed: list[_FollowedInput] = []
    for i in product.inputs:
        if i.grain is not None:
            is_aside = product.kind is Kind.QUARANTINE
            state = states[i.name]
            parts = asides_of(state, before, i.alias) if is_aside else parts_of(state)
            if parts is None:
                return None
            followed.append((i, parts))
    read_whole = tuple(
        (i.alias, input_digest(states[i.name])) for i in product.inputs if i.grain is None
    )
    existing = {part.key: part for part in _comparable_parts(product, before)}
    earlier = {part.key: part for part in before.parts} if before and product.incremental else {}
    specs = []
    for key, used, digests in _new_parts(followed, product.partition):
        input_digests = read_whole + digests
        if key in earlier and not from_start:
            input_digests += _on(earlier[key], input_digests)
        part = existing.get(key)
        if part and part.inputs == dict(input_digests):
            built_from = part.built_from
        else:
            built_from = _built_from(product.code, key, input_digests)
        specs.append(PartSpec(key, built_from, input_digests, used))
    return specs


def _on(published: Part, input_digests: _Digests) -> _Digests:
    """Return the digest of the part that is read as `previous`, as an input; () for none.

    That is the published part; but while the inputs are what that was built from, its step is taken
    again.
    """
    inputs = dict(published.inputs)
    before = inputs.pop(PREVIOUS, "")
    content = before if inputs == dict(input_digests) else published.digest
    return ((PREVIOUS, content),) if content else ()


def _comparable_parts(product: Product, before: Version | None) -> Sequence[Part]:
    """Return the parts of a version if it was built by the current code, with no part held back."""
    if before is None or before.key.held or before.key.code.digest != product.code.digest:
        return ()
    return before.parts


def _built_from(code: Code, key: str, input_digests: _Digests) -> str:
    """Return the digest of what a part is built from; '' when an input is not known yet."""
    if not all(input_digest for _, input_digest in input_digests):
        return ""
    return part_built_from(code, key, dict(input_digests))


def parts_of(state: InputState) -> Mapping[str, str] | None:
    """Return the digests of the parts of an input by key; None when no part is known.

    '' stands for a part that is not known yet.
    """
    match state:
        case KnownInput(origin=Version() as version) if version.in_parts:
            return {part.key: part.digest for part in version.parts}
        case KnownInput(origin=SourceState() as source):
            return source_parts(source)
        case UnknownInput(part_digests=parts):
            return parts
    return None


def source_parts(source: SourceState) -> dict[str, str]:
    """Return the content digest of each part of a source; names of files do not count."""
    of_single_files = {file.part: source.reading + file.digest for file in source.files}
    if len(of_single_files) == len(source.files):  # the usual case, fast for very many files
        return of_single_files
    digests_of: dict[str, list[str]] = {}
    for file in source.files:
        digests_of.setdefault(file.part, []).append(file.digest)
    return {
        key: source.reading + (digests[0] if len(digests) == 1 else digest(sorted(digests)))
        for key, digests in digests_of.items()
    }


def input_digest(state: InputState) -> str:
    """Return the content digest of an input as a whole, '' when it is not known yet."""
    return state.digest if isinstance(state, KnownInput) else ""


def _new_parts(followed: Sequence[_FollowedInput], partition: Partition) -> Iterator[_NewPart]:
    """Yield the parts that a product should have, in order."""
    if any(i.grain != partition.grain or i.back for i, _ in followed):
        yield from _new_parts_by_place(followed, partition)
    elif len(followed) == 1:  # fast for very many parts: each uses the part of the same name
        [(i, parts)] = followed
        alias = i.alias
        for key, part_digest in sorted(parts.items()):
            yield key, ((alias, (key,)),), ((alias, part_digest),)
    else:
        for key in sorted(set[str]().union(*(parts for _, parts in followed))):
            used = [
                (i.alias, ((key, parts[key]),) if key in parts else ()) for i, parts in followed
            ]
            yield _new_part(key, used)


def _new_parts_by_place(
    followed: Sequence[_FollowedInput], partition: Partition
) -> Iterator[_NewPart]:
    """Yield the parts in order, where an input has another grain, or is read `back`."""
    placed = [(i, _by_place(parts, i, partition)) for i, parts in followed]
    keys = {place: key for _, places in placed for place, (key, _) in places.items()}
    for place, key in sorted(keys.items()):
        yield _new_part(key, [(i.alias, _window(places, place, i)) for i, places in placed])


def _new_part(key: str, used: Sequence[tuple[str, _Digests]]) -> _NewPart:
    """Return a part that uses these parts of each input."""
    names = tuple((alias, tuple(name for name, _ in parts)) for alias, parts in used)
    return key, names, tuple((alias, _digest_of_used(key, parts)) for alias, parts in used)


def _digest_of_used(key: str, parts: _Digests) -> str:
    """Return one digest of the parts of an input that the part with this key uses.

    That is the digest of the part itself, where only the part of the same name is used; '' when one
    is not known yet.
    """
    if len(parts) == 1 and parts[0][0] == key:
        return parts[0][1]
    return digest(sorted(parts)) if all(part_digest for _, part_digest in parts) else ""


def _by_place(parts: Mapping[str, str], given: Input, partition: Partition) -> _Places:
    """Return the parts of an input by their place among the parts of the product.

    Each place has the key of the product's part there, and the input's parts that belong to it, by
    digest.
    """
    places: dict[_Place, tuple[str, list[tuple[str, str]]]] = {}
    for name, part_digest in sorted(parts.items()):
        key, place = _place_of(name, given, partition)
        places.setdefault(place, (key, []))[1].append((name, part_digest))
    return {place: (key, tuple(digests)) for place, (key, digests) in places.items()}


def _place_of(name: str, given: Input, partition: Partition) -> tuple[str, _Place]:
    """Return the key of the product's part that an input's part belongs to, and its place."""
    if not partition.grain:
        return name, name
    if not name:  # the only part of a table without rows
        return name, 0
    key = coarsen(name, given.grain or "", partition.grain)
    return key, ordinal(key, partition.grain)


def _window(places: _Places, place: _Place, given: Input) -> _Digests:
    """Return the parts of an input at a place and at `given.back` places before it."""
    if not given.back or isinstance(place, str):
        return places[place][1] if place in places else ()
    window = [n for n in range(place - given.back, place + 1) if n in places]
    return tuple(pair for n in window for pair in places[n][1])


def check_range(product: Product, keys: Sequence[str], part_range: str) -> None:
    """Raise UsageError when a product in parts with these keys has no part in `part_range`."""
    if not part_range or product.partition is None or not product.follows:
        return
    if not parts_in_range(keys, part_range, product.partition.grain):
        extent = f"It has {len(keys)}, from {keys[0]} to {keys[-1]}." if keys else "It has none."
        raise UsageError(f"{product.name} has no part in {part_range}", hint=extent)
