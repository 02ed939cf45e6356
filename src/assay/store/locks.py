"""Locked files that show that a process lives: the lock goes with its process, and whoever sees that removes the file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from assay.store.permissions import create


def lock(file: Path, flags: int) -> int:
    """Create a file and lock it; return its descriptor, which holds the lock until it is closed.

    A file that another process removes as abandoned before it is locked is created again. Raises OSError.
    """
    while True:
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


@contextmanager
def abandoned(file: Path) -> Iterator[bool]:
    """Yield whether no process holds a file locked; meanwhile none can lock it, so it may be removed.

    The lock is shared, so that two processes that look at once do not take each other for the owner. Raises OSError
    for a file that is missing or may not be opened.
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
    """Hold a folder locked; wait for other processes that do."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
