"""Puts an earlier version of a product, or the whole set of a release, back before its readers, and pins it there."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from assay.build.workspace import Workspace
from assay.catalog import Catalog
from assay.catalog.versions import version_of
from assay.engines.tables import stored
from assay.errors import Conflict, StoreError, UsageError
from assay.model import QUARANTINE, Move, Pointer, Version, short
from assay.plan.graph import Graph

_ATTEMPTS = 10
T = TypeVar("T")


def _pointers(workspace: Workspace) -> Mapping[str, Pointer]:
    return workspace.catalog.pointers(workspace.environment)


def _release(
    workspace: Workspace, moves: Sequence[Move], pointers: Mapping[str, Pointer], why: str
) -> int:
    """Move pointers in one transaction, if they still are as read; return the id of the release."""
    expected = {
        move.product: pointers[move.product].release if move.product in pointers else 0
        for move in moves
    }
    release = workspace.catalog.release(
        workspace.environment, moves, expected, run="", at=workspace.clock(), why=why
    )
    return release.id


def _steadily(attempt: Callable[[], T]) -> T:
    """Do it again when a run has moved a pointer meanwhile: what is put back goes before what runs publish."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            return attempt()
        except Conflict:
            if not left:
                raise
    raise AssertionError


# ---------------------------------------------------------------------------------------------- one product


def restore(workspace: Workspace, product: str, id: str) -> dict[str, Any]:
    """Publish an earlier version and pin it, with the rows that were set aside of it; return what was done as data."""
    catalog = workspace.catalog

    def attempt() -> dict[str, Any]:
        version = version_of(catalog, product, id)
        if not any(verdict.passed for verdict in catalog.verdicts(version.id)):
            raise UsageError(
                f"{short(version.id)} of {product} was never judged good, so it cannot go before readers"
            )
        beside = catalog.versions(f"{product}__{QUARANTINE}")
        aside = [v for v in beside if v.key.inputs.get(product) == version.digest]
        put, pointers = (version, *aside[:1]), _pointers(workspace)
        for each in put:
            stored(each, workspace.storage)  # StoreError when it is not there whole
        # What is put back is not to be compared with what it takes back.
        moves = [Move(product=v.product, version=v.id, pinned=True) for v in put]
        release = _release(workspace, moves, pointers, f"restore {short(version.id)}")
        return {
            "product": product,
            "release": release,
            "result": "restored",
            "version": version.id,
            "note": f"pinned; `products restore {product} --unpin` lets it move again",
            "warnings": _new_mixtures(workspace, pointers, moves),
        }

    return _steadily(attempt)


def retire(workspace: Workspace, products: Collection[str], because: str = "") -> dict[str, Any]:
    """Take products that are no longer declared away from readers, with the rows set aside of them, in one release.

    Their versions are kept as long as others that readers saw. Raises UsageError for one that is still declared (the
    next run would publish it again), unless the files that readers are sent to are lost, and for one that readers do
    not see.
    """
    catalog, storage = workspace.catalog, workspace.storage

    def attempt() -> dict[str, Any]:
        pointers = _pointers(workspace)
        seen = {
            name: catalog.version(pointers[name].version) for name in products if name in pointers
        }
        lost = {name for name, version in seen.items() if not storage.holds(version.parts)}
        if declared := sorted(
            name for name in products if name in workspace.graph.products and name not in lost
        ):
            where = workspace.graph.products[declared[0]].where
            raise UsageError(
                f"{declared[0]} is declared ({where}), so the next run would publish it again",
                hint="Remove its declaration first.",
            )
        if unseen := sorted(set(products) - pointers.keys()):
            raise UsageError(
                f"readers of {workspace.environment} do not see {unseen[0]}: there is nothing to retire"
            )
        aside = {f"{name}__{QUARANTINE}" for name in products} & pointers.keys()
        moves = [
            Move(product=n, version="", previous=pointers[n].version)
            for n in sorted({*products, *aside})
        ]
        why = f"retire {', '.join(sorted(products))}" + (f": {because}" if because else "")
        release = _release(workspace, moves, pointers, why)
        retired = [{"product": move.product, "version": move.previous} for move in moves]
        return {"result": "retired", "release": release, "because": because, "products": retired}

    return _steadily(attempt)


def unpin(workspace: Workspace, products: Collection[str]) -> dict[str, Any]:
    """Let these products (none: all that are pinned) move again with the next run."""

    def attempt() -> dict[str, Any]:
        pointers = _pointers(workspace)
        pinned = {name for name, pointer in pointers.items() if pointer.pinned}
        if loose := sorted(set(products) - pinned):
            raise UsageError(f"{loose[0]} is not pinned")
        if not pinned:
            raise UsageError(f"nothing is pinned in {workspace.environment}")
        chosen = {
            n
            for n in pinned
            if not products or n in products or n.removesuffix(f"__{QUARANTINE}") in products
        }
        moves = [
            Move(product=n, version=pointers[n].version, previous=pointers[n].previous)
            for n in sorted(chosen)
        ]
        told = [{"product": move.product, "version": move.version} for move in moves]
        return {
            "result": "unpinned",
            "release": _release(workspace, moves, pointers, "unpin"),
            "products": told,
        }

    return _steadily(attempt)


