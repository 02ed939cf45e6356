"""Restores versions and releases, unpins and retires products: moves pointers on command."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct

from assay.build.mixtures import Mixture, mixed_pairs, mixture, neighbourhood
from assay.build.workspace import Workspace
from assay.catalog.reads import lineage
from assay.catalog.versions import find_version
from assay.engines.tables import stored
from assay.errors import Conflict, StoreError, UsageError
from assay.facts import Move, Pointer, Version, short
from assay.model import QUARANTINE
from assay.plan.waivers import given_waivers, waivers_of

_ATTEMPTS = 10
T = TypeVar("T")
Pointers = Mapping[str, Pointer]


class Restored(Struct, frozen=True, kw_only=True):
    """A version that was published again and pinned, and the mixtures that this created."""

    product: str
    version: str
    release: int
    mixtures: tuple[Mixture, ...]


class RestoredRelease(Struct, frozen=True, kw_only=True):
    """A release (`as_of`) that was published again, and pinned.

    Each move is paired with whether it changed the published version. `unchanged` are products that
    had no version as of that release; their pointers did not move.
    """

    as_of: int
    release: int
    moves: tuple[tuple[Move, bool], ...]
    unchanged: tuple[str, ...]
    mixtures: tuple[Mixture, ...]


class Unpinned(Struct, frozen=True, kw_only=True):
    """Products that are no longer pinned, with their published versions."""

    release: int
    versions: Mapping[str, str]


class Retired(Struct, frozen=True, kw_only=True):
    """Products that were unpublished, with the versions that were published."""

    release: int
    because: str
    versions: Mapping[str, str]


def _pointers(workspace: Workspace) -> Pointers:
    return workspace.catalog.pointers(workspace.environment)


def _release(workspace: Workspace, moves: Sequence[Move], pointers: Pointers, why: str) -> int:
    """Move pointers in one transaction, and return the id of the release.

    Raises Conflict if one of `pointers` has moved since it was read.
    """
    expected = {
        move.product: pointers[move.product].release if move.product in pointers else 0
        for move in moves
    }
    release = workspace.catalog.release(
        workspace.environment, moves, expected, run="", at=workspace.clock(), why=why
    )
    return release.id


def repeated(attempt: Callable[[], T]) -> T:
    """Repeat an attempt while it raises Conflict: a user's command takes precedence over runs."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except Conflict:
            continue
    return attempt()


# --------------------------------------------------------------------------------- one product


def restore(workspace: Workspace, product: str, id: str) -> Restored:
    """Publish an earlier version and pin it, together with its quarantined rows.

    Raises UsageError for a version that never passed, or only with a waiver that is over; StoreError
    if its files are damaged.
    """
    catalog = workspace.catalog

    def attempt() -> Restored:
        version = find_version(catalog, product, id)
        if problem := _why_not(workspace, product, version.id):
            raise UsageError(problem.what, hint=problem.hint)
        versions = [version, *_quarantine_of(workspace, version)]
        for restored in versions:
            stored(restored, workspace.storage)  # raises StoreError for damaged files
        pointers = _pointers(workspace)
        # Without `previous`: a restored version is not compared with the one that it replaces.
        moves = [Move(product=v.product, version=v.id, pinned=True) for v in versions]
        release = _release(workspace, moves, pointers, f"restore {short(version.id)}")
        return Restored(
            product=product,
            version=version.id,
            release=release,
            mixtures=_new_mixtures(workspace, pointers, moves),
        )

    return repeated(attempt)


