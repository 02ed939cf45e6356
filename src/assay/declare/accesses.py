"""Which files and folders the user's code reads, as Python's own audit events tell, and which environment variables.

Whatever goes through Python is seen (`open`, `sqlite3.connect`, `os.scandir` and all that is built on them), also when
the file is not there. A library in another language that opens a file by itself is not.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from threading import get_ident
from types import FrameType
from typing import Any

from msgspec import Struct, field

_FILES = {"open", "sqlite3.connect"}
_FOLDERS = {"os.listdir", "os.scandir"}
_IMPORTING = {
    "_find_and_load",
    "_fill_cache",
    "find_spec",
}  # functions of Python's own import system
_NO_CONTENT = ("/dev/", "/proc/", "/sys/")
_WRITES_ONLY = os.O_WRONLY
_LOOKING_UP = {
    function.__code__.co_filename for function in (os.getenv, Mapping.get)
}  # os.environ is made of these
_noticing: list["Accesses"] = []
_hooked: list[bool] = []  # whether Python was asked already: an audit hook cannot be removed


class Accesses(Struct, eq=False):
    """Paths that were read (absolute), each with the files of the user's code that did so, by a call in them.

    `owns` says whether a file is the user's code, `contains` whether a path is the project's own; `thread` is the only
    one that counts, if it is given. What is read while a module is imported is what that module reads, not what the one
    does that imports it; what installed packages read as they are imported is none of it. Where modules are `imported`
    already, nothing of that counts.
    """

    owns: Callable[[str], bool]
    contains: Callable[[str], bool]
    thread: int | None = None
    imported: bool = False
    files: dict[str, set[str]] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what an audit event tells, if it is one of reading."""
        if self.thread not in {None, get_ident()}:
            return
        place = arguments[0] if arguments else None
        if not isinstance(place, str | bytes | os.PathLike):
            return  # a file that is open already, by its number
        path = os.path.abspath(os.fsdecode(place))  # noqa: PTH100 (a link counts by its own name)
        if event == "open" and _only_writes(arguments):
            self.written.add(path)
            return
        code = _code(sys._getframe(2), self.owns, imported=self.imported)
        if code is None or not (code or self.contains(path)) or path.startswith(_NO_CONTENT):
            return
        (self.files if event in _FILES else self.folders).setdefault(path, set()).update(code)

    def note_variable(self, name: str) -> None:
        """Note that a variable was looked up, if it was the user's code that did."""
        if self.thread in {None, get_ident()}:
            frame: FrameType | None = sys._getframe(2)
            if frame is None or frame.f_code.co_name != "__getitem__":
                return  # it is set, or removed
            while frame is not None and frame.f_code.co_filename in _LOOKING_UP:
                frame = frame.f_back
            if frame is not None and self.owns(frame.f_code.co_filename):
                self.variables.add(name)


@contextmanager
def noticing(accesses: Accesses) -> Iterator[None]:
    """Note what is read meanwhile."""
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(_hook)
        _watch_variables()
    _noticing.append(accesses)
    try:
        yield
    finally:
        _noticing.remove(accesses)


def noted(files: Iterable[str], variables: Iterable[str]) -> None:
    """Note for this thread what the user's code read in another process."""
    for accesses in [accesses for accesses in _noticing if accesses.thread == get_ident()]:
        for path in files:
            accesses.files.setdefault(path, set())
        accesses.variables.update(variables)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _noticing and (event in _FILES or event in _FOLDERS):
        for accesses in tuple(_noticing):
            with suppress(Exception):  # it would become the exception of who reads
                accesses.note(event, arguments)


def _watch_variables() -> None:
    """Let `os.environ` tell which variables are looked up: there is no event of that."""
    encoded = os.environ.encodekey

    def encode(name: str) -> str:
        for accesses in tuple(_noticing):
            with suppress(Exception):
                accesses.note_variable(name)
        return encoded(name)

    os.environ.encodekey = encode


def _only_writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    truncates = isinstance(mode, str) and ("w" in mode or "x" in mode)
    return truncates or bool(flags & os.O_ACCMODE == _WRITES_ONLY)


def _code(
    frame: FrameType | None, owns: Callable[[str], bool], *, imported: bool
) -> set[str] | None:
    """Return the files of the user's code that are running, down to an import; None where Python's import reads."""
    code: set[str] = set()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") and frame.f_code.co_name in _IMPORTING:
            return None if imported else code or None
        if owns(file):
            code.add(file)
        frame = frame.f_back
    return code
