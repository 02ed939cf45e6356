"""A catalog in one SQLite file: write-ahead log, full sync, and locks on files that tell living runs from dead ones."""

import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from assay.catalog.address import put_back
from assay.catalog.database import Reader, T, Writer
from assay.catalog.schema import extras
from assay.catalog.snapshot import copied, may_write
from assay.errors import CatalogDamaged, CatalogError, remedy
from assay.store.permissions import create as open_or_create
from assay.store.permissions import make_folder

_STRANGE = re.compile("no such (table|column)|already exists|duplicate column|Could not decode")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 64 * 1024  # bytes
_FILES = 4  # the database, two beside it, and the folder
_RUN = re.compile(r"\w[\w.-]{0,199}", re.ASCII)


class Sqlite:
    """A catalog file and, beside it, a folder of locks; each transaction that writes begins alone."""

    def __init__(self, file: Path | None, *, create: bool = True, name: str = "") -> None:
        """Open the file; without `create`, one that is not there yet reads as an empty one, as None does.

        Of one that this user may not write to, a copy is read.
        """
        self.name = name or str(file)
        there = file and (create or file.exists())
        self._locks = file.parent / "locks" if file and there else Path(os.devnull)
        self._emptied = bool(
            file and file.exists() and not file.stat().st_size and (file.parent / "store").exists()
        )
        with _translated(self.name):
            if create and file:
                make_folder(file.parent)
                os.close(
                    open_or_create(file, os.O_RDWR)
                )  # the files that SQLite makes beside it are for the same
            self._copy = copied(file) if file and there and not may_write(file) else None
            if file and self._copy:
                file = Path(self._copy.name) / file.name
            self._db = sqlite3.connect(
                file if file and there else ":memory:", isolation_level=None, timeout=60
            )
            self._db.execute("pragma synchronous = full")

    @property
    def extras(self) -> Sequence[str]:
        return list(_statements(extras("sqlite")))

    def schema_version(self) -> int:
        with _translated(self.name):
            if not self._db.execute("select 1 from sqlite_master where name = 'meta'").fetchone():
                return 0
            (version,) = self._db.execute(
                "select value from meta where name = 'schema'"
            ).fetchone() or ("nothing",)
            return int(version)

    def prepare(self, steps: Callable[[Writer], None]) -> None:
        self._make_locks()
        with self._alone():
            if not self.schema_version():
                self._refuse_strange()
            with _translated(self.name):
                self._db.execute(
                    "pragma auto_vacuum = incremental"
                )  # counts only before there is anything
                self._db.execute("pragma journal_mode = wal")
            self.write(steps)

    def _make_locks(self) -> None:
        """Make the folder of locks only where something is recorded: a catalog that is refused is left as it was."""
        with _translated(self.name):
            if self._locks != Path(os.devnull):
                make_folder(self._locks)

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
            self._db.executescript("pragma incremental_vacuum")  # `execute` would free one page
            self._db.execute("pragma wal_checkpoint(passive)").fetchall()  # it waits for no reader

    def close(self) -> None:
        self._db.close()
        if self._copy:
            self._copy.cleanup()

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
        if self._copy:
            raise CatalogError(
                f"the catalog {self.name} may be read by this user, and not written to: permission is denied, or its"
                " file system is read-only",
                hint="Let the user write to it and to its folder, or run this as its owner.",
            )
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

    # ------------------------------------------------------------------------------------------ looking after it

    def read(self, look: Callable[[Reader], T]) -> T:
        with _translated(self.name):
            self._db.execute("begin")
            try:
                return look(self)
            finally:
                self._db.execute("rollback")

    def damage(self) -> list[str]:
        with _translated(self.name):
            return [
                text for (text,) in self._db.execute("pragma integrity_check(20)") if text != "ok"
            ]

    def mend(self) -> bool:
        with _translated(self.name):
            self._db.execute("begin immediate")
            try:
                self._db.execute("reindex")
                sound = bool(self._db.execute("pragma integrity_check(1)").fetchone() == ("ok",))
            except sqlite3.Error:
                self._db.execute("rollback")
                raise
            self._db.execute("commit" if sound else "rollback")
            return sound

    def _refuse_strange(self) -> None:
        """Make no catalog of a database of something else, or of a file that has lost what was in it."""
        told = (
            "has lost what was in it: it is empty, and there is a store beside it"
            if self._emptied
            else ""
        )
        if self.rows("select 1 from sqlite_master limit 1"):
            told = "is a database, and not a catalog"
        if told:
            raise CatalogDamaged(f"{self.name} {told}", hint=put_back(self.name))

    # ------------------------------------------------------------------------------------------ living runs

    @contextmanager
    def hold(self, run: str) -> Iterator[None]:
        lock = self._locked(run)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                self._lock(run).unlink()
            os.close(lock)

    def _locked(self, run: str) -> int:
        """Return a lock that tells that a run lives; one that was taken away meanwhile as nobody's is made again."""
        self._make_locks()
        while True:
            with _translated(self.name):
                lock = open_or_create(self._lock(run), os.O_RDWR | os.O_NOFOLLOW)
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), self._lock(run).stat()):
                    return lock
            os.close(lock)

    def remove_dead_locks(self) -> None:
        with _translated(self.name):
            for file in self._locks.iterdir() if self._locks.is_dir() else ():
                if _RUN.fullmatch(file.name):
                    self.is_dead(file.name)  # which takes its lock away

    def _lock(self, run: str) -> Path:
        """Return the file that a run has locked; CatalogError for a run that is called like no run of ours."""
        if not _RUN.fullmatch(run):
            told = f"the catalog {self.name} is damaged: {run!r} is no run"
            raise CatalogDamaged(told, hint=put_back(self.name))
        return self._locks / run

    def is_dead(self, run: str, reader: Reader | None = None) -> bool:
        file = self._lock(run)
        try:
            lock = os.open(file, os.O_RDWR | os.O_NOFOLLOW)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(
                lock, fcntl.LOCK_SH | fcntl.LOCK_NB
            )  # shared: two who ask are not taken for its run
            file.unlink(missing_ok=True)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
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
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise _worded(name, error) from error


