"""Rewrites many small files of parts into few; what is in the parts, and so all that was made of them, stays as it is.

A part then is some rows of a file. The files that it replaces are removed when nobody can be reading them any more.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial

from msgspec import Struct

from assay.build.pack import FEW_ROWS, FEWEST, may_share, put_together
from assay.build.workers import Workers
from assay.build.workspace import Workspace
from assay.engines.duckdb import DuckDB
from assay.engines.tables import stored
from assay.errors import Conflict, StoreError
from assay.facts import Part, Version
from assay.signals import signals_deferred
from assay.store.files import Storage

SMALL = 16 << 20  # bytes of a file that is worth putting together with others
LARGE = 128 << 20  # bytes of small files that are put into one
LEFT = 16  # files of few rows that runs may leave: putting them together costs as much as to open them a few times
YOUNGEST = 7  # the last parts stay as they are: they are what changes


class Compacted(Struct, frozen=True, kw_only=True):
    """What was put together, or would be: of which product, how many files of how many bytes, into how many."""

    product: str
    files: int
    bytes: int
    into: int


def compact(workspace: Workspace, opened: Callable[[], DuckDB], *, dry: bool) -> list[Compacted]:
    """Put the small files together of every product in parts, as one environment sees it; say what was done.

    An engine is `opened` when there is something to do.
    """
    recorded, catalog = workspace.catalog.recorded(), workspace.catalog
    seen = [
        catalog.version(pointer.version)
        for pointer in catalog.pointers(workspace.environment).values()
    ]
    plan = [
        (version, list(_heaps(version.parts)))
        for version in seen
        if version.in_parts and _may(version)
    ]
    todo = [(version, heaps) for version, heaps in plan if heaps]
    if todo and not dry:
        with closing(opened()) as engine:
            todo = _rewritten("gc", todo, workspace, engine, recorded=recorded)
    return [_told(version, heaps) for version, heaps in todo]


def keep_few(versions: Iterable[Version], workspace: Workspace, workers: Workers) -> None:
    """Put the files together of parts of few rows, where a run after the other has left so many of them.

    That costs a run now and then little, and every one that reads all of the parts less. Where it fails they stay.
    """
    import duckdb

    todo = [(version, list(_heaps(few))) for version in versions if (few := _few(version))]
    if not todo:
        return
    with suppress(StoreError, Conflict, OSError, duckdb.Error), signals_deferred():
        recorded = workspace.catalog.recorded()
        _rewritten("few", todo, workspace, workers.engine, recorded=recorded)


def _few(version: Version) -> list[Part]:
    """Return the parts of few rows, where many of them have a file each, and not all from a first build."""
    few = (
        [part for part in version.parts if part.rows <= FEW_ROWS]
        if version.in_parts and _may(version)
        else []
    )
    alone = [path for path, count in Counter([part.path for part in few]).items() if count == 1]
    runs = {path.split("/")[1] for path in alone}
    return few if len(alone) >= LEFT + YOUNGEST and len(runs) >= FEWEST else []


_Todo = list[tuple[Version, list[list[Part]]]]


def _rewritten(
    what: str, todo: _Todo, workspace: Workspace, engine: DuckDB, *, recorded: int
) -> _Todo:
    """Put parts together, as a run of its own called `what`; returns what was: not what others are building."""
    now, storage = workspace.clock(), workspace.storage
    run = f"{what}-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    wanted = {version.product: version.key.digest for version, _ in todo}
    with workspace.catalog.runs.open(
        run, workspace.environment, now, wanted, storage.remove, recorded=recorded
    ) as busy:
        done = [(version, heaps) for version, heaps in todo if version.product not in busy]
        for version, heaps in done:
            for index, heap in enumerate(heaps):
                moved = _rewrite(
                    version, heap, f"{version.product}/{run}/{index}.parquet", storage, engine
                )
                workspace.catalog.relocate(moved, now)
    return done


def _may(version: Version) -> bool:
    return may_share(version.columns)


def _heaps(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield the parts that go into one file each, neighbours together; the last ones in none."""
    heap: list[Part] = []
    parts = parts[:-YOUNGEST]
    small = _small(parts)
    for part in parts:
        if part.path not in small:
            continue
        heap.append(part)
        if _bytes(heap) >= LARGE:
            yield from [heap] if _files(heap) >= FEWEST else []
            heap = []
    if _files(heap) >= FEWEST:
        yield heap


def _small(parts: Sequence[Part]) -> set[str]:
    """Return the files worth putting together.

    What was put together before stays until as many rows have come since, so that a part is rewritten a few times at
    most: a file of few rows is hardly smaller than one of many.
    """
    held, files = Counter([part.path for part in parts]), {part.path: part for part in parts}
    small = {path for path, count in held.items() if count == 1 and files[path].bytes <= SMALL}
    total = sum(files[path].rows for path in small)
    rows = {path: files[path].of or files[path].rows for path in held.keys() - small}
    for path in sorted(rows, key=rows.__getitem__):
        if rows[path] > total or files[path].bytes > SMALL:
            break
        small.add(path)
        total += rows[path]
    return small


def _files(heap: Sequence[Part]) -> int:
    return len({part.path for part in heap})


def _bytes(heap: Sequence[Part]) -> int:
    return sum({part.path: part.bytes for part in heap}.values())


def _told(version: Version, heaps: Sequence[Sequence[Part]]) -> Compacted:
    return Compacted(
        product=version.product,
        files=sum(map(_files, heaps)),
        bytes=sum(map(_bytes, heaps)),
        into=len(heaps),
    )


def _rewrite(
    version: Version, heap: Sequence[Part], path: str, storage: Storage, engine: DuckDB
) -> list[Part]:
    """Write parts to one file and return them as they are there; StoreError when one came out as something else."""
    moved = put_together(
        heap, partial(stored, version, storage), path, storage=storage, engine=engine
    )
    storage.flush([path])
    return moved
