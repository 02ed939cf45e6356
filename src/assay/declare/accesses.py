"""Records the files, folders and environment variables that the user's code reads.

Audit events report what goes through Python (`open`, `sqlite3.connect`, `os.scandir`, and all on
top of them), also if the file does not exist, but not a library in another language that opens
a file by itself.
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
_IMPORTING = {"_find_and_load", "_fill_cache", "find_spec"}  # functions of Python's import system
_NO_CONTENT = ("/dev/", "/proc/", "/sys/")
_WRITES_ONLY = os.O_WRONLY
# The files of the functions through which `os.environ` is read.
_LOOKING_UP = {function.__code__.co_filename for function in (os.getenv, Mapping.get)}
_noticing: list["Accesses"] = []
_hooked: list[bool] = []  # not empty once the audit hook is added: it cannot be removed


class Accesses(Struct, eq=False):
    """The absolute paths that were read, each with the files of the user's code that read it.

    `owns` decides whether a file is the user's code, `contains` whether a path is the project's.
    With `thread`, other threads do not count. A file that is read during the import of a module is
    read by that module, not by the one that imports it; what installed packages read during their
    import does not count. With `imported`, modules are imported already, and no import counts.
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
        """Record the path of an audit event, if it is one of reading."""
        if self.thread not in {None, get_ident()}:
            return
        place = arguments[0] if arguments else None
        if not isinstance(place, str | bytes | os.PathLike):
            return  # the descriptor of an open file
        path = os.path.abspath(os.fsdecode(place))  # noqa: PTH100 (do not follow links)
        if event == "open" and _only_writes(arguments):
            self.written.add(path)
            return
        code = _code(sys._getframe(2), self.owns, imported=self.imported)
        if code is None or not (code or self.contains(path)) or path.startswith(_NO_CONTENT):
            return
        (self.files if event in _FILES else self.folders).setdefault(path, set()).update(code)

    def note_variable(self, name: str) -> None:
        """Record that an environment variable was read, if the user's code read it."""
        if self.thread not in {None, get_ident()}:
            return
        frame: FrameType | None = sys._getframe(2)
        if frame is None or frame.f_code.co_name != "__getitem__":
            return  # the variable is set or deleted
        while frame is not None and frame.f_code.co_filename in _LOOKING_UP:
            frame = frame.f_back
        if frame is not None and self.owns(frame.f_code.co_filename):
            self.variables.add(name)


@contextmanager
def noticing(accesses: Accesses) -> Iterator[None]:
    """Record what is read in the block."""
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
    """Record for this thread what the user's code read in another process."""
    for accesses in tuple(_noticing):
        if accesses.thread == get_ident():
            for path in files:
                accesses.files.setdefault(path, set())
            accesses.variables.update(variables)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _noticing and (event in _FILES or event in _FOLDERS):
        for accesses in tuple(_noticing):
            with suppress(Exception):  # the code that reads would get the exception
                accesses.note(event, arguments)


def _watch_variables() -> None:
    """Record variables when their names are encoded to be read: there is no audit event."""
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
    """Return the user's files on the stack, up to an import; None if the import system reads."""
    code: set[str] = set()
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib") and frame.f_code.co_name in _IMPORTING:
            return None if imported else code or None
        if owns(file):
            code.add(file)
        frame = frame.f_back
    return code
