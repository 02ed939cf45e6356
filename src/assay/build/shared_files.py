"""Puts parts together in one file: opening a file costs more than reading a few rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from msgspec.structs import replace

from assay.engines.damage import damage_reported
from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure_ranges, measure_tables
from assay.engines.tables import StoredTable
from assay.errors import StoreError
from assay.facts import Part
from assay.model import Column
from assay.store.files import Storage, file_digest

FEWEST = 8  # files; putting fewer together is not worth it
FEW_ROWS = 2048  # a part with no more shares a file: DuckDB reads no fewer at a time

TableOf = Callable[[Sequence[Part]], StoredTable]  # of parts that follow each other in a file


def may_share(columns: Sequence[Column]) -> bool:
    """Return whether DuckDB writes rows with these columns unchanged to another file."""
    return not any(column.logical or column.name.lower() == "file_row_number" for column in columns)


def put_together(
    parts: Sequence[Part],
    table_of: TableOf,
    path: str,
    *,
    storage: Storage,
    engine: DuckDB,
) -> list[Part]:
    """Write parts with the same columns to one sealed file; return them as they are there.

    Raises StoreError if the rows of a part differ afterwards.
    """
    target = storage.prepare(path)
    tables = [table_of(run) for run in _consecutive(parts)]
    with damage_reported(tables):
        engine.copy_tables(tables, target)
    _check_rows(parts, target, table_of, engine)
    size, checksum, modified = storage.seal(path)
    rows = sum(part.rows for part in parts)
    starts = accumulate((part.rows for part in parts), initial=0)
    return [
        replace(
            part, path=path, start=start, of=rows, bytes=size, checksum=checksum, modified=modified
        )
        for part, start in zip(parts, starts, strict=False)
    ]


def _check_rows(parts: Sequence[Part], file: Path, table_of: TableOf, engine: DuckDB) -> None:
    """Raise StoreError if the rows of a part in a new file are not those that were recorded.

    A recorded digest may be another engine's: where it differs, the part is measured again in its
    old file.
    """
    columns = parts[0].columns
    measured = measure_ranges(engine, file, [part.rows for part in parts], columns)
    differing = [
        (part, new.digest)
        for part, new in zip(parts, measured, strict=True)
        if part.digest != new.digest
    ]
    tables = [table_of([part]) for part, _ in differing]
    before = measure_tables(engine, tables, columns)
    for (part, digest), table, old in zip(differing, tables, before, strict=True):
        if old.digest != digest or file_digest(table.files[0]) != part.checksum:
            product = part.path.partition("/")[0]
            raise StoreError(
                f"part {part.key} of {product} came out as something else; nothing was changed"
            )


def _consecutive(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Yield the parts in order, in one list those that follow each other in one file."""
    run: list[Part] = []
    for part in parts:
        if run and (part.path != run[-1].path or part.start != run[-1].start + run[-1].rows):
            yield run
            run = []
        run.append(part)
    if run:
        yield run
