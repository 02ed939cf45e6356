"""Keeps users' code from ending the command before its work is done, and from passing that off as success."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from assay.signals import names_of_what_runs

# All other functions of `os` that end a process call one of these; sys.exit() raises an exception anyway.
_ENDINGS = ("_exit", "execv", "execve")
_LIBRARIES = ("duckdb", "polars", "pyarrow", "numpy")  # have handlers of their own for the exit
_held: set[int] = set()  # the process that may not be ended: one that users' code forks is another
_hooks: list[Any] = []  # the callback that C calls has to be kept alive
_hooked_after: set[str] = (
    set()
)  # the libraries that were loaded before the hook was registered last


def hold() -> None:
    """Let `guard()` keep this process from ending before the command does."""
    _held.add(os.getpid())


def guard() -> None:
    """Make os._exit() and its like raise SystemExit in users' code, and C's exit() end with exit code 1.

    A library that makes the system call `_exit` itself is beyond this: with `isolate=True` the run notices.
    """
    if _hooks or os.getpid() not in _held:
        return
    for name in _ENDINGS:
        setattr(os, name, _refused(name, getattr(os, name)))
    _hooks.append(_callback())
    _register()


def guard_again() -> None:
    """Let the hook of `guard()` run before the exit handlers of libraries that were loaded since.

    Handlers run in the reverse order of their registration, and those of a library may crash while its threads run.
    """
    if _hooks and any(name in sys.modules for name in _LIBRARIES if name not in _hooked_after):
        _register()


def _refused(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(real)
    def ending(*arguments: Any, **named: Any) -> Any:
        if os.getpid() not in _held:
            return real(*arguments, **named)
        raise SystemExit(f"os.{name}() would end the whole command: return, or raise an exception")

    return ending


def _callback() -> Any:
    import ctypes  # takes a twentieth of a no-op, which loads no users' code

    c = ctypes.PyDLL(None)  # keeps the GIL: no other thread runs between the message and the end

    def ended(_: int) -> None:
        if os.getpid() in _held:
            names = ", ".join(names_of_what_runs())
            message = (
                f"a library ended the whole command{f', while {names} ran' if names else ''}\n"
                "  With isolate=True a product is made in a process of its own.\n"
            ).encode()
            c.write(2, message, len(message))
            c._exit(1)

    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(ended)


def _register() -> None:
    import ctypes

    _hooked_after.update(name for name in _LIBRARIES if name in sys.modules)
    ctypes.CDLL(None).__cxa_atexit(_hooks[0], None, None)