def _why_not(workspace: Workspace, product: str, version: str) -> UsageError | None:
    """Return why a version may not go before readers; None if it may.

    One that only waivers let through may while these count in this environment. Of a product that
    asks for approval, it has to have been published there: then it was approved, or needed not be.
    """
    catalog, environment, now = workspace.catalog, workspace.environment, workspace.clock()
    of_version = f"{short(version)} of {product}"
    passed = [v for v in catalog.verdicts(version, environment) if v.passed]
    if not passed:
        return UsageError(f"{of_version} was never judged good, so it cannot go before readers")
    declared = workspace.graph.products.get(product)
    if declared and declared.approvers and not _was_published(workspace, product, version):
        who = " or ".join(declared.approvers)
        what = f"{of_version} was never published in {environment}, and needs the approval of {who}"
        hint = (
            "`products approvals` says what awaits approval; `products materialize` publishes it."
        )
        return UsageError(what, hint=hint)
    if not all(map(waivers_of, passed)):
        return None
    recorded = [w for w in catalog.waivers(environment) if w.product == product]
    counting = lineage(catalog.database, environment)
    given = given_waivers(declared, recorded, counting) if declared else recorded
    waivers = {waiver.id: waiver for waiver in given}
    if any(
        all(id in waivers and waivers[id].is_in_force(now) for id in waivers_of(verdict))
        for verdict in passed
    ):
        return None
    over = [waivers[id] for id in waivers_of(passed[0]) if id in waivers]
    how = [f"{w.id} of {w.by} {w.how_it_ended}" for w in over if w.is_over(now)]
    what = f"{of_version} fails a rule, and was let through by a waiver that does not count now"
    hint = "Publish another version, or waive the rule again when it is held back."
    return UsageError(": ".join([what, *["; ".join(how)] * bool(how)]), hint=hint)


def _was_published(workspace: Workspace, product: str, version: str) -> bool:
    """Return whether readers of this environment ever had a version; a later release counts too."""
    catalog, environment = workspace.catalog, workspace.environment
    releases = catalog.releases(product, environment)
    if any((product, version) in release.moves for release in releases):
        return True
    used = (a for a in catalog.approvals.of(environment) if a.release)
    return any(approval.version == version for approval in used)


def _quarantine_of(workspace: Workspace, version: Version) -> list[Version]:
    """Return the version of the quarantine product that belongs to a version, or nothing."""
    versions = workspace.catalog.versions(f"{version.product}__{QUARANTINE}")
    return [v for v in versions if v.key.inputs.get(version.product) == version.digest][:1]


def unpin(workspace: Workspace, products: Collection[str]) -> Unpinned:
    """Unpin products, or without names all that are pinned; the next run may update them."""

    def attempt() -> Unpinned:
        pointers = _pointers(workspace)
        pinned = {name for name, pointer in pointers.items() if pointer.pinned}
        if not_pinned := sorted(set(products) - pinned):
            raise UsageError(f"{not_pinned[0]} is not pinned")
        if not pinned:
            raise UsageError(f"nothing is pinned in {workspace.environment}")
        chosen = sorted(
            name
            for name in pinned
            if not products or {name, name.removesuffix(f"__{QUARANTINE}")} & set(products)
        )
        versions = {name: pointers[name].version for name in chosen}
        moves = [
            Move(product=name, version=version, previous=pointers[name].previous)
            for name, version in versions.items()
        ]
        release = _release(workspace, moves, pointers, "unpin")
        return Unpinned(release=release, versions=versions)

    return repeated(attempt)


def retire(workspace: Workspace, products: Collection[str], because: str = "") -> Retired:
    """Unpublish products that are no longer declared, with their quarantined rows, in one release.

    Their versions are retained like other published versions. Raises UsageError for a product that
    is not published, and for a product that is declared (the next run would publish it again),
    unless its published files are lost.
    """

    def attempt() -> Retired:
        pointers = _pointers(workspace)
        _check_retirable(workspace, products, pointers)
        quarantines = {f"{name}__{QUARANTINE}" for name in products} & pointers.keys()
        versions = {name: pointers[name].version for name in sorted({*products, *quarantines})}
        moves = [
            Move(product=name, version="", previous=version) for name, version in versions.items()
        ]
        why = f"retire {', '.join(sorted(products))}" + (f": {because}" if because else "")
        release = _release(workspace, moves, pointers, why)
        return Retired(release=release, because=because, versions=versions)

    return repeated(attempt)


