"""A copy of a SQLite catalog, for who may read it and not write: to read it in place, SQLite writes beside it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import CatalogError

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

_ATTEMPTS = 20  # at a copy during which nobody moved what was in the log into the file


def may_write(file: Path) -> bool:
    """Say whether this user may write to a catalog file, and to the folder that it is in."""
    return all(os.access(path, os.W_OK, effective_ids=True) for path in (file, file.parent))


def copied(file: Path) -> "TemporaryDirectory[str]":
    """Return a folder with a copy of a catalog file and its write-ahead log, of one moment; it goes when it is closed.

    The log only grows while the file stays as it is, and a commit that was copied in half does not
    count: so a copy is good when the file was not written to meanwhile. Raises CatalogError when it
    always was.
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
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
