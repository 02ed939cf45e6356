"""A catalog in one SQLite file: write-ahead log, full sync, and locked files of living runs."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from assay.catalog.address import put_back
from assay.catalog.database import Reader, T, Writer
from assay.catalog.schema import extras
from assay.catalog.snapshot import copied, may_write
from assay.catalog.sqlite_errors import translated
from assay.catalog.sqlite_runs import RunLocks
from assay.errors import CatalogDamaged, CatalogError
from assay.store.files import stamp_of
from assay.store.permissions import create as open_or_create
from assay.store.permissions import make_folder


class Sqlite:
    """A catalog file, and its own Writer: transactions that write begin with `begin immediate`."""

    def __init__(self, file: Path | None, *, create: bool = True, name: str = "") -> None:
        """Open the file. Without `create`, a missing file, or None, reads as an empty catalog.

        A file that this user may not write to is copied, and the copy is read.
        """
        self.name = name or str(file)
        exists = bool(file and file.exists())
        usable = file if file and (create or exists) else None
        self._file = usable
        self._locks = RunLocks(usable.parent / "locks" if usable else None, self.name)
        self._was_emptied = bool(
            file and exists and not file.stat().st_size and (file.parent / "store").exists()
        )
        with translated(self.name):
            if create and file:
                make_folder(file.parent)
                # With the right permissions: SQLite gives those to the files that it creates beside
                # it.
                os.close(open_or_create(file, os.O_RDWR))
            self._copy = copied(usable) if usable and not may_write(usable) else None
            if usable and self._copy:
                usable = Path(self._copy.name) / usable.name
            self._db = sqlite3.connect(usable or ":memory:", isolation_level=None, timeout=60)
            self._db.execute("pragma synchronous = full")

    @property
    def extras(self) -> Sequence[str]:
        return list(_statements(extras("sqlite")))

    def schema_version(self) -> int:
        with translated(self.name):
            if not self._db.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
                return 0
            row = self._db.execute("select value from meta where name = 'schema'").fetchone()
            (version,) = row or ("nothing",)
            return int(version)

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        self._locks.make_folder()
        # SQLite does not wait for another process that changes the journal mode.
        with self._locks.exclusive():
            if not self.schema_version():
                self._refuse_strange()
            with translated(self.name):
                # The first has an effect only while the file is empty.
                self._db.execute("pragma auto_vacuum = incremental")
                self._db.execute("pragma journal_mode = wal")
            self.write(steps)

    def _refuse_strange(self) -> None:
        """Raise CatalogDamaged for another program's database, or a catalog that was emptied."""
        problem = ""
        if self.rows("select 1 from sqlite_master limit 1"):
            problem = "is a database, and not a catalog"
        elif self._was_emptied:
            problem = "has lost what was in it: it is empty, and there is a store beside it"
        if problem:
            raise CatalogDamaged(f"{self.name} {problem}", hint=put_back(self.name))

    def close(self) -> None:
        self._db.close()
        if self._copy:
            self._copy.cleanup()

    # ------------------------------------------------------------------------------ queries

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with translated(self.name):
            return self._db.execute(sql, values).fetchall()

    def stamp(self) -> str:
        """Return the stamps of the file and of its log, which hold all that was written."""
        if self._file is None or self._copy:
            return ""
        log = self._file.with_name(f"{self._file.name}-wal")
        stamps = [stamp_of(self._file.stat())]
        with suppress(FileNotFoundError):
            if (status := log.stat()).st_size:  # whoever opens the file makes an empty log
                stamps.append(stamp_of(status))
        return str(stamps)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> int:
        return self._db.execute(sql, values).rowcount

    def many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.executemany(sql, rows)

    def define(self, sql: str) -> None:
        self._db.execute(sql)

    def write(self, work: Callable[[Writer], T]) -> T:
        if self._copy:
            raise CatalogError(
                f"the catalog {self.name} may be read by this user, and not written to: permission"
                " is denied, or its file system is read-only",
                hint="Let the user write to it and to its folder, or run this as its owner.",
            )
        with translated(self.name):
            self._db.execute("begin immediate")
            try:
                result = work(self)
                self._db.execute("commit")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("rollback")
                raise
            return result

    def read(self, work: Callable[[Reader], T]) -> T:
        with translated(self.name):
            self._db.execute("begin")
            try:
                return work(self)
            finally:
                self._db.execute("rollback")

    # ------------------------------------------------------------------------------ upkeep

    def damage(self) -> list[str]:
        with translated(self.name):
            rows = self._db.execute("pragma integrity_check(20)")
            return [text for (text,) in rows if text != "ok"]

    def mend(self) -> bool:
        with translated(self.name):
            self._db.execute("begin immediate")
            try:
                self._db.execute("reindex")
                sound = bool(self._db.execute("pragma integrity_check(1)").fetchone() == ("ok",))
            except sqlite3.Error:
                self._db.execute("rollback")
                raise
            self._db.execute("commit" if sound else "rollback")
            return sound

    def shrink(self) -> None:
        with translated(self.name):
            self._db.executescript("pragma incremental_vacuum")  # `execute` would free one page
            self._db.execute("pragma wal_checkpoint(passive)").fetchall()  # waits for no reader

    # ------------------------------------------------------------------------------ living runs

    def hold(self, run: str) -> AbstractContextManager[None]:
        return self._locks.hold(run)

    def is_dead(self, run: str, reader: Reader | None = None) -> bool:
        return self._locks.is_dead(run)

    def remove_dead_locks(self) -> None:
        self._locks.remove_dead()


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
