"""Prevents users' code from ending the process of the command, perhaps with exit code 0."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from assay.signals import names_of_what_runs

# All other functions of `os` that end a process call one of these; sys.exit() only raises.
_ENDINGS = ("_exit", "execv", "execve")
_LIBRARIES = ("duckdb", "polars", "pyarrow", "numpy")  # they register exit handlers
_guarded: set[int] = set()  # this process, and no process that users' code forks
_hooks: list[Any] = []  # keeps the callback that C calls alive
_hooked_after: set[str] = set()  # libraries loaded before the last registration of the hook


def allow_guard() -> None:
    """Allow `guard()` to guard this process."""
    _guarded.add(os.getpid())


def guard() -> None:
    """Make os._exit() and os.exec*() raise SystemExit, and C's exit() end with exit code 1.

    A library that makes the system call `_exit` itself is not stopped; with `isolate=True`, the run
    notices.
    """
    if _hooks or os.getpid() not in _guarded:
        return
    for name in _ENDINGS:
        setattr(os, name, _refused(name, getattr(os, name)))
    _hooks.append(_callback())
    _register()


def guard_again() -> None:
    """Register the hook of `guard()` again if libraries were loaded since.

    Exit handlers run in the reverse order of their registration, and the handlers of a library may
    crash while its threads run: the hook must run before them.
    """
    if _hooks and any(name in sys.modules for name in _LIBRARIES if name not in _hooked_after):
        _register()


def _refused(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def ending(*arguments: Any, **named: Any) -> Any:
        if os.getpid() not in _guarded:
            return real(*arguments, **named)
        raise SystemExit(f"os.{name}() would end the whole command: return, or raise an exception")

    return ending


def _callback() -> Any:
    import ctypes  # slow, and a no-op does not need it

    c = ctypes.PyDLL(None)  # holds the GIL: no other thread runs between the message and the end

    def ended(_: int) -> None:
        if os.getpid() in _guarded:
            names = ", ".join(names_of_what_runs())
            during = f", while {names} ran" if names else ""
            message = (
                f"a library ended the whole command{during}\n"
                "  With isolate=True a product is made in a process of its own.\n"
            ).encode()
            c.write(2, message, len(message))
            c._exit(1)

    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ended)


def _register() -> None:
    import ctypes

    _hooked_after.update(name for name in _LIBRARIES if name in sys.modules)
    ctypes.CDLL(None).__cxa_atexit(_hooks[0], None, None)
