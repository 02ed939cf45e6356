"""Immutable version files: written once under a fresh path, flushed, then read-only for ever."""

import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from assay.errors import StoreError
from assay.model import Part

_CHUNK = 1 << 20


class Storage(Protocol):
    """Where the bytes of versions are. Paths are relative to its root, with `/`; none is ever used twice."""

    @property
    def root(self) -> Path:
        """The folder that engines may read from and write to."""

    def prepare(self, path: str) -> Path:
        """Make room for a file to be written and return where."""

    def seal(self, path: str) -> tuple[int, str]:
        """Flush a written file, make it read-only, and return its size in bytes and its SHA-256."""

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
        _flush(full)
        for folder in _folders_up_to(full.parent, self._root):
            _flush(folder)
        return full.stat().st_size, checksum

    def locate(self, part: Part) -> Path:
        full = self._full(part.path)
        if not _is_whole(full, part):
            raise StoreError(
                f"{full} is missing or is not the {part.bytes:,} bytes that the catalog knows",
                hint="`products materialize` builds it again.",
            )
        return full

    def holds(self, parts: Sequence[Part]) -> bool:
        return bool(parts) and all(_is_whole(self._root / part.path, part) for part in parts)

    def remove(self, path: str, keep: Collection[str] = ()) -> None:
        full = self._full(path)
        if keep:
            kept = {self._full(file) for file in keep}
            for file in [file for file in full.rglob("*") if file.is_file() and file not in kept]:
                self.remove(file.relative_to(self._root).as_posix())
            return
        with suppress(FileNotFoundError, NotADirectoryError):  # another run may be clearing up the same
            if full.is_dir():
                shutil.rmtree(full)
            else:
                full.unlink(missing_ok=True)
        for folder in _folders_up_to(full.parent, self._root)[:-1]:
            try:
                folder.rmdir()
            except OSError:
                return  # not empty, or not there

    def _full(self, path: str) -> Path:
        full = self._root / path
        if ".." in full.parts or not full.is_relative_to(self._root):
            raise StoreError(f"{path!r} is not a path inside the store")
        return full


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hex; reads it once, in chunks of 1 MiB."""
    sha = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _is_whole(full: Path, part: Part) -> bool:
    try:
        return full.stat().st_size == part.bytes
    except OSError:
        return False


def _folders_up_to(folder: Path, root: Path) -> list[Path]:
    """Return the folder and those above it, up to and with the root."""
    inside = [f for f in (folder, *folder.parents) if f.is_relative_to(root)]
    return inside or [root]


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
