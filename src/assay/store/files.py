"""Immutable files of versions: each is written once to a new path, flushed, and then read-only."""

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Protocol

from assay.errors import StoreError
from assay.facts import Part
from assay.store.paths import StorePaths, is_inside
from assay.store.permissions import OWNER, folder_mode, make_folder

_CHUNK = 1 << 20  # bytes read at a time
_ATTEMPTS = 100  # to create folders while other processes remove empty ones
_FLUSHED_SINGLY = 8  # files; more than these are flushed with their whole file system


class Storage(Protocol):
    """The files of versions. Paths are relative to the root, with `/`; no path is used twice."""

    @property
    def root(self) -> Path:
        """The folder that engines may read from and write to."""

    def prepare(self, path: str) -> Path:
        """Create the folders above a path, and return where to write its file."""

    def seal(self, path: str) -> tuple[int, str, int]:
        """Make a written file read-only; return its bytes, its SHA-256 and its mtime (ns)."""

    def flush(self, paths: Collection[str]) -> None:
        """Make sealed files durable: after this, a crash of the machine loses none of them."""

    def locate(self, part: Part) -> Path:
        """Return the file of a part; raise StoreError when it is missing or damaged."""

    def holds(self, parts: Sequence[Part]) -> bool:
        """Return whether `damage` finds nothing wrong with any file of these parts.

        That includes the files of rows that were set aside of them.
        """

    def damage(self, part: Part) -> str:
        """Return what is wrong with the file of a part; '' for nothing.

        The text follows the file's name in a message. A file with the recorded size and time is
        taken for undamaged; if only its time differs, its SHA-256 decides.
        """

    def set_aside(self, path: str) -> Path:
        """Move a file or folder out of the store, and return where it is then."""

    def remove(self, path: str, keep: Callable[[], Collection[str]] = frozenset) -> None:
        """Remove a file or folder except the files to `keep`, and folders that are empty then.

        `keep` is called only if the path exists. Nothing behind a link is removed.
        """


