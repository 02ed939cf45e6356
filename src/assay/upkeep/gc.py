"""Garbage collection of a project's store: what `products gc` does."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from assay.build.compact import Compacted, compact
from assay.build.inputs import store_engine
from assay.build.workspace import Workspace
from assay.plan.retention import KeepReason, KeepRule
from assay.store.spill import drop_spilled
from assay.upkeep.gc_facts import collect
from assay.upkeep.gc_files import sweep
from assay.upkeep.gc_names import forget_sources, waiting


class DroppedVersion(Struct, frozen=True, kw_only=True):
    """A version that is no longer stored, or would not be; `good` if it passed its rules."""

    product: str
    version: str
    built_at: datetime
    good: bool


class WaitingFiles(Struct, frozen=True, kw_only=True):
    """Files that no version has any more, and why they cannot be removed yet."""

    why: str
    files: Sequence[str]


class Tidied(Struct, frozen=True, kw_only=True):
    """What a collection did, or would do: versions dropped and kept (by id, with why), files removed and waiting.

    `moves` and `runs` count what the catalog forgot, `bytes` are those of dropped versions; `as_of_since` is the first
    release that an environment can still be read as of, where it changed; `sources` are no longer declared.
    """

    dropped: Sequence[DroppedVersion]
    kept: Mapping[str, KeepReason]
    moves: int
    runs: int
    as_of_since: Mapping[str, int]
    bytes: int
    removed: Sequence[str]
    waiting: Sequence[WaitingFiles]
    compacted: Sequence[Compacted]
    sources: Sequence[str]


def tidy(workspace: Workspace, rule: KeepRule, *, dry: bool = False) -> Tidied:
    """Drop versions that need not be kept, merge small files, and remove files that nobody can be reading.

    Wherever it is stopped, the next one goes on from there; `dry` changes nothing.
    """
    now, catalog, storage = workspace.clock(), workspace.catalog, workspace.storage
    if not dry:
        catalog.runs.recover(storage.remove)
        drop_spilled(workspace.config.spill_folder)
    collected = collect(catalog, rule, now, dry=dry)
    files = [*waiting(catalog), *(collected.files if dry else ())]
    compacted = compact(workspace, partial(store_engine, workspace), dry=dry)
    removed, waiting_files = sweep(catalog, storage, files, now=now, dry=dry)
    sources = forget_sources(catalog, workspace.graph.sources.keys(), dry=dry)
    if not dry:
        catalog.database.shrink()
    return Tidied(
        dropped=[
            DroppedVersion(product=v.product, version=v.id, built_at=v.built_at, good=v.good)
            for v in collected.versions
        ],
        kept=collected.stay,
        moves=collected.moves,
        runs=collected.runs,
        as_of_since=collected.since,
        bytes=collected.bytes,
        removed=sorted(removed),
        waiting=[
            WaitingFiles(why=why, files=sorted(paths))
            for why, paths in sorted(waiting_files.items())
        ],
        compacted=compacted,
        sources=sources,
    )
