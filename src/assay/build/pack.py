"""Puts parts together in one file, one after the other: opening a file costs who reads it more than few rows do."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate

from msgspec.structs import replace

from assay.engines.damage import damage_reported
from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure_ranges, measure_tables
from assay.engines.tables import StoredTable
from assay.errors import StoreError
from assay.facts import Part
from assay.model import Column
from assay.store.files import Storage, file_digest

FEWEST = 8  # files of which putting them together is worth it
MANY = 128  # parts made at once that share files from the start; fewer have a file each, which tells the value
FEW_ROWS = 2048  # of a part that goes with others: DuckDB reads no fewer at a time
_FEW_BYTES = 1 << 20  # of its file: rows may be large
_MOST, _MOST_ROWS = (
    64,
    8 * FEW_ROWS,
)  # parts and rows of a file: whoever wants one of the parts reads past the others


def may_share(columns: Sequence[Column]) -> bool:
    """Say whether rows with these columns are in a file that DuckDB wrote what they are in any other."""
    return not any(column.logical or column.name.lower() == "file_row_number" for column in columns)


def put_together(
    parts: Sequence[Part],
    table_of: Callable[[Sequence[Part]], StoredTable],
    path: str,
    *,
    storage: Storage,
    engine: DuckDB,
) -> list[Part]:
    """Write parts of the same columns to one file, sealed, and return them as they are there.

    `table_of` says where parts are that follow each other in a file. Raises StoreError when one would come out as
    something else.
    """
    target, columns = storage.prepare(path), parts[0].columns
    tables = [table_of(run) for run in _runs(parts)]
    with damage_reported(tables):
        engine.copy_tables(tables, target)
    found = measure_ranges(engine, target, [part.rows for part in parts], columns)
    # A digest that was recorded may be another engine's: what differs is measured once more where it was.
    odd = [
        n
        for n, (part, now) in enumerate(zip(parts, found, strict=True))
        if part.digest != now.digest
    ]
    alone = [table_of([parts[n]]) for n in odd]
    for n, table, was in zip(odd, alone, measure_tables(engine, alone, columns), strict=True):
        if was.digest != found[n].digest or file_digest(table.files[0]) != parts[n].checksum:
            name = path.partition("/")[0]
            raise StoreError(
                f"part {parts[n].key} of {name} came out as something else; nothing was changed"
            )
    size, checksum, modified = storage.seal(path)
    starts = accumulate((part.rows for part in parts), initial=0)
    of = sum(part.rows for part in parts)
    return [
        replace(
            part, path=path, start=start, of=of, bytes=size, checksum=checksum, modified=modified
        )
        for part, start in zip(parts, starts, strict=False)
    ]


def _runs(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts, in order, those together that follow each other in one file."""
    run: list[Part] = []
    for part in parts:
        if run and (part.path != run[-1].path or part.start != run[-1].start + run[-1].rows):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def share(
    parts: Sequence[Part], *, storage: Storage, engine: Callable[[], DuckDB]
) -> dict[str, Part]:
    """Put those of few rows together in files that they share; return all as they are now, by the path that each had.

    They were made of one product just now, each in a file of its own, and nobody reads those. Where putting them
    together fails they stay as they are: they are good where they are.
    """
    groups = ((some, _shared(some, storage, engine)) for some in _groups(parts))
    return {was.path: part for were, are in groups for was, part in zip(were, are, strict=True)}


def _shared(parts: list[Part], storage: Storage, engine: Callable[[], DuckDB]) -> list[Part]:
    """Put these together, where that is worth it, and works; the caller lets Ctrl-C wait."""
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
    """Return the folder of the run that made a part."""
    return "/".join(part.path.split("/")[:2])


def _groups(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts that go into one file each; one that goes with no others is alone."""
    group: list[Part] = []
    for part in parts:
        rows = sum(one.rows for one in group) + part.rows
        if group and (rows > _MOST_ROWS or len(group) == _MOST or part.columns != group[0].columns):
            yield group
            group = []
        if part.rows > FEW_ROWS or part.bytes > _FEW_BYTES or not may_share(part.columns):
            yield [part]
        else:
            group.append(part)
    if group:
        yield group