# ---------------------------------------------------------------------------------------------- a whole set


def restore_release(workspace: Workspace, release: int) -> dict[str, Any]:
    """Publish all that readers saw as of a release, in one transaction, and pin it; return what was done as data.

    Raises UsageError when there is no such release, StoreError, with all that is gone, when not all of it is there.
    """
    catalog, environment = workspace.catalog, workspace.environment

    def attempt() -> dict[str, Any]:
        then = catalog.pointers(environment, release)
        if not catalog.has_release(environment, release):
            last = catalog.last_release(environment)
            told = f"the last is {last.id}" if last else "it has none"
            raise UsageError(f"there is no release {release} of {environment}: {told}")
        _check_whole(workspace, then.values(), release)
        pointers = _pointers(workspace)
        moves = [_back(pointer, pointers.get(name)) for name, pointer in sorted(then.items())]
        id = _release(workspace, moves, pointers, f"restore release {release}")
        return {
            "result": "restored",
            "as_of": release,
            "release": id,
            "products": [
                {
                    "product": m.product,
                    "version": m.version,
                    "moved": _seen(pointers, m.product) != m.version,
                }
                for m in moves
            ],
            "left": sorted(pointers.keys() - then.keys()),
            "warnings": _new_mixtures(workspace, pointers, moves),
        }

    return _steadily(attempt)


def _back(then: Pointer, now: Pointer | None) -> Move:
    """Return the move to what readers saw then; what they see already is only pinned."""
    previous = now.previous if now and now.version == then.version else ""
    return Move(product=then.product, version=then.version, previous=previous, pinned=True)


def _seen(pointers: Mapping[str, Pointer], name: str) -> str:
    return pointers[name].version if name in pointers else ""


def _check_whole(workspace: Workspace, pointers: Iterable[Pointer], release: int) -> None:
    gone = []
    for pointer in pointers:
        found = workspace.catalog.versions_where("where id = ?", [pointer.version])
        if not found or not workspace.storage.holds(found[0].parts):
            gone.append(
                f"{pointer.product} {short(pointer.version)}{'' if found else ' (no longer kept)'}"
            )
    if gone:
        raise StoreError(
            f"release {release} cannot be restored, files of {len(gone)} of its products are gone: {', '.join(gone)}",
            hint="`products restore NAME VERSION` restores others one by one.",
        )


# ---------------------------------------------------------------------------------------------- what does not match


def mixtures(graph: Graph, seen: Mapping[str, Version], of: Iterable[str]) -> list[tuple[str, str]]:
    """Return the products, each with an input, of which readers see another content than what it was made of.

    Only those are looked at that are among `of`, or made of one of them.
    """
    named = set(of)
    near = named | {reader for name in named for reader in graph.below.get(name, ())}
    return [
        (name, i.name)
        for name in graph.order
        if name in near and name in seen
        for i in graph.products[name].inputs
        if i.name in seen
        and not named.isdisjoint({name, i.name})
        and seen[name].key.inputs.get(i.name, seen[i.name].digest) != seen[i.name].digest
    ]


def _new_mixtures(
    workspace: Workspace, before: Mapping[str, Pointer], moves: Sequence[Move]
) -> list[str]:
    """Return, in words, which products readers now see made of another version of an input than they see."""
    catalog, graph, names = workspace.catalog, workspace.graph, [m.product for m in moves]
    near = {*names, *(n for name in names for n in graph.below.get(name, ()))}
    near |= {i.name for name in near & graph.products.keys() for i in graph.products[name].inputs}
    old = {name: catalog.version(before[name].version) for name in near if name in before}
    new = old | {m.product: catalog.version(m.version) for m in moves}
    there = set(mixtures(graph, old, names))
    return [
        mixed(catalog, new, name, of)
        for name, of in mixtures(graph, new, names)
        if (name, of) not in there
    ]


def mixed(catalog: Catalog, seen: Mapping[str, Version], name: str, of: str) -> str:
    """Return in words what a product was made of, and what readers see of that."""
    digest = seen[name].key.inputs[of]
    made_of = catalog.versions_where(
        "where product = ? and digest = ? order by seq desc limit 1", [of, digest]
    )
    what = short(made_of[0].id) if made_of else "another version"
    return f"{name} {short(seen[name].id)} was made of {what} of {of}, and readers now see {short(seen[of].id)} of it"


def mixed_by_pins(catalog: Catalog, graph: Graph, environment: str) -> dict[str, list[str]]:
    """Return, by product, what readers see that does not match since something is pinned."""
    pointers = catalog.pointers(environment)
    pinned = [name for name, pointer in pointers.items() if pointer.pinned]
    if not pinned:
        return {}
    near = {*pinned, *(n for name in pinned for n in graph.below.get(name, ()))}
    near |= {i.name for name in near & graph.products.keys() for i in graph.products[name].inputs}
    seen = {name: catalog.version(pointers[name].version) for name in near if name in pointers}
    found: dict[str, list[str]] = {}
    for name, of in mixtures(graph, seen, pinned):
        found.setdefault(name, []).append(mixed(catalog, seen, name, of))
    return found
