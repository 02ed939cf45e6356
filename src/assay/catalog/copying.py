"""Copies a catalog into another, empty one, in one transaction, and reads back what came out.

Then the store is given to the copy, and only then the old one is marked as moved. Whoever opens a
catalog looks whose the store is, so wherever this is killed, one of them is used, and never both.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from os import urandom
from pathlib import Path
from typing import Any

from msgspec import Struct

from assay.catalog.catalog import Catalog
from assay.catalog.database import Writer, set_note
from assay.catalog.owner import Owner, give
from assay.catalog.rows import to_json
from assay.catalog.schema import SchemaTable, tables
from assay.errors import CatalogError, UsageError

_CHUNK = 2000  # rows that are in memory at a time
_OWN = "('schema', 'store', 'moved')"  # notes that each catalog has of its own


class Copied(Struct, frozen=True, kw_only=True):
    """A table that was copied: how many rows, and the SHA-256 of them in order, the same on both sides."""

    table: str
    rows: int
    digest: str


def copy(source: Catalog, target: Catalog, store: Path) -> list[Copied]:
    """Copy everything, while nobody writes to either, and give the store to the copy: the source is only read since.

    UsageError when the target has something, or a run is alive.
    """
    if source.database.rows("select 1 from runs limit 1") == []:
        raise UsageError(f"there is nothing to copy in the catalog {source.name}")
    _refuse_full(target)

    id, copied = urandom(16).hex(), list[Copied]()

    def hand_over(reader: Writer) -> None:
        if alive := source.runs.living(reader):
            raise UsageError(
                f"the run {alive[0]} is using the catalog {source.name}",
                hint="Let it finish, then copy again.",
            )
        if not copied:  # done already where the connection of the source is lost after it
            copied.extend(target.write(lambda writer: _copy_all(reader, writer, target.name, id)))
        give(store, Owner(id=id, name=target.name))
        set_note(reader, "moved", target.name)

    source.write(hand_over)
    return copied


def _refuse_full(target: Catalog) -> None:
    for table in tables():
        others = " where name <> 'schema'" if table.name == "meta" else ""
        if target.database.rows(f"select 1 from {table.name}{others} limit 1"):
            raise UsageError(
                f"the catalog {target.name} is not empty: something is recorded in {table.name}",
                hint="Copy to a database, or a file, that is new. What a copy left that was stopped may be removed.",
            )


def _copy_all(reader: Writer, writer: Writer, name: str, id: str) -> list[Copied]:
    copied = [_copy(table, reader, writer, name) for table in tables()]
    set_note(writer, "store", id)
    return copied


def _copy(table: SchemaTable, reader: Writer, writer: Writer, name: str) -> Copied:
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
        raise CatalogError(
            f"{table.name} came out as something else in the catalog {name}; nothing was changed there"
        )
    return Copied(table=table.name, rows=count, digest=read.hexdigest())


def _add(digest: Any, chunk: Sequence[Sequence[Any]]) -> int:
    digest.update("".join(f"{to_json(list(row))}\n" for row in chunk).encode())
    return len(chunk)


def _chunks(table: SchemaTable, asked: Writer) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows of a table, so many at a time, in an order that is the same in all databases."""
    key, width = ", ".join(table.key), len(table.key)
    columns = ", ".join(f'"{column}"' for column in table.columns)
    others = f" and name not in {_OWN}" if table.name == "meta" else ""
    after: Sequence[Any] = ()
    while True:
        where = f"({key}) > ({', '.join('?' * width)})" if after else "1 = 1"
        query = f"select {key}, {columns} from {table.name} where {where}{others} order by {key} limit {_CHUNK}"
        rows = asked.rows(query, after)
        if not rows:
            return
        yield [row[width:] for row in rows]
        after = rows[-1][:width]
