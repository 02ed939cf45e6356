"""Users' code cannot end the command before its work is done, and let that pass for success."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

from assay.signals import end_now, names_of_what_runs

_ENDINGS = (
    "_exit",
    "execv",
    "execve",
)  # all others of `os` end here; sys.exit() raises an exception anyway
_held: set[int] = (
    set()
)  # the process that may not be ended, by number: one that users' code forks is another
_hooks: list[Any] = []  # what C calls has to be kept


def hold() -> None:
    """Let `guard()` see to it that this process ends when the command does."""
    _held.add(os.getpid())


def guard() -> None:
    """Make os._exit() and its like raise SystemExit where users' code calls them, and C's exit() end with 1, in words.

    What a library written in C ends by the system call `_exit` alone is beyond this: `isolate=True` notices.
    """
    if _hooks or os.getpid() not in _held:
        return
    for name in _ENDINGS:
        setattr(os, name, _refused(name, getattr(os, name)))
    _hook()


def _refused(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def ending(*arguments: Any, **named: Any) -> Any:
        if os.getpid() not in _held:
            return real(*arguments, **named)
        raise SystemExit(f"os.{name}() would end the whole command: return, or raise an exception")

    return ending


def _hook() -> None:
    import ctypes  # it takes a twentieth of a run that does nothing, which loads no users' code

    def ended(_: int) -> None:
        if os.getpid() in _held:
            names = ", ".join(names_of_what_runs())
            told = f"a library ended the whole command{f', while {names} ran' if names else ''}"
            os.write(
                2,
                f"{told}\n  With isolate=True a product is made in a process of its own.\n".encode(),
            )
            end_now(1)

    _hooks.append(ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ended))
    ctypes.CDLL(None).__cxa_atexit(_hooks[0], None, None)
