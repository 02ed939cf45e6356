"""Puts parts of few rows together while a product is built, if it has very many of them."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from assay.build.shared_files import FEW_ROWS, FEWEST, may_share, put_together
from assay.engines.duckdb import DuckDB
from assay.engines.tables import StoredTable
from assay.errors import StoreError
from assay.facts import Part
from assay.store.files import Storage

MANY = 64  # parts built at once that share files; fewer have one each, which shows the value
_FEW_BYTES = 1 << 20  # a part with more has a file of its own: its rows are large
# Parts and rows of a shared file: a reader of one part skips the others.
_MOST, _MOST_ROWS = 64, 8 * FEW_ROWS


def share(
    parts: Sequence[Part], *, storage: Storage, engine: Callable[[], DuckDB]
) -> dict[str, Part]:
    """Put parts of few rows together in shared files; return all parts by their former paths.

    The parts are of one product, not recorded yet, and have a file each. They stay there if this
    fails.
    """
    shared: dict[str, Part] = {}
    for group in _groups(parts):
        moved = _shared(group, storage, engine)
        shared.update((before.path, after) for before, after in zip(group, moved, strict=True))
    return shared


def _shared(parts: list[Part], storage: Storage, engine: Callable[[], DuckDB]) -> list[Part]:
    """Put parts together if they are enough; the caller defers Ctrl-C."""
    import duckdb

    if len(parts) < FEWEST:
        return parts
    path = f"{_folder(parts[0])}/parts-{uuid.uuid4().hex[:8]}.parquet"
    try:
        return put_together(
            parts,
            lambda run: StoredTable((storage.locate(run[0]),)),
            path,
            storage=storage,
            engine=engine(),
        )
    except (StoreError, OSError, duckdb.Error):
        with suppress(StoreError, OSError):
            storage.remove(path)
        return parts


def _folder(part: Part) -> str:
    """Return the folder of the run that built a part."""
    return "/".join(part.path.split("/")[:2])


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts that go into one file each; a large part is alone."""
    group: list[Part] = []
    for part in parts:
        if group and not _fits(part, group):
            yield group
            group = []
        if part.rows > FEW_ROWS or part.bytes > _FEW_BYTES or not may_share(part.columns):
            yield [part]
        else:
            group.append(part)
    if group:
        yield group


def _fits(part: Part, group: Sequence[Part]) -> bool:
    rows = sum(member.rows for member in group) + part.rows
    return rows <= _MOST_ROWS and len(group) < _MOST and part.columns == group[0].columns
