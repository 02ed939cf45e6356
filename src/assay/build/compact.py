"""Merges the small files of stored parts; their content stays, so nothing is rebuilt.

A part is then a range of rows of a file. The files that it replaces are removed when nobody can be
reading them.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial

from msgspec import Struct

from assay.build.shared_files import FEW_ROWS, FEWEST, may_share, put_together
from assay.build.workers import Workers
from assay.build.workspace import Workspace
from assay.engines.duckdb import DuckDB
from assay.engines.tables import stored
from assay.errors import Conflict, StoreError
from assay.facts import Part, Version
from assay.signals import signals_deferred

SMALL = 16 << 20  # bytes of the largest file that is merged
LARGE = 128 << 20  # bytes of small files that are merged into one
TOLERATED = (
    16  # files of few rows that runs leave: merging costs as much as opening them a few times
)
YOUNGEST = 7  # the last parts are not merged: they are the ones that change


class Compacted(Struct, frozen=True, kw_only=True):
    """What was merged of a product, or would be: how many files and bytes, into how many."""

    product: str
    files: int
    bytes: int
    into: int


class _Merge(Struct, frozen=True):
    """The parts of a version that go into one file each."""

    version: Version
    groups: list[list[Part]]

    def summary(self) -> Compacted:
        return Compacted(
            product=self.version.product,
            files=sum(map(_count_files, self.groups)),
            bytes=sum(map(_bytes, self.groups)),
            into=len(self.groups),
        )


def compact(
    workspace: Workspace, open_engine: Callable[[], DuckDB], *, dry: bool
) -> list[Compacted]:
    """Merge the small files of the versions published in one environment; return what was merged.

    `dry` returns what would be merged. The engine is opened only if there is something to merge.
    """
    catalog = workspace.catalog
    recorded = catalog.recorded()
    pointers = catalog.pointers(workspace.environment).values()
    versions = [catalog.version(pointer.version) for pointer in pointers]
    merges = _merges((version, version.parts) for version in versions if _may_merge(version))
    if merges and not dry:
        with closing(open_engine()) as engine:
            merges = _merged(merges, workspace, engine, prefix="gc", recorded=recorded)
    return [merge.summary() for merge in merges]


def keep_few(versions: Iterable[Version], workspace: Workspace, workers: Workers) -> None:
    """Merge files of few rows once many runs have left some, so that readers open fewer files.

    If merging fails, the files stay.
    """
    import duckdb

    merges = _merges((version, _small_parts(version)) for version in versions)
    if not merges:
        return
    with suppress(StoreError, Conflict, OSError, duckdb.Error), signals_deferred():
        recorded = workspace.catalog.recorded()
        _merged(merges, workspace, workers.engine, prefix="few", recorded=recorded)


def _may_merge(version: Version) -> bool:
    return version.in_parts and may_share(version.columns)


def _small_parts(version: Version) -> list[Part]:
    """Return the parts of few rows, if many have a file each, from several runs; else none."""
    if not _may_merge(version):
        return []
    parts = [part for part in version.parts if part.rows <= FEW_ROWS]
    counts = Counter([part.path for part in parts])
    unshared = [path for path, count in counts.items() if count == 1]
    runs = {path.split("/")[1] for path in unshared}
    if len(unshared) < TOLERATED + YOUNGEST or len(runs) < FEWEST:
        return []
    return parts


def _merges(parts_of_versions: Iterable[tuple[Version, Sequence[Part]]]) -> list[_Merge]:
    """Return what to merge of these parts; nothing of a version with too few small files."""
    merges = [_Merge(version, list(_groups(parts))) for version, parts in parts_of_versions]
    return [merge for merge in merges if merge.groups]


def _merged(
    merges: Sequence[_Merge],
    workspace: Workspace,
    engine: DuckDB,
    *,
    prefix: str,
    recorded: int,
) -> list[_Merge]:
    """Merge files, as a run whose id begins with `prefix`; return the merges that were done.

    A product that another run is building is left out.
    """
    now, catalog, storage = workspace.clock(), workspace.catalog, workspace.storage
    run = f"{prefix}-{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    keys = {merge.version.product: merge.version.key.digest for merge in merges}
    with catalog.runs.open(
        run, workspace.environment, now, keys, storage.remove, recorded=recorded
    ) as busy:
        done = [merge for merge in merges if merge.version.product not in busy]
        for merge in done:
            table_of = partial(stored, merge.version, storage)
            for index, parts in enumerate(merge.groups):
                path = f"{merge.version.product}/{run}/{index}.parquet"
                moved = put_together(parts, table_of, path, storage=storage, engine=engine)
                storage.flush([path])
                catalog.relocate(moved, now)
    return done


def _groups(parts: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield groups of neighbours that go into one file each; the youngest parts stay."""
    parts = parts[:-YOUNGEST]
    small = _small_files(parts)
    group: list[Part] = []
    for part in parts:
        if part.path not in small:
            continue
        group.append(part)
        if _bytes(group) >= LARGE:
            if _count_files(group) >= FEWEST:
                yield group
            group = []
    if _count_files(group) >= FEWEST:
        yield group


def _small_files(parts: Sequence[Part]) -> set[str]:
    """Return the files that are worth merging.

    A shared file is merged again only after as many new rows arrived, so that a part is rewritten a
    few times at most. Rows count, since a file of few rows has hardly fewer bytes than one of many.
    """
    counts = Counter([part.path for part in parts])
    files = {part.path: part for part in parts}
    small = {path for path, count in counts.items() if count == 1 and files[path].bytes <= SMALL}
    total = sum(files[path].rows for path in small)
    shared = {path: files[path].of or files[path].rows for path in counts.keys() - small}
    for path in sorted(shared, key=shared.__getitem__):
        if shared[path] > total or files[path].bytes > SMALL:
            break
        small.add(path)
        total += shared[path]
    return small


def _count_files(parts: Sequence[Part]) -> int:
    return len({part.path for part in parts})


def _bytes(parts: Sequence[Part]) -> int:
    """Return the size of the files that parts are in, in bytes."""
    return sum({part.path: part.bytes for part in parts}.values())
