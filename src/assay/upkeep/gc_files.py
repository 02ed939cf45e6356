"""Removes obsolete files, those without a part in the catalog, once nobody can be reading them.

The catalog names an obsolete file (table `replaced`) until it is removed, so that an interrupted gc
can be finished.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from assay.build.workspace import Workspace
from assay.catalog.catalog import Catalog
from assay.catalog.rows import decoded
from assay.store.files import Storage
from assay.store.leases import Lease, living
from assay.times import GRACE


class ObsoleteFile(Struct, frozen=True, kw_only=True):
    """A file without a part, `since` when, and until when it was published ('' for never)."""

    path: str
    since: datetime
    last_seen: str


def finish(workspace: Workspace) -> None:
    """Finish an interrupted gc: remove the obsolete files that nobody can be reading."""
    if files := obsolete_files(workspace.catalog):
        sweep(workspace.catalog, workspace.storage, files, now=workspace.clock())


def obsolete_files(catalog: Catalog) -> list[ObsoleteFile]:
    """Return the obsolete files that are not removed yet."""
    rows = catalog.database.rows(
        "select path, since, seen from replaced"
        " where path not in (select path from parts) order by path"
    )
    with decoded(catalog.name):
        return [
            ObsoleteFile(path=path, since=datetime.fromisoformat(since), last_seen=seen)
            for path, since, seen in rows
        ]


def sweep(
    catalog: Catalog,
    storage: Storage,
    files: Sequence[ObsoleteFile],
    *,
    now: datetime,
    dry: bool = False,
) -> tuple[list[str], dict[str, list[str]]]:
    """Remove obsolete files; return their paths, and by reason the paths that have to wait."""
    # The catalog no longer names the files: readers who come after this cannot find them.
    runs = run_starts(catalog) if files else []
    leases = living(storage.root) if files else []
    removed: list[str] = []
    waiting: dict[str, list[str]] = {}
    for file in files:
        reason = _reason_to_wait(file, leases, runs, now)
        if reason:
            waiting.setdefault(reason, []).append(file.path)
        else:
            removed.append(file.path)
    if not dry:
        for path in removed:
            storage.remove(path)
        _forget(catalog, removed)
    return removed, waiting


def run_starts(catalog: Catalog) -> list[datetime]:
    """Return when each living run began."""
    rows = catalog.database.rows("select id, started_at from runs where state = 'running'")
    with decoded(catalog.name):
        return [datetime.fromisoformat(at) for run, at in rows if not catalog.database.is_dead(run)]


def _reason_to_wait(
    file: ObsoleteFile, leases: Iterable[Lease], runs: Iterable[datetime], now: datetime
) -> str:
    """Return why a file cannot be removed yet; '' if it can."""
    for lease in leases:
        if lease.holds(file.path) and _may_read(lease, file):
            return f"{lease.holder} may be reading"
    seen_lately = file.last_seen and datetime.fromisoformat(file.last_seen) >= now - GRACE
    if seen_lately or any(start < file.since + GRACE for start in runs):
        return "a run may be reading, or readers without a lease"
    return ""


def _may_read(lease: Lease, file: ObsoleteFile) -> bool:
    """Return whether a reader may have come before the file was obsolete."""
    try:
        return not lease.since or datetime.fromisoformat(lease.since) < file.since + GRACE
    except (ValueError, TypeError):
        return True


def _forget(catalog: Catalog, paths: Sequence[str]) -> None:
    """Drop removed files from the catalog."""
    if paths:
        catalog.write(
            lambda writer: writer.many(
                "delete from replaced where path = ?", [(path,) for path in paths]
            )
        )
