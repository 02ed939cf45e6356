"""Immutable version files: written once under a fresh path, flushed, then read-only for ever."""

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
from assay.store.permissions import OWNER, folder_mode, make_folder

LINK = "is a link, and nothing is read or written through it: what the store holds is inside it"
UNLINK = "Put the folder itself there, or let `store` in pyproject.toml name where it may grow."
_CHUNK = 1 << 20
_ATTEMPTS = 100  # at making a folder below one that others remove when it is empty
_ONE_BY_ONE = 8  # files that are flushed each on its own; of more, all at once


class Storage(Protocol):
    """Where the bytes of versions are. Paths are relative to its root, with `/`; none is ever used twice."""

    @property
    def root(self) -> Path:
        """The folder that engines may read from and write to."""

    def prepare(self, path: str) -> Path:
        """Make room for a file to be written and return where."""

    def seal(self, path: str) -> tuple[int, str, int]:
        """Make a written file read-only, and return its size in bytes, its SHA-256, and when it was written (ns)."""

    def flush(self, paths: Collection[str]) -> None:
        """Make sealed files durable: they are there, whole, whatever happens to the machine after this."""

    def locate(self, part: Part) -> Path:
        """Return where a part can be read; StoreError when it is not there whole."""

    def holds(self, parts: Sequence[Part]) -> bool:
        """Say whether every file of these parts is there, and is what was written as far as `damage` can tell."""

    def damage(self, part: Part) -> str:
        """Say what is wrong with the file of a part, as what follows its name; '' for nothing.

        Of the size and time recorded, it is taken for what was written; of another time, its SHA-256 decides.
        """

    def set_aside(self, path: str) -> Path:
        """Move a file or folder out of the store, to where nothing reads it, and return where it is."""

    def remove(self, path: str, keep: Callable[[], Collection[str]] = frozenset) -> None:
        """Remove a file or folder, but for the files to `keep` (asked where it is there), and folders left empty.

        What lies behind a link stays.
        """


