"""Removes the files that no version has any more, when nobody can be reading them."""

from collections.abc import Sequence
from datetime import datetime

from assay.build.workspace import Workspace
from assay.catalog import Catalog
from assay.store.files import Storage
from assay.store.leases import Lease, living
from assay.times import GRACE
from assay.upkeep.gc_names import Waiting, forget, removable, running, waiting


def finish(workspace: Workspace) -> None:
    """Remove what is left of what an earlier one was kept from removing, or killed before it had."""
    if files := waiting(workspace.catalog):
        sweep(workspace.catalog, workspace.storage, files, now=workspace.clock())


def sweep(
    catalog: Catalog,
    storage: Storage,
    files: Sequence[Waiting],
    *,
    now: datetime,
    dry: bool = False,
) -> tuple[list[str], dict[str, list[str]]]:
    """Remove the files that no version has any more; return their paths, and those that wait, by what for."""
    runs = running(catalog) if files else []
    leases = (
        living(storage.root) if files else []
    )  # after the catalog let go: whoever comes later does not find them
    removed: list[str] = []
    kept: dict[str, list[str]] = {}
    for file in files:
        reader = next(
            (lease for lease in leases if lease.holds(file.path) and _was_there(lease, file.since)),
            None,
        )
        if reader is not None:
            kept.setdefault(f"{reader.holder} may be reading", []).append(file.path)
        elif not removable(file, now, runs):
            kept.setdefault("a run may be reading, or readers without a lease", []).append(
                file.path
            )
        else:
            removed.append(file.path)
    if not dry:
        for path in removed:
            storage.remove(path)
        forget(catalog, removed)
    return removed, kept


def _was_there(lease: Lease, since: datetime) -> bool:
    """Say whether a reader may have come before the catalog let go of a file."""
    try:
        return not lease.since or datetime.fromisoformat(lease.since) < since + GRACE
    except (ValueError, TypeError):
        return True
