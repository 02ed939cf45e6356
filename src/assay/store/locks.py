"""Locked files that show that a process lives.

The lock ends with its process; whichever process finds the file unlocked removes it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from assay.errors import StoreError
from assay.store.permissions import create

_ATTEMPTS = 100  # to lock a file while other processes remove it


def lock(file: Path, flags: int) -> int:
    """Create a file and lock it; return its descriptor, which holds the lock until it is closed.

    A file that another process removes as abandoned, before it is locked, is created again. Raises
    OSError, or StoreError when the file is removed each time.
    """
    for _ in range(_ATTEMPTS):
        descriptor = create(file, os.O_RDWR | flags)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), file.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise StoreError(
        f"cannot lock {file}: it is removed each time it is created",
        hint="Does another program clean up this folder? Let it leave this one alone.",
    )


@contextmanager
def abandoned(file: Path) -> Iterator[bool]:
    """Yield whether no process holds a file locked.

    In this context, no process can lock the file, so it may be removed. The lock is shared: two
    processes that check at the same time do not take each other for the owner. Raises OSError for a
    file that is missing or may not be opened.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold a folder locked in this context; wait for other processes that do."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
