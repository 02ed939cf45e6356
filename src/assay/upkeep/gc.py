"""Garbage collection of a project's store: what `products gc` does."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from assay.build.compact import Compacted, compact
from assay.build.inputs import store_engine
from assay.build.promises import record_everywhere
from assay.build.workspace import Workspace
from assay.plan.retention import KeepReason, KeepRule
from assay.upkeep.gc_facts import collect
from assay.upkeep.gc_files import obsolete_files, sweep
from assay.upkeep.gc_sources import forget_sources


class DroppedVersion(Struct, frozen=True, kw_only=True):
    """A version that is no longer stored, or would not be; `good` if it passed its rules."""

    product: str
    version: str
    built_at: datetime
    good: bool


class WaitingFiles(Struct, frozen=True, kw_only=True):
    """Obsolete files, and why they cannot be removed yet."""

    why: str
    files: Sequence[str]


class Tidied(Struct, frozen=True, kw_only=True):
    """What gc did, or would do; `kept` versions are by id, with the reason.

    `moves`, `runs` and `incidents` count the rows removed from the catalog, `bytes` are those of dropped
    versions. `as_of_since` is the first release as of which an environment can still be read, where
    that has changed. `sources` are those that are no longer declared.
    """

    dropped: Sequence[DroppedVersion]
    kept: Mapping[str, KeepReason]
    moves: int
    runs: int
    incidents: int
    as_of_since: Mapping[str, int]
    bytes: int
    removed: Sequence[str]
    waiting: Sequence[WaitingFiles]
    compacted: Sequence[Compacted]
    sources: Sequence[str]


def tidy(workspace: Workspace, rule: KeepRule, *, dry: bool = False) -> Tidied:
    """Drop versions that `rule` does not keep, merge small files, and remove obsolete files.

    An interrupted gc is continued by the next; `dry` changes nothing.
    """
    now, catalog, storage = workspace.clock(), workspace.catalog, workspace.storage
    if not dry:
        workspace.recover()
        record_everywhere(workspace)
    collected = collect(catalog, rule, now, dry=dry)
    files = [*obsolete_files(catalog), *(collected.files if dry else ())]
    compacted = compact(workspace, partial(store_engine, workspace), dry=dry)
    removed, waiting = sweep(catalog, storage, files, now=now, dry=dry)
    sources = forget_sources(catalog, workspace.graph.sources.keys(), dry=dry)
    if not dry:
        catalog.undeclared.forget({n: s.reading for n, s in workspace.graph.sources.items()})
        catalog.database.shrink()
    return Tidied(
        dropped=[
            DroppedVersion(product=v.product, version=v.id, built_at=v.built_at, good=v.passed)
            for v in collected.versions
        ],
        kept=collected.stay,
        moves=collected.moves,
        runs=collected.runs,
        incidents=collected.incidents,
        as_of_since=collected.since,
        bytes=collected.bytes,
        removed=sorted(removed),
        waiting=[WaitingFiles(why=why, files=sorted(waiting[why])) for why in sorted(waiting)],
        compacted=compacted,
        sources=sources,
    )
