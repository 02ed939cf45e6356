"""Finds and loads the modules of a project, always from their source."""

import importlib.util
import py_compile
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from assay.config import PACKAGE

MARK = "__loaded_by_assay__"  # an attribute of modules that are loaded here
_BY_HASH = py_compile.PycInvalidationMode.CHECKED_HASH
_CHECKED = (0b11).to_bytes(4, "little")  # the flags of compiled files that are valid by hash

Note = Callable[[str, Sequence[str] | None, str | None], None]


def is_below(root: str, path: str) -> bool:
    """Return whether a path is a project's own, not of an installed package or of Assay."""
    if not path.startswith(f"{root}/"):
        return False
    return "site-packages" not in path and not path.startswith(PACKAGE)


class ProjectFinder:
    """Finds modules as Python's own finder does, and lets those of a project be loaded from source.

    `note` is called with the name, the path and the origin of modules of the project, and of those
    that are not found.
    """

    def __init__(self, root: str, note: Note) -> None:
        self.root = root
        self.note: Note | None = note

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        origin = (spec.origin if spec else None) or ""
        ours = origin.endswith(".py") and is_below(self.root, origin)
        if self.note and (ours or spec is None):
            self.note(name, path, origin or None)
        if spec and ours and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _SourceLoader(name, origin)
            spec.cached = None
        return spec


class _SourceLoader(SourceFileLoader):
    """Loads the compiled file of exactly this source, by hash (PEP 552), or compiles the source.

    Python also accepts files by size and time in seconds, so they may be of an earlier edit.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        text, compiled = self.get_data(path), importlib.util.cache_from_source(path)
        head = importlib.util.MAGIC_NUMBER + _CHECKED + importlib.util.source_hash(text)
        # The compiled file may be missing or damaged.
        with suppress(OSError, EOFError, ValueError, TypeError, ImportError):
            if self.get_data(compiled).startswith(head):
                return super().get_code(fullname)  # type: ignore[return-value]  # it has a source
        code: CodeType = compile(text, path, "exec", dont_inherit=True)
        if not sys.dont_write_bytecode:
            with suppress(OSError, py_compile.PyCompileError):
                py_compile.compile(path, compiled, doraise=True, invalidation_mode=_BY_HASH)
        return code

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, MARK, True)
        super().exec_module(module)
