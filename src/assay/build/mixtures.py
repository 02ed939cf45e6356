"""Published versions that do not match: built from an input that is not the published one."""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from assay.catalog import Catalog
from assay.facts import Version, short
from assay.plan.graph import Graph


class Mixture(Struct, frozen=True, kw_only=True):
    """A published version, and an input of which it was built from an unpublished version."""

    version: Version
    input: str
    built_from: Version | None  # None: it is not recorded any more
    published: Version

    def __str__(self) -> str:
        built_from = short(self.built_from.id) if self.built_from else "another version"
        return (
            f"{self.version.product} {short(self.version.id)} was made of {built_from} of"
            f" {self.input}, and readers now see {short(self.published.id)} of it"
        )


def mixed_pairs(
    graph: Graph, published: Mapping[str, Version], near: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield products, each with an input whose published content is not what it was built from.

    Only products of `near`, their inputs and their readers are compared.
    """
    names = set(near)
    candidates = names | {reader for name in names for reader in graph.below.get(name, ())}
    for product in graph.order:
        if product not in candidates or product not in published:
            continue
        digests = published[product].key.inputs
        for i in graph.products[product].inputs:
            if i.name not in published or names.isdisjoint({product, i.name}):
                continue
            digest = published[i.name].digest
            if digests.get(i.name, digest) != digest:
                yield product, i.name


def mixture(
    catalog: Catalog, published: Mapping[str, Version], product: str, input: str
) -> Mixture:
    """Return the mixture of a product and an input; `published` are versions by product."""
    version = published[product]
    versions = catalog.versions_where(
        "where product = ? and digest = ? order by seq desc limit 1",
        [input, version.key.inputs[input]],
    )
    built_from = versions[0] if versions else None
    return Mixture(version=version, input=input, built_from=built_from, published=published[input])


def neighbourhood(graph: Graph, names: Iterable[str]) -> set[str]:
    """Return products, their readers, and the inputs of both."""
    near = set(names)
    near |= {reader for name in list(near) for reader in graph.below.get(name, ())}
    near |= {i.name for name in near & graph.products.keys() for i in graph.products[name].inputs}
    return near


def mixtures_by_pins(catalog: Catalog, graph: Graph, environment: str) -> dict[str, list[Mixture]]:
    """Return, by product, the published versions that do not match because something is pinned."""
    pointers = catalog.pointers(environment)
    pinned = [name for name, pointer in pointers.items() if pointer.pinned]
    near = neighbourhood(graph, pinned) & pointers.keys()
    published = {name: catalog.version(pointers[name].version) for name in near}
    mixtures: dict[str, list[Mixture]] = {}
    for product, input in mixed_pairs(graph, published, pinned):
        mixtures.setdefault(product, []).append(mixture(catalog, published, product, input))
    return mixtures
