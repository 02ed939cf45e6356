"""Tidies the store of a project up: what `gc` does."""

from contextlib import closing
from dataclasses import asdict
from typing import Any

from assay.compaction import compact, sweep
from assay.session import Session


def tidy(session: Session, *, dry: bool = False) -> dict[str, Any]:
    """Put small files together, remove those that were replaced long enough ago; return what was done as data."""
    now, catalog, storage = session.clock(), session.catalog, session.storage
    if not dry:
        catalog.recover(storage.remove)
    shelf, _ = session.shelf(session.observe())
    with closing(shelf.engine()) as engine:
        done = compact(catalog, storage, engine, environment=session.environment, now=now, dry=dry)
    removed = sweep(catalog, storage, now=now, dry=dry)
    return {"compacted": [asdict(item) for item in done], "removed": removed}
