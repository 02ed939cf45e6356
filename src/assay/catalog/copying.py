"""Copies a catalog into an empty one, in one transaction, and reads the copy back to compare.

Then the store is given to the copy, and only then the original is marked as moved. Opening a
catalog checks its store, so wherever this process is killed, exactly one of the two catalogs is
usable.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from os import urandom
from pathlib import Path
from typing import Any

from msgspec import Struct

from assay.catalog.catalog import Catalog
from assay.catalog.database import Reader, Writer, set_note
from assay.catalog.owner import Owner, set_owner
from assay.catalog.rows import to_json
from assay.catalog.schema import SchemaTable, tables
from assay.errors import CatalogError, UsageError

_CHUNK = 2000  # rows in memory at a time
_OWN = "('schema', 'store', 'moved')"  # notes that are not copied


class Copied(Struct, frozen=True, kw_only=True):
    """A table that was copied: the number of its rows, and the SHA-256 of them in order."""

    table: str
    rows: int
    digest: str


def copy(source: Catalog, target: Catalog, store: Path) -> list[Copied]:
    """Copy all tables, and give the store to the copy: the source can only be read from then on.

    Other processes cannot write to either catalog meanwhile. Raises UsageError when the source is
    empty, the target is not, or a run is alive.
    """
    if source.database.rows("select 1 from runs limit 1") == []:
        raise UsageError(f"there is nothing to copy in the catalog {source.name}")
    _check_empty(target)

    id, copied = urandom(16).hex(), list[Copied]()

    def hand_over(reader: Writer) -> None:
        if alive := source.runs.living(reader):
            raise UsageError(
                f"the run {alive[0]} is using the catalog {source.name}",
                hint="Let it finish, then copy again.",
            )
        if not copied:  # the transaction is repeated when the source's connection is lost
            copied.extend(target.write(lambda writer: _copy_all(reader, writer, target.name, id)))
        set_owner(store, Owner(id=id, name=target.name))
        set_note(reader, "moved", target.name)

    source.write(hand_over)
    return copied


def _check_empty(target: Catalog) -> None:
    for table in tables():
        condition = " where name <> 'schema'" if table.name == "meta" else ""
        if target.database.rows(f"select 1 from {table.name}{condition} limit 1"):
            raise UsageError(
                f"the catalog {target.name} is not empty: something is recorded in {table.name}",
                hint="Copy to a database, or a file, that is new. What a copy left that was stopped"
                " may be removed.",
            )


def _copy_all(reader: Writer, writer: Writer, name: str, id: str) -> list[Copied]:
    copied = [_copy(table, reader, writer, name) for table in tables()]
    set_note(writer, "store", id)
    return copied


def _copy(table: SchemaTable, reader: Writer, writer: Writer, name: str) -> Copied:
    """Copy a table; raise CatalogError when the copy differs."""
    columns = ", ".join(f'"{column}"' for column in table.columns)
    values = ", ".join("?" * len(table.columns))
    original, copied = _RowDigest(), _RowDigest()
    for chunk in _chunks(table, reader):
        writer.many(f"insert into {table.name} ({columns}) values ({values})", chunk)
        original.add(chunk)
    for chunk in _chunks(table, writer):
        copied.add(chunk)
    if (original.rows, original.hex) != (copied.rows, copied.hex):
        raise CatalogError(
            f"{table.name} came out as something else in the catalog {name};"
            " nothing was changed there"
        )
    return Copied(table=table.name, rows=original.rows, digest=original.hex)


class _RowDigest:
    """The number of rows of a table, and the SHA-256 of them in order."""

    def __init__(self) -> None:
        self.rows = 0
        self._digest = sha256()

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        self.rows += len(rows)
        self._digest.update("".join(f"{to_json(list(row))}\n" for row in rows).encode())

    @property
    def hex(self) -> str:
        return self._digest.hexdigest()


def _chunks(table: SchemaTable, reader: Reader) -> Iterator[list[Sequence[Any]]]:
    """Yield the rows of a table in chunks, in an order that is the same in all databases."""
    key, width = ", ".join(table.key), len(table.key)
    columns = ", ".join(f'"{column}"' for column in table.columns)
    shared = f" and name not in {_OWN}" if table.name == "meta" else ""
    last: Sequence[Any] = ()  # the key of the last row before the chunk
    while True:
        after = f"({key}) > ({', '.join('?' * width)})" if last else "1 = 1"
        rows = reader.rows(
            f"select {key}, {columns} from {table.name} where {after}{shared}"
            f" order by {key} limit {_CHUNK}",
            last,
        )
        if not rows:
            return
        yield [row[width:] for row in rows]
        last = rows[-1][:width]