def _check_retirable(workspace: Workspace, products: Collection[str], pointers: Pointers) -> None:
    declared = workspace.graph.products
    for name in sorted(declared.keys() & set(products)):
        if name in pointers:
            version = workspace.catalog.version(pointers[name].version)
            if not workspace.storage.holds(version.parts):
                continue
        raise UsageError(
            f"{name} is declared ({declared[name].where}), so the next run would publish it again",
            hint="Remove its declaration first.",
        )
    if unpublished := sorted(set(products) - pointers.keys()):
        raise UsageError(
            f"readers of {workspace.environment} do not see {unpublished[0]}:"
            " there is nothing to retire"
        )


# ------------------------------------------------------------------------------- a release


def restore_release(workspace: Workspace, release: int) -> RestoredRelease:
    """Publish everything as of a release again, in one transaction, and pin it.

    Raises UsageError if there is no such release, or waivers that let its versions through are over;
    StoreError if files of its versions are missing.
    """
    catalog, environment = workspace.catalog, workspace.environment

    def attempt() -> RestoredRelease:
        former = catalog.pointers(environment, release)
        if not catalog.has_release(environment, release):
            last = catalog.last_release(environment)
            hint = f"the last is {last.id}" if last else "it has none"
            raise UsageError(f"there is no release {release} of {environment}: {hint}")
        _check_files(workspace, former.values(), release)
        _check_waivers(workspace, former.values(), release)
        pointers = _pointers(workspace)
        moves = [
            _move_back(pointer, pointers.get(name)) for name, pointer in sorted(former.items())
        ]
        id = _release(workspace, moves, pointers, f"restore release {release}")
        return RestoredRelease(
            as_of=release,
            release=id,
            moves=tuple((move, not _is_published(move, pointers)) for move in moves),
            unchanged=tuple(sorted(pointers.keys() - former.keys())),
            mixtures=_new_mixtures(workspace, pointers, moves),
        )

    return repeated(attempt)


def _move_back(former: Pointer, now: Pointer | None) -> Move:
    """Return the move that pins a former version, which may be the published one."""
    previous = now.previous if now and now.version == former.version else ""
    return Move(product=former.product, version=former.version, previous=previous, pinned=True)


def _is_published(move: Move, pointers: Pointers) -> bool:
    return move.product in pointers and pointers[move.product].version == move.version


def _check_files(workspace: Workspace, pointers: Iterable[Pointer], release: int) -> None:
    """Raise StoreError, naming all versions whose files are missing."""
    missing = []
    for pointer in pointers:
        versions = workspace.catalog.versions_where("where id = ?", [pointer.version])
        name = f"{pointer.product} {short(pointer.version)}"
        if not versions:
            missing.append(f"{name} (no longer kept)")
        elif not workspace.storage.holds(versions[0].parts):
            missing.append(name)
    if missing:
        raise StoreError(
            f"release {release} cannot be restored, files of {len(missing)} of its products"
            f" are gone: {', '.join(missing)}",
            hint="`products restore NAME VERSION` restores others one by one.",
        )


def _check_waivers(workspace: Workspace, pointers: Iterable[Pointer], release: int) -> None:
    """Raise UsageError, naming all versions that only waivers that are over would let through."""
    found = (_why_not(workspace, pointer.product, pointer.version) for pointer in pointers)
    if problems := [problem.what for problem in found if problem]:
        raise UsageError(
            f"release {release} cannot be restored: {'; '.join(problems)}",
            hint="`products restore NAME VERSION` restores others one by one.",
        )


def _new_mixtures(
    workspace: Workspace, before: Pointers, moves: Sequence[Move]
) -> tuple[Mixture, ...]:
    """Return the mixtures that these moves created."""
    catalog, graph, names = workspace.catalog, workspace.graph, [move.product for move in moves]
    near = neighbourhood(graph, names) & before.keys()
    old = {name: catalog.version(before[name].version) for name in near}
    new = old | {move.product: catalog.version(move.version) for move in moves}
    mixed_before = set(mixed_pairs(graph, old, names))
    return tuple(
        mixture(catalog, new, product, input)
        for product, input in mixed_pairs(graph, new, names)
        if (product, input) not in mixed_before
    )
