"""Who is reading the store: files that their processes hold locked, so that nothing that they have open is removed.

A lease is a file in the store: its first line says who, the others are the folders `product/run` that are being read;
one without holds everything. It lives as long as the process that has it locked, on whichever machine. Who may not
write there leaves no lease.
"""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from weakref import finalize

from msgspec import Struct, field

from assay.store.permissions import create, make_folder

FOLDER = ".readers"  # in the store; no product is called so
_ATTEMPTS = 100  # to take a lease


class Lease(Struct, frozen=True, kw_only=True):
    """A living reader: who it is, and what it holds; no `folders` are all there are, of what was there at `since`."""

    who: str
    since: str = ""  # ISO 8601; '' when it does not say
    folders: frozenset[str] = field(default=frozenset())

    def holds(self, path: str) -> bool:
        """Say whether it may be reading this file, as far as folders tell."""
        return not self.folders or folder_of(path) in self.folders


def folder_of(path: str) -> str:
    """Return the folder `product/run` that a file of the store is in."""
    return "/".join(path.split("/")[:2])


@contextmanager
def reading(store: Path, since: str = "") -> Iterator[None]:
    """Hold everything that is in a store by now, meanwhile."""
    file = _new(store, since)
    try:
        yield
    finally:
        if file is not None:
            file.close()


def keep(store: Path, folders: Iterable[str]) -> None:
    """Hold these folders for as long as this process lives; call it while `reading`."""
    _kept(store).add(folders)


@cache
def _kept(store: Path) -> "_Kept":
    """Return the lease of this process on what it has read: there is no telling when a frame is read last."""
    return _Kept(store)


class _Kept:
    """Folders that a process reads until it ends."""

    def __init__(self, store: Path) -> None:
        self._store, self._folders = store, set[str]()
        self._file: _File | None = None

    def add(self, folders: Iterable[str]) -> None:
        new = sorted(set(folders) - self._folders)
        if not new:
            return
        if self._file is None and (file := _new(self._store, "")):
            self._file = file
            finalize(self, file.close)  # at the end of the process
        if self._file is not None:
            self._file.write("".join(f"{json.dumps(folder)}\n" for folder in new))
            self._folders.update(new)


class _File:
    """A lease file that is locked."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor, self._process = path, descriptor, os.getpid()

    def lock(self) -> bool:
        """Lock it; False when that cannot be, or it was taken for dead, and removed, before it was locked."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._path.exists():
                return True
        except OSError:
            pass
        self.close()
        return False

    def write(self, text: str) -> None:
        """Say more; where that finds no room, nothing at all: so it holds everything."""
        try:
            os.write(self._descriptor, text.encode())
        except OSError:
            os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Give the lease up; a process that was forked off leaves it to the one that took it."""
        if os.getpid() == self._process:
            with suppress(OSError):
                self._path.unlink()
                self._path.parent.rmdir()  # it stays while others are in it
        with suppress(OSError):
            os.close(self._descriptor)


def _new(store: Path, since: str) -> _File | None:
    """Take a lease; None where there is nothing to be read yet, or one may not write."""
    if not store.is_dir():
        return None
    told = {"who": f"process {os.getpid()} on {os.uname().nodename}", "since": since}
    path = store / FOLDER / os.urandom(16).hex()  # to import uuid takes longer than a lease
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):  # the last reader took the folder with it
            try:
                make_folder(path.parent)
                file = _File(path, create(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC))
            except FileNotFoundError:
                raise
            except OSError:
                return None
            if file.lock():
                file.write(f"{json.dumps(told)}\n")
                living(store)  # which removes what those left who were killed
                return file
    return None


def living(store: Path) -> list[Lease]:
    """Return the leases of readers that live, and remove those of the others."""
    try:
        paths = sorted((store / FOLDER).iterdir())
    except OSError:
        return []
    return [lease for path in paths if (lease := _look(path)) is not None]


def _look(path: Path) -> Lease | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Lease(who=f"whoever holds {path.name} ({error.strerror})")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with suppress(OSError):
            path.unlink()
        return None
    except OSError:
        return _told(path)
    finally:
        os.close(descriptor)


def _told(path: Path) -> Lease:
    """Return what a lease says; one that says nothing clear holds everything."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines() or ["{}"]
        told = json.loads(first)
        who, since = str(told.get("who", "a process")), str(told.get("since", ""))
        folders = frozenset(str(json.loads(line)) for line in lines)
    except (OSError, ValueError, AttributeError):
        return Lease(who=f"whoever holds {path.name}")
    return Lease(who=who, since=since, folders=folders)
