"""Errors of SQLite and of the disk, as errors of the catalog that say what to do."""

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from assay.catalog.address import put_back
from assay.errors import CatalogDamaged, CatalogError, remedy

_STRANGE = re.compile("no such (table|column)|already exists|duplicate column|Could not decode")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_ROOM = 64 * 1024  # bytes that SQLite needs beside a catalog
_FILES = 4  # that SQLite opens: the database, two beside it, and the folder


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raise CatalogError for errors of SQLite and of the disk."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeError) as error:
        raise _catalog_error(name, error) from error


def _catalog_error(name: str, error: Exception) -> CatalogError:
    message = f"cannot use the catalog {name}: {error}"
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if _is_damage(error):
        hint = f"It is damaged, or its tables are not those that this Assay makes. {put_back(name)}"
        return CatalogDamaged(message, hint=hint)
    folder = Path(name).parent
    # For these codes, SQLite does not tell the cause.
    unexplained = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in _NO_ROOM
    if full or (unexplained and _is_full(folder)):
        hint = "The disk is full. What was recorded is kept: make room, and run it again."
        return CatalogError(message, hint=hint)
    if unexplained and (cause := _cause(folder)):
        message, error = f"{message} ({cause.strerror})", cause
    if hint := remedy(error):
        return CatalogError(message, hint=hint)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        hint = "Another program has been holding it for a minute. Is it stopped half-way?"
        return CatalogError(message, hint=hint)
    hint = "Is another program holding it, or the file or its folder read-only?"
    return CatalogError(message, hint=hint)


def _is_damage(error: Exception) -> bool:
    """Return whether an error means that the file is damaged, or is no catalog.

    "malformed" and "not a database" are plain DatabaseErrors: errors that pass have a class of
    their own. The message about a damaged file may not be UTF-8.
    """
    return (
        type(error) is sqlite3.DatabaseError
        or isinstance(error, UnicodeDecodeError)
        or bool(_STRANGE.search(str(error)))
    )


def _cause(folder: Path) -> OSError | None:
    """Return the error on creating as many files as SQLite opens; None if that works."""
    from tempfile import TemporaryFile

    try:
        with ExitStack() as files:
            for _ in range(_FILES):
                files.enter_context(TemporaryFile(dir=folder))
    except OSError as error:
        return error
    return None


def _is_full(folder: Path) -> bool:
    """Return whether a disk is too full for SQLite, which may report another error then."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _ROOM
