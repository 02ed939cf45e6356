"""Protocols of the catalog: the database that it is in, and what it needs from the store."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from assay.facts import Part

T = TypeVar("T")
_CHUNK = 500  # values in one query


class Reader(Protocol):
    """Something that answers queries."""

    def rows(self, sql: str, values: Sequence[Any] = (), /) -> list[Any]:
        """Return the rows of a query, all of one moment; `values` fill its `?`."""


class Writer(Reader, Protocol):
    """A transaction that writes: the only one at a time, so what it reads does not change."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> int:
        """Execute a statement and return the number of rows that it changed."""

    def many(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        """Execute a statement once for each of these rows of values."""

    def define(self, sql: str, /) -> None:
        """Execute a statement that creates or alters something, in SQLite's dialect."""


class Database(Reader, Protocol):
    """Where the tables of a catalog are.

    Every method raises CatalogError, without secrets, when the database cannot be used.
    """

    @property
    def name(self) -> str:
        """The name for messages; without a password."""

    @property
    def extras(self) -> Sequence[str]:
        """The statements that only this kind of database needs in a new catalog."""

    def schema_version(self) -> int:
        """Return the version of the schema in the database; 0 when there is none."""

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        """Create or migrate the schema by these steps, in one transaction, as the only process."""

    def stamp(self) -> str:
        """Return a text that is another one after anything was written; '' when that is not known.

        What was written before is in what is read after this.
        """

    def write(self, work: Callable[[Writer], T]) -> T:
        """Do the work in one transaction, once.

        The work is called again when the connection was lost before the commit.
        """

    def read(self, work: Callable[[Reader], T]) -> T:
        """Do the work in one transaction that only reads: all rows are of one moment."""

    def damage(self) -> Sequence[str]:
        """Return what is wrong with the file or tables, in the database's words; () if sound."""

    def mend(self) -> bool:
        """Rebuild the indexes from the rows, and return whether the database is sound then.

        If it is not, nothing changes.
        """

    def hold(self, run: str) -> AbstractContextManager[None]:
        """Show other processes that a run lives, until the context or the process ends."""

    def is_dead(self, run: str, reader: Reader | None = None) -> bool:
        """Return whether no process holds this run; `reader` is that of an open transaction."""

    def remove_dead_locks(self) -> None:
        """Remove the locks of runs whose process is dead, recorded or not."""

    def shrink(self) -> None:
        """Give unused room back to the disk, unless the database does so by itself."""

    def close(self) -> None:
        """Close the database."""


class Holds(Protocol):
    """Returns whether every file of these parts exists."""

    def __call__(self, parts: Sequence[Part], /) -> bool: ...


class Remove(Protocol):
    """Removes a path from the store except the files in `keep`.

    `keep` is called only if the path exists.
    """

    def __call__(self, path: str, keep: Callable[[], Collection[str]] = frozenset, /) -> None: ...


def rows_in(
    reader: Reader, query: str, values: Sequence[Any], first_values: Sequence[Any] = ()
) -> Iterator[Sequence[Any]]:
    """Yield the rows of a query that ends in `in`, for any number of values.

    `first_values` fill the `?` before `in`.
    """
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        yield from reader.rows(f"{query} ({','.join('?' * len(chunk))})", [*first_values, *chunk])


def set_note(writer: Writer, name: str, value: str) -> None:
    """Record a note about the whole catalog (a row of `meta`), or replace the one of that name."""
    writer.execute(
        "insert into meta values (?, ?) on conflict (name) do update set value = excluded.value",
        [name, value],
    )
