"""What of an environment may be published in its parent, and why the rest may not; pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from assay.facts import Pointer, Version, short
from assay.model import QUARANTINE
from assay.plan.graph import Graph
from assay.plan.previous import without_previous


class Obstacle(Struct, frozen=True, kw_only=True):
    """Why a product cannot be promoted, and what to do about it ('' where that is not known)."""

    product: str
    what: str
    do: str = ""


class Sides(Struct, frozen=True, kw_only=True):
    """What an environment (`source`) and its parent (`target`) publish.

    - `here`, `there`: the pointers of source and target, by product.
    - `bases`: the versions of the target that the source was given, or that were promoted last.
    - `versions`: the versions that these pointers name, by id.
    """

    source: str
    target: str
    here: Mapping[str, Pointer]
    there: Mapping[str, Pointer]
    bases: Mapping[str, str]
    versions: Mapping[str, Version]

    def published_here(self, name: str) -> Version | None:
        """Return the version of a product that the source publishes."""
        return self.versions.get(self.here[name].version) if name in self.here else None

    def published_there(self, name: str) -> Version | None:
        """Return the version of a product that the target publishes."""
        return self.versions.get(self.there[name].version) if name in self.there else None

    @property
    def own(self) -> list[str]:
        """The products of which the source has published a version itself, sorted."""
        return own_products(self.here, self.bases)

    def moved(self, name: str) -> bool:
        """Return whether the target publishes another version than the source is compared with.

        That is the one that it was given, or the one that its own version replaced.
        """
        now = self.there[name].version if name in self.there else ""
        replaced = self.here[name].previous if name in self.here else ""
        return now != self.bases.get(name, "") and not (now and now == replaced)


def own_products(pointers: Mapping[str, Pointer], bases: Mapping[str, str]) -> list[str]:
    """Return the products of which an environment publishes another version than it was given."""
    return sorted(name for name, p in pointers.items() if bases.get(name) != p.version)


def chosen(sides: Sides, names: Collection[str] | None) -> list[str]:
    """Return the products to promote: the own ones, or of these the named, with their quarantines.

    What the target publishes already is left out.
    """
    suffix = f"__{QUARANTINE}"
    return [
        name
        for name in sides.own
        if (names is None or {name, name.removesuffix(suffix)} & set(names))
        and not (name in sides.there and sides.there[name].version == sides.here[name].version)
    ]


def needed(graph: Graph, sides: Sides, names: Iterable[str]) -> set[str]:
    """Return the products that a promotion of `names` relies on: also those it reads or is read by."""
    found = set(names)
    for name in list(found):
        version = sides.published_here(name)
        found |= set(version.key.inputs) if version else set()
        found |= set(graph.below.get(name, ()))
        if name in graph.products:
            found |= set(graph.products[name].reads)
    return found & (graph.products.keys() | sides.here.keys() | sides.there.keys())


def obstacles(graph: Graph, sides: Sides, names: Sequence[str]) -> list[Obstacle]:
    """Return what prevents that these products are promoted together, all at once."""
    after = {name: sides.published_there(name) for name in sides.there}
    after |= {name: sides.published_here(name) for name in names}
    found: dict[tuple[str, str], Obstacle] = {}
    for name in names:
        for obstacle in (
            *_of_pointers(graph, sides, name),
            *_of_inputs(graph, sides, name, after),
            *_of_readers(graph, sides, name, names, after),
        ):
            found.setdefault((obstacle.product, obstacle.what), obstacle)
    return list(found.values())


def _of_pointers(graph: Graph, sides: Sides, name: str) -> Iterator[Obstacle]:
    version = sides.published_here(name)
    if name not in graph.products:
        yield Obstacle(
            product=name,
            what="is not declared here",
            do=f"Check out the code that {sides.source} was built with.",
        )
    if version is None:
        yield Obstacle(product=name, what=f"its version in {sides.source} is not recorded")
    if name in sides.there and sides.there[name].pinned:
        yield Obstacle(
            product=name,
            what=f"is pinned in {sides.target}",
            do=f"`products restore {name} --unpin --env {sides.target}`",
        )
    if sides.here[name].pinned:
        yield Obstacle(
            product=name,
            what=f"is pinned in {sides.source}",
            do=f"`products restore {name} {short(sides.here[name].version)} --env {sides.target}`"
            " publishes and pins it there.",
        )
    if sides.moved(name):
        yield _moved(sides, name)


def _moved(sides: Sides, name: str) -> Obstacle:
    base = sides.bases.get(name, "")
    before = short(base) if base else "nothing"
    pointer = sides.there.get(name)
    now = (
        f"{short(pointer.version)} (release {pointer.release}, {pointer.released_at:%Y-%m-%d %H:%M})"
        if pointer
        else "nothing"
    )
    return Obstacle(
        product=name,
        what=f"has moved in {sides.target} meanwhile, from {before} to {now}",
        do=f"`products env create {sides.source} --again`, then"
        f" `products materialize --env {sides.source}`",
    )


def _of_inputs(
    graph: Graph, sides: Sides, name: str, after: Mapping[str, Version | None]
) -> Iterator[Obstacle]:
    """Yield the inputs that would not be what the product was built from, or judged beside."""
    version = sides.published_here(name)
    if version is None:
        return
    declared = graph.products.get(name)
    beside = dict.fromkeys(declared.rule_inputs if declared else (), "judged beside")
    built_from = without_previous(name, version.key.inputs)
    for read, how in {**beside, **dict.fromkeys(built_from, "built from")}.items():
        if read not in graph.products and read not in sides.here and read not in sides.there:
            continue  # a source
        here, now = sides.published_here(read), after.get(read)
        wanted = version.key.inputs.get(read, here.digest if here else "")
        if now is not None and now.digest == wanted:
            continue
        if read in sides.own and here is not None and here.digest == wanted:
            shown = f"{short(now.id)} of it" if now else "nothing of it"
            yield Obstacle(
                product=name,
                what=f"was {how} {short(here.id)} of {read}, and {sides.target} has {shown}",
                do=f"Promote both: `+{name}`.",
            )
        elif sides.moved(read):
            yield _moved(sides, read)
        else:
            yield Obstacle(
                product=name,
                what=f"was {how} another version of {read} than {sides.source} publishes",
                do=f"`products materialize --env {sides.source}`",
            )


def _of_readers(
    graph: Graph,
    sides: Sides,
    name: str,
    names: Sequence[str],
    after: Mapping[str, Version | None],
) -> Iterator[Obstacle]:
    """Yield the readers that would stay behind, where readers of the source see another version.

    A reader that is the same version in both is no obstacle: so it is in the source, too.
    """
    now = after.get(name)
    for reader in graph.below.get(name, ()):
        old = sides.published_there(reader)
        if reader in names or old is None or now is None:
            continue
        if old.key.inputs.get(name, now.digest) == now.digest:
            continue
        if reader in sides.own:
            yield Obstacle(
                product=reader,
                what=f"was built from another version of {name} in {sides.target}, and is left out",
                do=f"Promote both: `{name}+`.",
            )
        elif sides.moved(reader):
            yield _moved(sides, reader)
