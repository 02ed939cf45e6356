"""One read-only query over published products, and the first rows of a file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.engines import duckdb as duck
from assay.engines import sql as reader
from assay.errors import QueryRefused
from assay.graph import nearest
from assay.read import Published

_BATCH = 1000


@contextmanager
def run(sql: str, seen: Published) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """Run one query over what readers see; gives the names of its columns, and its rows as they come.

    A bare name stands for the product of that name when there is one only. Raises QueryRefused for anything but one
    query that reads those products: the connection can reach no other file, no network and no setting.
    """
    import duckdb

    files = seen.tables()
    views = seen.views()
    _check(sql, views)
    room = duck.reading_room(list(files.values()), views)
    try:
        for name in views:
            bare = name.partition(".")[2]
            if [n.partition(".")[2] for n in views].count(bare) == 1:
                full = ".".join(duck.identifier(p) for p in name.split("."))
                room.execute(f"create view {duck.identifier(bare)} as from {full}")
        answer = room.execute(sql)
        names = [column[0] for column in answer.description or ()]
        yield names, _rows(answer)
    except duckdb.Error as error:
        raise QueryRefused(str(error).strip()) from error
    finally:
        room.close()


def first_rows(file: Path, count: int) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return column names and the first rows of a Parquet file."""
    room = duck.reading_room([file], {})
    try:
        answer = room.execute(f"{duck.parquet([file])} limit {count}")
        return [column[0] for column in answer.description or ()], answer.fetchall()
    finally:
        room.close()


def _check(sql: str, views: dict[str, str]) -> None:
    try:
        parsed = reader.parse(sql)
    except reader.Unreadable as error:
        line, column, shown = reader.place(sql, max(error.offset, 0))
        pointed = f"{shown}\n  {' ' * (column - 1)}^" if error.offset >= 0 else ""
        place = f"line {line} column {column}: " if error.offset >= 0 else ""
        raise QueryRefused(f"{place}{error.what}", hint=pointed) from None
    known = {*views, *(name.partition(".")[2] for name in views)}
    for table in map(str, parsed.tables):
        if table not in known:
            raise QueryRefused(f"no published table {table!r}", hint=nearest(table, views))


def _rows(answer: Any) -> Iterator[Sequence[Any]]:
    while batch := answer.fetchmany(_BATCH):
        yield from batch
