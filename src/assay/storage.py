"""Immutable version files: written once under a fresh path, flushed, then read-only for ever."""

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from assay.errors import StoreError
from assay.model import Part

_CHUNK = 1 << 20
_ONE_BY_ONE = 8  # files that are flushed each on its own; of more, all at once


class Storage(Protocol):
    """Where the bytes of versions are. Paths are relative to its root, with `/`; none is ever used twice."""

    @property
    def root(self) -> Path:
        """The folder that engines may read from and write to."""

    def prepare(self, path: str) -> Path:
        """Make room for a file to be written and return where."""

    def seal(self, path: str) -> tuple[int, str]:
        """Make a written file read-only, and return its size in bytes and its SHA-256."""

    def flush(self, paths: Collection[str]) -> None:
        """Make sealed files durable: they are there, whole, whatever happens to the machine after this."""

    def locate(self, part: Part) -> Path:
        """Return where a part can be read; StoreError when it is not there whole."""

    def holds(self, parts: Sequence[Part]) -> bool:
        """Say whether every file of these parts is there, at its full size."""

    def remove(self, path: str, keep: Collection[str] = ()) -> None:
        """Remove a file or folder, but for the files to `keep`, and the folders it leaves empty."""


class LocalStorage:
    """Storage in a folder of the local (or a shared) file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def root(self) -> Path:
        return self._root

    def prepare(self, path: str) -> Path:
        full = self._full(path)
        full.parent.mkdir(parents=True, exist_ok=True)
        return full

    def seal(self, path: str) -> tuple[int, str]:
        full = self._full(path)
        checksum = file_digest(full)
        full.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        return full.stat().st_size, checksum

    def flush(self, paths: Collection[str]) -> None:
        files = [self._full(path) for path in paths]
        if len(files) > _ONE_BY_ONE and self._flush_all():
            return
        for path in [*files, *dict.fromkeys(f for file in files for f in _folders_up_to(file.parent, self._root))]:
            with _opened(path) as opened:
                os.fsync(opened)

    def _flush_all(self) -> bool:
        """Flush the file system that the store is on, where the system can; many files are so flushed at once."""
        import ctypes

        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            return False
        with _opened(self._root) as root:
            if syncfs(root) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(self._root))
        return True

    def locate(self, part: Part) -> Path:
        full = self._full(part.path)
        if not _is_whole(str(full), part):
            raise StoreError(
                f"{full} is missing or is not the {part.bytes:,} bytes that the catalog knows",
                hint="`products materialize` builds it again.",
            )
        return full

    def holds(self, parts: Sequence[Part]) -> bool:
        root = self._root  # no Path is made for each of very many files: that costs more than to look at it
        return bool(parts) and all(_is_inside(part.path) and _is_whole(f"{root}/{part.path}", part) for part in parts)

    def remove(self, path: str, keep: Collection[str] = ()) -> None:
        full = self._full(path)
        if keep:
            kept = {self._full(file) for file in keep}
            for file in [file for file in full.rglob("*") if file.is_file() and file not in kept]:
                self.remove(file.relative_to(self._root).as_posix())
            return
        with suppress(FileNotFoundError, NotADirectoryError):  # another run may be clearing up the same
            if full.is_dir() and not full.is_symlink():
                shutil.rmtree(full)
            else:
                full.unlink(missing_ok=True)
        for folder in _folders_up_to(full.parent, self._root)[:-1]:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or not there

    def _full(self, path: str) -> Path:
        """Return where a path is; StoreError when that is not certain to be inside the store, below some folder."""
        if not _is_inside(path):
            raise StoreError(f"{path!r} is not a path inside the store")
        place = str(self._root)
        for folder in path.split("/")[:-1]:
            place = f"{place}/{folder}"
            if os.path.islink(place):  # noqa: PTH114 (no Path is made for each of very many)
                raise StoreError(
                    f"{place} is a link, and what the store holds is inside it",
                    hint="Put the folder itself there, or let `store` in pyproject.toml name where it may grow.",
                )
        return self._root / path


def _is_inside(path: str) -> bool:
    """Say whether a path names something below a folder of the store, and nothing else by detours."""
    names = path.split("/")
    return len(names) > 1 and "\0" not in path and not {"", ".", ".."}.intersection(names)


def size_of(folder: Path) -> int:
    """Return the bytes of the files in a folder; 0 when there is none."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder))
    except OSError:
        return 0


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hex; reads it once, in chunks of 1 MiB."""
    sha = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _is_whole(full: Path | str, part: Part) -> bool:
    try:
        found = os.lstat(full)
        return stat.S_ISREG(found.st_mode) and found.st_size == part.bytes
    except OSError:
        return False


def _folders_up_to(folder: Path, root: Path) -> list[Path]:
    """Return the folder and those above it, up to and with the root."""
    return [folder, *folder.parents][: max(1, len(folder.parts) - len(root.parts) + 1)]


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