class LocalStorage:
    """Storage in a folder of the local (or a shared) file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._own: set[str] = set()  # folders that were seen to be no links
        self._hashed: dict[
            str, tuple[tuple[int, ...], str]
        ] = {}  # of files with another time: stamp and SHA-256

    @property
    def root(self) -> Path:
        return self._root

    @cached_property
    def _mode(self) -> int:
        """The permissions of folders, and of files but for writing."""
        return folder_mode(self._root)

    def prepare(self, path: str) -> Path:
        for left in reversed(range(_ATTEMPTS)):
            try:
                for folder in self._folders(path):
                    self._make(folder)
                break
            except (
                FileNotFoundError
            ):  # another run that leaves may take the product's folder with it
                if not left:
                    raise
                make_folder(self._root)
        return Path(f"{self._root}/{path}")

    def _make(self, folder: str) -> None:
        try:
            os.mkdir(folder, OWNER)  # noqa: PTH102 (no Path is made for each)
            if self._mode != OWNER:
                os.chmod(folder, self._mode)  # noqa: PTH101
            self._own.add(folder)
        except FileExistsError:
            self._check(folder)

    def seal(self, path: str) -> tuple[int, str, int]:
        with opened(self._full(path)) as file:
            checksum = digest_of(file)
            os.chmod(file, self._mode & 0o440)  # noqa: PTH101 (no path is looked up again)
            found = os.fstat(file)
        return found.st_size, checksum, found.st_mtime_ns

    def flush(self, paths: Collection[str]) -> None:
        files = [self._full(path) for path in paths]
        if len(files) > _ONE_BY_ONE and self._flush_all():
            return
        for path in [
            *files,
            *dict.fromkeys(f for file in files for f in _folders_up_to(file.parent, self._root)),
        ]:
            with opened(path) as file:
                os.fsync(file)

    def _flush_all(self) -> bool:
        """Flush the file system that the store is on, where the system can; many files are so flushed at once."""
        import ctypes

        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            return False
        with opened(self._root) as root:
            if syncfs(root) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(self._root))
        return True

    def locate(self, part: Part) -> Path:
        full = self._full(part.path)
        if wrong := self._damage(str(full), part):
            raise StoreError(f"{full} {wrong}")
        return full

    def holds(self, parts: Sequence[Part]) -> bool:
        root = self._root  # no Path is made for each of very many files, which many parts may share: that costs more
        files = parts if len(parts) == 1 else {part.path: part for part in reversed(parts)}.values()
        return bool(parts) and all(
            self._is_own(part.path) and not self._damage(f"{root}/{part.path}", part)
            for part in files
        )

    def damage(self, part: Part) -> str:
        return self._damage(str(self._full(part.path)), part)

    def _damage(self, full: str, part: Part) -> str:
        try:
            found = os.lstat(full)
            if not stat.S_ISREG(found.st_mode):
                return "is no file"
            if found.st_size != part.bytes:
                return f"has {found.st_size:,} bytes, and {part.bytes:,} were written"
            if (
                part.modified in (0, found.st_mtime_ns)
                or self._digest(full, found, part) == part.checksum
            ):
                return ""
        except (FileNotFoundError, NotADirectoryError):
            return "is missing"
        except (OSError, ValueError) as error:
            return f"cannot be read: {getattr(error, 'strerror', None) or error}"
        return "is not what was written: its SHA-256 is another"

    def _digest(self, full: str, found: os.stat_result, part: Part) -> str:
        """Return the SHA-256 of a file whose time is not the recorded one; where it is whole, it gets that back."""
        stamp, digest = self._hashed.get(full, ((), ""))
        if stamp != stamp_of(found):
            digest = file_digest(Path(full))
            self._hashed[full] = (stamp_of(found), digest)
            with suppress(
                OSError
            ):  # not ours, or a store that cannot be written to: it is read again next time
                if digest == part.checksum and os.stat(full).st_mtime_ns == found.st_mtime_ns:  # noqa: PTH116
                    os.utime(full, ns=(found.st_atime_ns, part.modified))
        return digest

    def set_aside(self, path: str) -> Path:
        alone = (
            _is_inside(f"store/{path}") and "/" not in path
        )  # what lies in the store itself is nothing of ours
        full = self._root / path if alone else self._full(path)
        aside = self._root.with_name("damaged") / path
        make_folder(aside.parent)
        while aside.exists():
            aside = aside.with_name(f"{aside.name}~")
        full.rename(aside)
        if not alone:
            self.remove(path)  # the folders that are empty by now
        return aside

    def remove(self, path: str, keep: Callable[[], Collection[str]] = frozenset) -> None:
        folders = [*self._folders(path)]
        if self.link_above(path):
            return  # nothing was written through a link, and who tidies up is not stopped by one
        if os.path.lexists(f"{self._root}/{path}") and self._leaves_some(path, keep()):
            return
        for folder in reversed(folders):
            try:
                os.rmdir(folder)  # noqa: PTH106
            except OSError:
                return  # not empty, or not there

    def _leaves_some(self, path: str, keep: Collection[str]) -> bool:
        """Remove a file or folder that is there, and say whether something of it is kept."""
        full = self._full(path)
        if keep:
            kept = {self._full(file) for file in keep}
            for file in [file for file in full.rglob("*") if file.is_file() and file not in kept]:
                self.remove(file.relative_to(self._root).as_posix())
            for folder in sorted((f for f in full.rglob("*") if f.is_dir()), reverse=True):
                with suppress(OSError):  # not empty
                    folder.rmdir()
            return True
        with suppress(
            FileNotFoundError, NotADirectoryError
        ):  # another run may be clearing up the same
            if full.is_dir() and not full.is_symlink():
                import shutil

                shutil.rmtree(full)
            else:
                full.unlink(missing_ok=True)
        return False

    def _full(self, path: str) -> Path:
        """Return where a path is; StoreError when that is not certain to be inside the store, below some folder."""
        for folder in self._folders(path):
            self._check(folder)
        return Path(f"{self._root}/{path}")

    def _folders(self, path: str) -> Iterator[str]:
        """Yield the folders that lead to a path, from the store on; StoreError for a path that leads elsewhere."""
        if not _is_inside(path):
            raise StoreError(f"{path!r} is not a path inside the store")
        yield from self._folders_inside(path)

    def _folders_inside(self, path: str) -> Iterator[str]:
        full = f"{self._root}/{path}"  # no Path is made for each folder of very many files
        at = full.find("/", len(full) - len(path))
        while at >= 0:
            yield full[:at]
            at = full.find("/", at + 1)

    def link_above(self, path: str) -> str:
        """Return the first folder on the way to a path that is a link: nothing is read through it; '' for none."""
        folders = self._folders_inside(path) if _is_inside(path) else ()
        return next((folder for folder in folders if self._is_link(folder)), "")

    def _is_own(self, path: str) -> bool:
        """Say whether a path is certain to be inside the store: by no detour, and through no link."""
        if not _is_inside(path):
            return False
        if f"{self._root}/{path[: path.rindex('/')]}" in self._own:
            return True  # and so are all above it
        return not any(map(self._is_link, self._folders_inside(path)))

    def _is_link(self, folder: str) -> bool:
        if not self._own:  # those of the products are looked at all at once
            with suppress(OSError), os.scandir(self._root) as entries:
                self._own.update(
                    f"{self._root}/{entry.name}" for entry in entries if not entry.is_symlink()
                )
        if folder in self._own:
            return False
        if os.path.islink(folder):  # noqa: PTH114
            return True
        self._own.add(folder)
        return False

    def _check(self, folder: str) -> None:
        if self._is_link(folder):
            raise StoreError(f"{folder} {LINK}", hint=UNLINK)


def _is_inside(path: str) -> bool:
    """Say whether a path names something below a folder of the store, and nothing else by detours."""
    names = path.split("/")
    return len(names) > 1 and "\0" not in path and not {"", ".", ".."}.intersection(names)


def file_digest(file: Path) -> str:
    """Return the SHA-256 of a file, in hex; reads it once, in chunks of 1 MiB."""
    with opened(file) as descriptor:
        return digest_of(descriptor)


def digest_of(descriptor: int) -> str:
    """Return the SHA-256, in hex, of what is left to be read of an open file."""
    sha = hashlib.sha256()
    while chunk := os.read(descriptor, _CHUNK):
        sha.update(chunk)
    return sha.hexdigest()


def _folders_up_to(folder: Path, root: Path) -> list[Path]:
    """Return the folder and those above it, up to and with the root."""
    return [folder, *folder.parents][: max(1, len(folder.parts) - len(root.parts) + 1)]


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from any other, and from itself before it was changed, without reading it."""
    return status.st_size, status.st_ctime_ns, status.st_mtime_ns, status.st_ino, status.st_dev


def kind_of(mode: int) -> str:
    """Return what a file is by its mode, in words."""
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a regular file" if stat.S_ISREG(mode) else "a device")


def not_a_file(path: Path) -> str:
    """Return what something that exists is instead of a regular file; '' when it is one, or nobody can say."""
    with suppress(OSError):
        mode = path.stat().st_mode
        return "" if stat.S_ISREG(mode) else kind_of(mode)
    return ""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file to be read, for a while; a pipe without a writer does not make anybody wait."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
