"""The seams of the catalog: the database that it is in, and what it asks of the store."""

from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from assay.model import Part

T = TypeVar("T")


class Reader(Protocol):
    """Something that can be asked."""

    def rows(self, sql: str, values: Sequence[Any] = (), /) -> list[Any]:
        """Return the rows of a query; values stand where it has `?`."""


class Writer(Reader, Protocol):
    """One transaction that writes, alone: no other is in one at the same time, so what it reads stays as it is."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> int:
        """Carry out a statement and return the number of rows that it changed."""

    def many(self, sql: str, rows: Iterable[Sequence[Any]], /) -> None:
        """Carry out a statement once for each of these rows of values."""

    def define(self, sql: str, /) -> None:
        """Carry out a statement that creates or alters something, written as SQLite takes it."""


class Database(Protocol):
    """Where the tables of a catalog are; all of it raises CatalogError, without secrets, when it cannot be used."""

    @property
    def name(self) -> str:
        """What it is called when people are told of it; never with a password."""

    @property
    def extras(self) -> Sequence[str]:
        """The statements that a new catalog needs in this database, besides those that all need."""

    def found(self) -> int:
        """Return the version of the schema that is there, 0 for none."""

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        """Take the steps to the schema of this code in one transaction, while nobody else does."""

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows of a query, all as of one moment."""

    def write(self, work: Callable[[Writer], T]) -> T:
        """Do this in one transaction, all or nothing, and once: where a connection is lost, it may be called again."""

    def still(self, look: Callable[["Reader"], T]) -> T:
        """Return what is found in one transaction that only reads: all of it as of one moment."""

    def damage(self) -> Sequence[str]:
        """Return what is wrong with its file or tables, as the database says it; nothing when sound."""

    def mend(self) -> bool:
        """Make the indexes anew from the rows, where nothing is damaged after that; says whether that was so."""

    def hold(self, run: str) -> AbstractContextManager[None]:
        """Show others that a run lives, until it ends or its process dies."""

    def is_dead(self, run: str, reader: "Writer | None" = None) -> bool:
        """Say whether nobody holds this run any more; as seen inside a transaction, if one is given."""

    def bury(self) -> None:
        """Take away what shows that runs live whose process is dead, recorded or not."""

    def shrink(self) -> None:
        """Give room that nothing is in any more back to the disk, where that does not come about by itself."""

    def close(self) -> None:
        """Let go of the database."""


class Holds(Protocol):
    """Says whether every file of these parts is there."""

    def __call__(self, parts: Sequence[Part], /) -> bool: ...


class Remove(Protocol):
    """Removes a path from the store, but for what is to be kept of it: that is asked only where there is something."""

    def __call__(self, path: str, keep: Callable[[], Collection[str]] = frozenset, /) -> None: ...
