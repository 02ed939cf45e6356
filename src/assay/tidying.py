"""Tidies the store of a project up: what `gc` does."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import Any

from assay.compaction import compact, sweep
from assay.session import Session
from assay.storage import drop_spilled


def tidy(session: Session, *, dry: bool = False) -> dict[str, Any]:
    """Put small files together, remove those that were replaced long enough ago; return what was done as data."""
    now, catalog, storage = session.clock(), session.catalog, session.storage
    if not dry:
        catalog.recover(storage.remove)
        drop_spilled(session.project.config.spill_folder)
    shelf, _ = session.shelf(session.observe())
    with closing(shelf.engine()) as engine:
        done = compact(catalog, storage, engine, environment=session.environment, now=now, dry=dry)
    removed = sweep(catalog, storage, now=now, dry=dry)
    return {"compacted": [asdict(item) for item in done], "removed": removed}


def tidied(told: Mapping[str, Any], *, dry: bool) -> list[str]:
    """Return what a user reads of what was done, or would be."""
    said = [
        f"  {item['product']}: {item['files']:,} files of {item['bytes']:,} bytes into {item['into']}"
        for item in told["compacted"]
    ]
    count = len(told["removed"])
    return [*said, f"  {count} replaced file{'s' if count != 1 else ''} {'to be ' if dry else ''}removed"]
