"""Takes the right to write files and to connect from this process, in whatever language code is.

An audit hook (`harmless`) sees what Python does; engines written in Rust or C++ open files by
themselves. On Linux, Landlock refuses those too. Elsewhere, and on kernels without it, files cannot
be filled: they may be created, or emptied.
"""

import ctypes
import os
import resource
import struct
import sys
from contextlib import suppress

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # system calls, on every processor
_VERSION, _PATH_BENEATH, _NO_NEW_PRIVILEGES = 1, 1, 38
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_CHANGES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))  # also removing, and making
_CONNECTS = 0b11  # binding and connecting by TCP
# Versions of Landlock from which on it knows moves, truncation, and the network.
_REFER_SINCE, _TRUNCATE_SINCE, _NETWORK_SINCE = 2, 3, 4
_REFER = 1 << 13


def become_readonly() -> bool:
    """Refuse writing and connecting from now on, for this thread and those that it starts.

    Returns False where only the size of files is limited.
    """
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))  # Python ignores the signal for it
    with suppress(OSError, AttributeError):
        return sys.platform == "linux" and _restrict(ctypes.CDLL(None, use_errno=True))
    return False


def _restrict(libc: ctypes.CDLL) -> bool:
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    if version < 1:
        return False
    changes = _CHANGES
    changes |= _REFER if version >= _REFER_SINCE else 0
    changes |= _TRUNCATE if version >= _TRUNCATE_SINCE else 0
    handled = [changes, _CONNECTS] if version >= _NETWORK_SINCE else [changes]
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        _allow_null(libc, ruleset, changes)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            return False
        return bool(libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow_null(libc: ctypes.CDLL, ruleset: int, changes: int) -> None:
    """Let what is written to /dev/null go there."""
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        allowed = struct.pack("=Qi", changes & (_WRITE_FILE | _TRUNCATE), null)
        libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, allowed, 0)
    finally:
        os.close(null)