def _worded(name: str, error: Exception) -> CatalogError:
    told, code = (
        f"cannot use the catalog {name}: {error}",
        getattr(error, "sqlite_errorcode", 0) & 0xFF,
    )
    # "malformed", "not a database": what passes has a class of its own. What it says of a damaged file may be no text.
    if (
        type(error) is sqlite3.DatabaseError
        or isinstance(error, UnicodeDecodeError)
        or _STRANGE.search(str(error))
    ):
        hint = f"It is damaged, or its tables are not those that this Assay makes. {put_back(name)}"
        return CatalogDamaged(told, hint=hint)
    speechless = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in _NO_ROOM
    if full or (speechless and _is_full(Path(name).parent)):
        return CatalogError(
            told, hint="The disk is full. What was recorded is kept: make room, and run it again."
        )
    if speechless and (cause := _cause(Path(name).parent)):
        told, error = f"{told} ({cause.strerror})", cause
    if hint := remedy(error):
        return CatalogError(told, hint=hint)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return CatalogError(
            told, hint="Another program has been holding it for a minute. Is it stopped half-way?"
        )
    return CatalogError(
        told, hint="Is another program holding it, or the file or its folder read-only?"
    )


def _cause(folder: Path) -> OSError | None:
    """Return what the system says to as many new files beside a catalog as SQLite wants there: SQLite does not."""
    from tempfile import TemporaryFile

    try:
        with ExitStack() as files:
            for _ in range(_FILES):
                files.enter_context(TemporaryFile(dir=folder))
    except OSError as error:
        return error
    return None


def _is_full(folder: Path) -> bool:
    """Say whether a disk has no room for what SQLite wants beside a catalog: it speaks of other things then."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _ROOM
