"""A catalog in one SQLite file: write-ahead log, full sync, and locks on files that tell living runs from dead ones."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from assay.catalog.protocol import T, Writer
from assay.catalog.schema import extras
from assay.errors import CatalogError


class Sqlite:
    """A catalog file and, beside it, a folder of locks; each transaction that writes begins alone."""

    def __init__(self, file: Path | None, *, create: bool = True) -> None:
        """Open the file; without `create`, one that is not there yet reads as an empty one, as None does."""
        self.name = str(file or "of nothing")
        self._locks = file.parent / "locks" if file else Path(os.devnull)
        with _translated(self.name):
            if create:
                self._locks.mkdir(parents=True, exist_ok=True)
            there = file and (create or file.exists())
            self._db = sqlite3.connect(file if file and there else ":memory:", isolation_level=None, timeout=60)
            self._db.execute("pragma synchronous = full")

    @property
    def extras(self) -> Sequence[str]:
        return list(_statements(extras("sqlite")))

    def found(self) -> int:
        with _translated(self.name):
            if not self._db.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
                return 0
            (version,) = self._db.execute("select value from meta where name = 'schema'").fetchone() or ("nothing",)
            return int(version)

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        with self._alone():
            with _translated(self.name):
                self._db.execute("pragma auto_vacuum = incremental")  # counts only before there is anything
                self._db.execute("pragma journal_mode = wal")
            self.write(steps)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep others from preparing the file at the same time: SQLite does not wait for its journal to change."""
        if not self._locks.is_dir():
            yield
            return
        folder = os.open(self._locks, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)

    def shrink(self) -> None:
        with _translated(self.name):
            self._db.execute("pragma incremental_vacuum").fetchall()
            self._db.execute("pragma wal_checkpoint(passive)").fetchall()  # it waits for no reader

    def close(self) -> None:
        self._db.close()

    # ------------------------------------------------------------------------------------------ asking

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with _translated(self.name):
            return self._db.execute(sql, values).fetchall()

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self._db.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.executemany(sql, rows)

    def define(self, sql: str) -> None:
        self._db.execute(sql)

    def write(self, work: Callable[[Writer], T]) -> T:
        with _translated(self.name):
            self._db.execute("begin immediate")
            try:
                done = work(self)
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
            return done

    # ------------------------------------------------------------------------------------------ living runs

    @contextmanager
    def hold(self, run: str) -> Iterator[None]:
        with _translated(self.name):
            lock = os.open(self._locks / run, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            with suppress(FileNotFoundError):
                (self._locks / run).unlink()
            os.close(lock)

    def is_dead(self, run: str, reader: Writer | None = None) -> bool:
        try:
            lock = os.open(self._locks / run, os.O_RDWR)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who ask are not taken for its run
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        with suppress(FileNotFoundError):
            (self._locks / run).unlink()
        return True


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Turn SQLite's errors, and the disk's, into ours."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        hint = "Is another program holding it, the disk full or the folder read-only?"
        if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
            hint = "The file is damaged or is not a catalog. Put back a copy, or move it away to start anew."
        raise CatalogError(f"cannot use the catalog {name}: {error}", hint=hint) from error
