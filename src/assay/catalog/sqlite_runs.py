"""Locks of living runs of a catalog in a file: one locked file per run, in a folder beside it."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

from assay.catalog.address import put_back
from assay.catalog.sqlite_errors import translated
from assay.errors import CatalogDamaged
from assay.store.locks import abandoned, exclusive, lock
from assay.store.permissions import make_folder

_RUN = re.compile(r"\w[\w.-]{0,199}", re.ASCII)


class RunLocks:
    """The folder of locks beside a catalog; None for a catalog that has no file."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._folder = folder or Path(os.devnull)
        self._catalog = name

    def make_folder(self) -> None:
        """Create the folder; called before a write, so that a refused catalog stays unchanged."""
        with translated(self._catalog):
            if self._folder != Path(os.devnull):
                make_folder(self._folder)

    def exclusive(self) -> AbstractContextManager[None]:
        """Keep other processes out of this context."""
        return exclusive(self._folder) if self._folder.is_dir() else nullcontext()

    @contextmanager
    def hold(self, run: str) -> Iterator[None]:
        """Show other processes that a run lives."""
        self.make_folder()
        file = self._file(run)
        with translated(self._catalog):
            descriptor = lock(file, os.O_NOFOLLOW)
        try:
            yield
        finally:
            with suppress(FileNotFoundError):
                file.unlink()
            os.close(descriptor)

    def is_dead(self, run: str) -> bool:
        """Return whether no process holds a run; remove its lock then."""
        file = self._file(run)
        with translated(self._catalog):
            try:
                with abandoned(file) as dead:
                    if dead:
                        file.unlink(missing_ok=True)
                    return dead
            except FileNotFoundError:
                return True

    def remove_dead(self) -> None:
        """Remove the locks of dead runs."""
        with translated(self._catalog):
            for file in self._folder.iterdir() if self._folder.is_dir() else ():
                if _RUN.fullmatch(file.name):
                    self.is_dead(file.name)

    def _file(self, run: str) -> Path:
        """Return the lock of a run; CatalogDamaged for a name that cannot be a run's."""
        if not _RUN.fullmatch(run):
            raise CatalogDamaged(
                f"the catalog {self._catalog} is damaged: {run!r} is no run",
                hint=put_back(self._catalog),
            )
        return self._folder / run