class LocalStorage:
    """Storage in a folder of the local (or a shared) file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.paths = StorePaths(root)
        # SHA-256 of files whose time is not the recorded one, with the stamp of the file.
        self._digests: dict[str, tuple[tuple[int, ...], str]] = {}

    @property
    def root(self) -> Path:
        return self._root

    @cached_property
    def _mode(self) -> int:
        """The permissions of folders; files have the same, but only those for reading."""
        return folder_mode(self._root)

    # ------------------------------------------------------------------------------ writing

    def prepare(self, path: str) -> Path:
        for remaining in reversed(range(_ATTEMPTS)):
            try:
                for folder in self.paths.folders(path):
                    self._create(folder)
                break
            except FileNotFoundError:  # another run has removed the product's folder as empty
                if not remaining:
                    raise
                make_folder(self._root)
        return Path(f"{self._root}/{path}")

    def _create(self, folder: str) -> None:
        try:
            os.mkdir(folder, OWNER)  # noqa: PTH102 (a Path for each folder costs more)
            if self._mode != OWNER:
                os.chmod(folder, self._mode)  # noqa: PTH101
            self.paths.add_created(folder)
        except FileExistsError:
            self.paths.check(folder)

    def seal(self, path: str) -> tuple[int, str, int]:
        with opened(self.paths.full(path)) as file:
            checksum = digest_of(file)
            os.chmod(file, self._mode & 0o440)  # noqa: PTH101 (a descriptor, not a path)
            status = os.fstat(file)
        return status.st_size, checksum, status.st_mtime_ns

    def flush(self, paths: Collection[str]) -> None:
        files = [self.paths.full(path) for path in paths]
        if len(files) > _FLUSHED_SINGLY and self._flush_all():
            return
        folders = dict.fromkeys(
            folder for file in files for folder in _folders_up_to(file.parent, self._root)
        )
        for path in (*files, *folders):
            with opened(path) as descriptor:
                os.fsync(descriptor)

    def _flush_all(self) -> bool:
        """Flush the whole file system of the store; False where the operating system cannot."""
        import ctypes

        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            return False
        with opened(self._root) as root:
            if syncfs(root) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(self._root))
        return True

    # ------------------------------------------------------------------------------ reading

    def locate(self, part: Part) -> Path:
        full = self.paths.full(part.path)
        if problem := self._damage(str(full), part):
            raise StoreError(f"{full} {problem}")
        return full

    def holds(self, parts: Sequence[Part]) -> bool:
        root = self._root  # as text: a Path for each of very many files costs more
        if asides := [part.aside for part in parts if part.aside]:
            parts = [*parts, *asides]
        if len(parts) > 1:  # many parts may share a file
            parts = list({part.path: part for part in reversed(parts)}.values())
        return bool(parts) and all(
            self.paths.is_safe(part.path) and not self._damage(f"{root}/{part.path}", part)
            for part in parts
        )

    def damage(self, part: Part) -> str:
        return self._damage(str(self.paths.full(part.path)), part)

    def _damage(self, full: str, part: Part) -> str:
        try:
            status = os.lstat(full)
            if not stat.S_ISREG(status.st_mode):
                return "is no file"
            if status.st_size != part.bytes:
                return f"has {status.st_size:,} bytes, and {part.bytes:,} were written"
            if part.modified in (0, status.st_mtime_ns):
                return ""
            if self._digest(full, status, part) == part.checksum:
                return ""
        except (FileNotFoundError, NotADirectoryError):
            return "is missing"
        except (OSError, ValueError) as error:
            return f"cannot be read: {getattr(error, 'strerror', None) or error}"
        return "is not what was written: its SHA-256 is another"

    def _digest(self, full: str, status: os.stat_result, part: Part) -> str:
        """Return the SHA-256 of a file that has not the recorded time.

        An undamaged file gets the recorded time back, so that it is not read again next time.
        """
        stamp, digest = self._digests.get(full, ((), ""))
        if stamp == stamp_of(status):
            return digest
        digest = file_digest(Path(full))
        self._digests[full] = (stamp_of(status), digest)
        if digest == part.checksum:
            with suppress(OSError):  # the file is another user's, or the store read-only
                if os.stat(full).st_mtime_ns == status.st_mtime_ns:  # noqa: PTH116
                    os.utime(full, ns=(status.st_atime_ns, part.modified))
        return digest

    # ------------------------------------------------------------------------------ removing

    def set_aside(self, path: str) -> Path:
        # A file directly in the store was not written by Assay: a path of a version has a folder.
        is_stray = is_inside(f"store/{path}") and "/" not in path
        full = self._root / path if is_stray else self.paths.full(path)
        target = self._root.with_name("damaged") / path
        make_folder(target.parent)
        while target.exists():
            target = target.with_name(f"{target.name}~")
        full.rename(target)
        if not is_stray:
            self.remove(path)  # the folders that are empty now
        return target

    def remove(self, path: str, keep: Callable[[], Collection[str]] = frozenset) -> None:
        folders = [*self.paths.folders(path)]
        if self.paths.link_above(path):
            return  # nothing was written through a link, and a link must not stop a cleanup
        if os.path.lexists(f"{self._root}/{path}"):
            files = {self.paths.full(file) for file in keep()}
            if files:
                self._remove_except(path, files)
                return
            _remove(self.paths.full(path))
        for folder in reversed(folders):
            try:
                os.rmdir(folder)  # noqa: PTH106
            except OSError:
                return  # not empty, or missing

    def _remove_except(self, path: str, files: Collection[Path]) -> None:
        """Remove everything below a path except these files."""
        full = self.paths.full(path)
        for file in [*full.rglob("*")]:
            if file.is_file() and file not in files:
                self.remove(file.relative_to(self._root).as_posix())
        for folder in sorted((f for f in full.rglob("*") if f.is_dir()), reverse=True):
            with suppress(OSError):  # not empty
                folder.rmdir()


def _remove(path: Path) -> None:
    """Remove a file or a folder; another process may be removing it too."""
    with suppress(FileNotFoundError, NotADirectoryError):
        if path.is_dir() and not path.is_symlink():
            import shutil

            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hex; reads it in chunks of 1 MiB."""
    with opened(file) as descriptor:
        return digest_of(descriptor)


def digest_of(descriptor: int) -> str:
    """Return the SHA-256, in hex, of the unread rest of an open file."""
    sha = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK):
        sha.update(chunk)
    return sha.hexdigest()


def _folders_up_to(folder: Path, root: Path) -> list[Path]:
    """Return a folder and the folders above it, the root last."""
    return [folder, *folder.parents][: max(1, len(folder.parts) - len(root.parts) + 1)]


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return values that differ for another file, and for the same file after a change."""
    return status.st_size, status.st_ctime_ns, status.st_mtime_ns, status.st_ino, status.st_dev


def kind_of(mode: int) -> str:
    """Return in words what a file of this mode is."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a regular file" if stat.S_ISREG(mode) else "a device")


def not_a_file(path: Path) -> str:
    """Return what a path is instead of a regular file; '' for a regular file or an error."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return "" if stat.S_ISREG(mode) else kind_of(mode)
    return ""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file for reading, in this context; opening a pipe without a writer does not block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
