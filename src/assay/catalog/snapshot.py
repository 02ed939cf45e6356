"""Copies a SQLite catalog for a user who may only read it: SQLite writes beside its file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import CatalogError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

_ATTEMPTS = 20  # to copy while no process moves the log into the file


def may_write(file: Path) -> bool:
    """Return whether this user may write to a catalog file, and to the folder that it is in."""
    return all(os.access(path, os.W_OK, effective_ids=True) for path in (file, file.parent))


def copied(file: Path) -> "TemporaryDirectory[str]":
    """Return a temporary folder with a consistent copy of a catalog file and its write-ahead log.

    While the file stays the same, its log only grows, and SQLite ignores a commit that was copied
    in part: so the copy is consistent if the file was not written to meanwhile. Raises CatalogError
    when it was, at each attempt.
    """
    import shutil
    from tempfile import TemporaryDirectory

    folder = TemporaryDirectory(prefix="catalog-")
    target = Path(folder.name) / file.name
    try:
        for _ in range(_ATTEMPTS):
            before = _stamp(file)
            shutil.copyfile(file, target)
            try:
                shutil.copyfile(f"{file}-wal", f"{target}-wal")
            except FileNotFoundError:
                Path(f"{target}-wal").unlink(missing_ok=True)
            if _stamp(file) == before:
                return folder
    except BaseException:
        folder.cleanup()
        raise
    folder.cleanup()
    raise CatalogError(
        f"the catalog {file} was being written to all the time", hint="Try it again in a moment."
    )


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
