"""Tidies the store of a project up: what `gc` does."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from assay.build.compact import compact
from assay.build.inputs import store_engine
from assay.build.workspace import Workspace
from assay.plan.retention import KeepRule
from assay.store.spill import drop_spilled
from assay.upkeep.gc_facts import Collected, collect
from assay.upkeep.gc_files import sweep
from assay.upkeep.gc_names import forget_sources, waiting


def tidy(workspace: Workspace, rule: KeepRule, *, dry: bool = False) -> dict[str, Any]:
    """Let go of what need not be kept, put small files together, remove those that nobody can be reading any more.

    Returns what was done, or would be, as data. Wherever it is stopped, the next one goes on from there.
    """
    now, catalog, storage = workspace.clock(), workspace.catalog, workspace.storage
    if not dry:
        catalog.recover(storage.remove)
        drop_spilled(workspace.config.spill_folder)
    gone = collect(catalog, rule, now, dry=dry)
    files = [*waiting(catalog), *(gone.files if dry else ())]
    compacted = compact(workspace, partial(store_engine, workspace), dry=dry)
    removed, kept = sweep(catalog, storage, files, now=now, dry=dry)
    sources = forget_sources(catalog, workspace.graph.sources.keys(), dry=dry)
    if not dry:
        catalog.database.shrink()
    return _told(gone, removed, kept) | {"compacted": compacted, "sources": sources}


def _told(
    gone: Collected, removed: Sequence[str], kept: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    return {
        "dropped": [
            {
                "product": v.product,
                "version": v.id,
                "built_at": v.built_at.isoformat(),
                "good": v.good,
            }
            for v in gone.versions
        ],
        "kept": dict(gone.stay),
        "moves": gone.moves,
        "runs": gone.runs,
        "as_of_since": dict(gone.since),
        "bytes": gone.bytes,
        "removed": sorted(removed),
        "waiting": [{"why": why, "files": sorted(paths)} for why, paths in sorted(kept.items())],
    }


def tidied(told: Mapping[str, Any], *, dry: bool) -> Iterator[str]:
    """Yield what a user reads of what was done, or would be."""
    be = "to be " if dry else ""
    for product, count in sorted(Counter(item["product"] for item in told["dropped"]).items()):
        yield f"  {product}: {_count(count, 'version')} {be}dropped"
    reasons = Counter(_sort(why) for why in told["kept"].values())
    if reasons:
        yield f"  kept {_count(len(told['kept']), 'version')}: {'; '.join(f'{n} {why}' for why, n in reasons.items())}"
    for environment, release in told["as_of_since"].items():
        yield f"  {environment} can be seen as of release {release} or later"
    for item in told["compacted"]:
        yield f"  {item.product}: {item.files:,} files of {item.bytes:,} bytes into {item.into}"
    for item in told["waiting"]:
        yield f"  {_count(len(item['files']), 'file')} that {item['why']} to be removed later"
    size = f", {told['bytes']:,} bytes of versions dropped" if told["bytes"] else ""
    yield f"  {_count(len(told['removed']), 'file')} {be}removed{size}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def _sort(why: str) -> str:
    """Return a reason without what differs from version to version."""
    for words in ("readers of", "rules compare", "a run is", "built", "set aside"):
        if why.startswith(words):
            return {
                "readers of": "that readers saw lately"
                if " saw it " in why
                else "that readers see",
                "rules compare": "that rules compare with",
                "a run is": "of products that are being built",
                "built": "built lately",
                "set aside": "of rows set aside",
            }[words]
    return f"that are {why}"
