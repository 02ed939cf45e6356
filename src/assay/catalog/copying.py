"""Copies a catalog into another, empty one, in one transaction, and reads back what came out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from assay.catalog.catalog import Catalog
from assay.catalog.protocol import Writer
from assay.catalog.rows import to_json
from assay.catalog.schema import Table, tables
from assay.errors import CatalogError, UsageError

_CHUNK = 2000  # rows that are in memory at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A table that was copied: how many rows, and the SHA-256 of them in order, the same on both sides."""

    table: str
    rows: int
    digest: str


def copy(source: Catalog, target: Catalog) -> list[Copied]:
    """Copy everything, while nobody writes to either; UsageError when the target has something, or a run is alive."""
    if source.database.rows("select 1 from runs limit 1") == []:
        raise UsageError(f"there is nothing to copy in the catalog {source.name}")
    _refuse_full(target)

    def read(reader: Writer) -> list[Copied]:
        if alive := source.living(reader):
            raise UsageError(
                f"the run {alive[0]} is using the catalog {source.name}", hint="Let it finish, then copy again."
            )
        return target.write(lambda writer: [_copy(table, reader, writer, target.name) for table in tables()])

    return source.write(read)


def _refuse_full(target: Catalog) -> None:
    for table in tables():
        others = " where name <> 'schema'" if table.name == "meta" else ""
        if target.database.rows(f"select 1 from {table.name}{others} limit 1"):
            raise UsageError(
                f"the catalog {target.name} is not empty: something is recorded in {table.name}",
                hint="Copy to a database, or a file, that is new.",
            )


def _copy(table: Table, reader: Writer, writer: Writer, name: str) -> Copied:
    columns = ", ".join(f'"{column}"' for column in table.columns)
    into = f"insert into {table.name} ({columns}) values ({', '.join('?' * len(table.columns))})"
    read, count = sha256(), 0
    for chunk in _chunks(table, reader):
        writer.many(into, chunk)
        count += _add(read, chunk)
    back, there = sha256(), 0
    for chunk in _chunks(table, writer):
        there += _add(back, chunk)
    if (count, read.digest()) != (there, back.digest()):
        raise CatalogError(f"{table.name} came out as something else in the catalog {name}; nothing was changed there")
    return Copied(table=table.name, rows=count, digest=read.hexdigest())


def _add(digest: Any, chunk: Sequence[Sequence[Any]]) -> int:
    digest.update("".join(f"{to_json(list(row))}\n" for row in chunk).encode())
    return len(chunk)


def _chunks(table: Table, asked: Writer) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows of a table, so many at a time, in an order that is the same in all databases."""
    key, width = ", ".join(table.key), len(table.key)
    columns = ", ".join(f'"{column}"' for column in table.columns)
    others = " and name <> 'schema'" if table.name == "meta" else ""
    after: Sequence[Any] = ()
    while True:
        where = f"({key}) > ({', '.join('?' * width)})" if after else "1 = 1"
        query = f"select {key}, {columns} from {table.name} where {where}{others} order by {key} limit {_CHUNK}"
        rows = asked.rows(query, after)
        if not rows:
            return
        yield [row[width:] for row in rows]
        after = rows[-1][:width]
