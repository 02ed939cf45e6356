"""Leases of readers: locked files in the store that keep gc from removing what a process reads.

The first line of a lease names the process; the other lines are the folders `product/run` that it
reads. A lease without folders holds everything. A lease lives as long as its process holds it
locked, on whichever machine. A user who may not write to the store takes no lease.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from weakref import finalize

from msgspec import Struct, field

from assay.store.locks import abandoned, lock
from assay.store.permissions import make_folder

FOLDER = ".readers"  # in the store; no product has such a name
_ATTEMPTS = 100  # to take a lease while other processes remove the folder as empty


class Lease(Struct, frozen=True, kw_only=True):
    """A living reader. Without `folders`, it holds everything that was stored at `since`.

    `since` is in ISO 8601; '' if it is not known.
    """

    holder: str
    since: str = ""
    folders: frozenset[str] = field(default=frozenset())

    def holds(self, path: str) -> bool:
        """Return whether its process may be reading this file, by its folders."""
        return not self.folders or folder_of(path) in self.folders


def folder_of(path: str) -> str:
    """Return the folder `product/run` of a file in the store."""
    return "/".join(path.split("/")[:2])


@contextmanager
def reading(store: Path, since: str = "") -> Iterator[None]:
    """Hold everything that is in a store now, until the context ends."""
    file = _new(store, since)
    try:
        yield
    finally:
        if file is not None:
            file.close()


def keep(store: Path, folders: Iterable[str]) -> None:
    """Hold these folders until this process ends; call it while `reading`."""
    _lasting_lease(store).add(folders)


@cache
def _lasting_lease(store: Path) -> "_LastingLease":
    return _LastingLease(store)


class _LastingLease:
    """The folders that a process holds until it ends, as a lazy frame may be read at any time."""

    def __init__(self, store: Path) -> None:
        self._store, self._folders = store, set[str]()
        self._file: _File | None = None

    def add(self, folders: Iterable[str]) -> None:
        """Hold these folders too."""
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
    """The file of a lease of this process."""

    def __init__(self, path: Path) -> None:
        """Create the file and lock it; raise OSError when that is impossible."""
        self._path, self._process = path, os.getpid()
        self._descriptor = lock(path, os.O_APPEND | os.O_CLOEXEC)

    def write(self, text: str) -> None:
        """Append text. If the disk is full, the file is emptied: such a lease holds everything."""
        try:
            os.write(self._descriptor, text.encode())
        except OSError:
            os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        """Give the lease up; a forked process leaves the file to the process that created it."""
        if os.getpid() == self._process:
            with suppress(OSError):
                self._path.unlink()
                self._path.parent.rmdir()  # fails while other leases are in it
        with suppress(OSError):
            os.close(self._descriptor)


def _new(store: Path, since: str) -> _File | None:
    """Take a lease; None where there is no store yet, or this user may not write to it."""
    if not store.is_dir():
        return None
    holder = {"who": f"process {os.getpid()} on {os.uname().nodename}", "since": since}
    path = store / FOLDER / os.urandom(16).hex()  # importing uuid takes longer than a lease
    for _ in range(_ATTEMPTS):
        try:
            make_folder(path.parent)
            file = _File(path)
        except FileNotFoundError:
            continue  # the last reader has just removed the folder
        except OSError:
            with suppress(OSError):  # created, but the file system has no locks
                path.unlink()
                path.parent.rmdir()
            return None
        file.write(f"{json.dumps(holder)}\n")
        living(store)  # removes the leases of killed processes
        return file
    return None


def living(store: Path) -> list[Lease]:
    """Return the leases of living readers, and remove all other leases."""
    try:
        paths = sorted((store / FOLDER).iterdir())
    except OSError:
        return []
    leases = [_living_lease(path) for path in paths]
    return [lease for lease in leases if lease is not None]


def _living_lease(path: Path) -> Lease | None:
    """Return the lease in a file; None, and remove the file, if its process is dead."""
    try:
        with abandoned(path) as dead:
            if dead:
                with suppress(OSError):
                    path.unlink()
                return None
    except FileNotFoundError:
        return None
    except OSError as error:
        return Lease(holder=f"whoever holds {path.name} ({error.strerror})")
    return _read(path)


def _read(path: Path) -> Lease:
    """Return the lease in a file; a lease that cannot be read or parsed holds everything."""
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines() or ["{}"]
        fields = json.loads(first)
        return Lease(
            holder=str(fields.get("who", "a process")),
            since=str(fields.get("since", "")),
            folders=frozenset(str(json.loads(line)) for line in lines),
        )
    except (OSError, ValueError, AttributeError):
        return Lease(holder=f"whoever holds {path.name}")
