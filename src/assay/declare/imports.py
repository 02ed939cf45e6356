"""Imports the user's definition modules, always from their source, and says where in their own code it failed."""

import ast
import difflib
import hashlib
import importlib
import importlib.util
import py_compile
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from msgspec import Struct, field

from assay.config import PACKAGE, Config
from assay.declare.accesses import Accesses, noticing
from assay.declare.exits import guard
from assay.declare.files import definition_files
from assay.declare.pysource import Known, SourceTree
from assay.declare.words import Declaration, collecting
from assay.errors import Problem, words_of
from assay.model import Where
from assay.store.files import not_a_file

_MARK = "__loaded_by_assay__"
_BY_HASH = py_compile.PycInvalidationMode.CHECKED_HASH
_CHECKED = (0b11).to_bytes(4, "little")  # what compiled files say of being so
_roots: dict[
    str, bool
] = {}  # of the projects of this process: whether it was us who put it on the path


class Loaded(Struct):
    """The definition modules as imported: what they declared, what went wrong, and the files that they are made of."""

    modules: dict[str, ModuleType] = field(default_factory=dict)
    declarations: list[Declaration] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def load(config: Config, local: "Local", only: Path | None = None) -> Loaded:
    """Import every module under the definitions folder, sub-folders too, in order of their paths; or `only` one."""
    guard()
    loaded = Loaded()
    top = Path(config.definitions).parts[0]
    for name in [n for n, m in sys.modules.items() if _is_from_before(m) or _shadows(n, top)]:
        del sys.modules[name]
    before = set(sys.modules)
    with local.importing(), collecting() as declarations:
        for file in definition_files(config):
            if only in {None, file}:
                _import(file, config, loaded)
    loaded.declarations = list(declarations)
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        path = str(getattr(module, "__file__", None) or "")
        if local.owns(path):
            loaded.files.append(Path(path))
    return loaded


def domain_of(config: Config, module: str) -> str:
    """Return the first folder or module below the definitions folder."""
    below = module.split(".")[len(Path(config.definitions).parts) :]
    return below[0] if below else module.rpartition(".")[2]


def _import(file: Path, config: Config, loaded: Loaded) -> None:
    relative = file.relative_to(config.root)
    parts = relative.with_suffix("").parts
    if odd := [part for part in parts if not part.isidentifier()]:
        told = f"{odd[0]!r} cannot be imported"
        loaded.problems.append(
            Problem(
                what=told, where=Where(str(relative)), hint="Rename it: letters, digits and _ only."
            )
        )
        return
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if kind := not_a_file(file):  # importing it might never end
        loaded.problems.append(
            Problem(what=f"{kind} cannot be imported", where=Where(str(relative)))
        )
        return
    try:
        loaded.modules[name] = importlib.import_module(name)
    except MemoryError:  # it is no mistake in there
        raise
    except (Exception, SystemExit) as error:
        loaded.broken.add(name)
        loaded.problems.append(_failure(error, file, config.root))


def _failure(error: BaseException, file: Path, root: Path) -> Problem:
    """Return the problem of a module that could not be imported, at the user's own line."""
    relative = str(file.relative_to(root))
    if isinstance(error, SyntaxError) and error.filename:
        place = Path(error.filename)
        where = Where(
            str(place.relative_to(root)) if place.is_relative_to(root) else relative,
            error.lineno or 0,
        )
        return Problem(
            what=f"cannot be imported: {error.msg}", where=where, hint=(error.text or "").strip()
        )
    frames = [
        f
        for f in traceback.extract_tb(error.__traceback__)
        if Path(f.filename).is_relative_to(root)
    ]
    frames = [f for f in frames if not f.filename.startswith(PACKAGE)]
    what = f"cannot be imported: {type(error).__name__}: {words_of(error)}{_meant(error)}"
    if not frames:
        return Problem(what=what, where=Where(relative))
    last = frames[-1]
    where = Where(str(Path(last.filename).relative_to(root)), last.lineno or 0)
    return Problem(what=what, where=where, hint=(last.line or "").strip())


def _meant(error: BaseException) -> str:
    """Return what may have been meant by a name that a thing does not have."""
    close: list[str] = []
    if isinstance(error, AttributeError) and error.name:
        with suppress(Exception):  # what a thing says it has may be the user's code, too
            close = difflib.get_close_matches(error.name, dir(error.obj), n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def _is_from_before(module: ModuleType) -> bool:
    """Say whether a module is of a project as it was read before, this one or another, whoever imported it since."""
    if type(module) is ModuleType:  # most are, and to ask them one by one takes longer
        said = vars(module)
    else:
        said = {
            name: getattr(module, name)
            for name in ("__file__", "__path__", _MARK)
            if hasattr(module, name)
        }
    folders = () if said.get("__file__") else said.get("__path__", ())
    return said.get(_MARK, False) or any(
        _is_below(root, place) for root in _roots for place in folders
    )


def _shadows(name: str, top: str) -> bool:
    """Say whether a module loaded before stands where a definition module (of another project, say) would."""
    return name.partition(".")[0] == top and not name.startswith("assay")


def _is_below(root: str, path: str) -> bool:
    """Say whether a path is a project's own: not that of an installed package, or of Assay."""
    return (
        path.startswith(f"{root}/") and "site-packages" not in path and not path.startswith(PACKAGE)
    )


def _behind(chain: str, space: Mapping[str, object]) -> object:
    """Return what a dotted name stands for, through modules."""
    root, *rest = chain.split(".")
    value = space.get(root)
    for name in rest:
        value = getattr(value, name, None) if isinstance(value, ModuleType) else None
    return value


class Local:
    """What belongs to a project: Python files below its root, other than installed packages and Assay itself."""

    def __init__(self, config: Config, recalled: Mapping[str, Known] | None = None) -> None:
        self._recalled = recalled or {}
        self.known: dict[
            str, Known
        ] = {}  # what the functions of files say, by the SHA-256 of a file
        self.root = str(config.root)
        self.state = str(config.state)
        self.accesses = Accesses(
            owns=self.owns, contains=self.contains
        )  # what modules read while they were imported
        self.searched: set[str] = set()  # folders in which code looks for modules, with a / behind
        self._fills: dict[tuple[str, int], tuple[object, list[tuple[ModuleType, ast.stmt]]]] = {}
        self.looked_at: set[Path] = set()  # files whose syntax was read
        self.absent: set[Path] = (
            set()
        )  # where a module was looked for, and would be found first if it were there
        self.tree_of = cache(self._tree_of)
        self.inside = cache(self._inside)

    def owns(self, file: str) -> bool:
        """Say whether a file is project-local code."""
        return file.endswith(".py") and self.contains(file)

    def contains(self, path: str) -> bool:
        """Say whether a path is the project's own."""
        return _is_below(self.root, path)

    def _inside(self, file: str) -> str:
        """Return a file as told from the root, when it is below that."""
        path = Path(file)
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else file

    def _tree_of(self, file: str) -> SourceTree | None:
        if not self.owns(file):
            return None
        self.looked_at.add(Path(file))
        text = Path(file).read_bytes()
        sha = hashlib.sha256(text).hexdigest()
        tree = SourceTree(text, file, dict(self._recalled.get(sha, {})))
        self.known[sha] = tree.known
        return tree

    def load(self, name: str) -> ModuleType | None:
        """Import a module of the project, if it is one: what a function imports only when it runs."""
        if name not in sys.modules:
            try:
                with self.importing():
                    spec = importlib.util.find_spec(name)
                    if not (spec and self.owns(spec.origin or "")):
                        return None
                    importlib.import_module(name)
            except Exception:  # it fails where it is used, and says so there
                return None
        return sys.modules.get(name)

    def fills_of(self, name: str, value: object) -> list[tuple[ModuleType, ast.stmt]]:
        """Return the statements of modules of the project that may put something into a value, which one calls so."""
        key = (name, id(value))
        if key not in self._fills:
            self._fills[key] = (
                value,
                list(self._statements_on(name, value)),
            )  # alive, so that its id is its own
        return self._fills[key][1]

    def _statements_on(self, name: str, value: object) -> Iterator[tuple[ModuleType, ast.stmt]]:
        for _, module in sorted(sys.modules.items()):
            tree = self.tree_of(getattr(module, "__file__", None) or "")
            if tree is None:
                continue
            for called in {name, *(label for label, of in vars(module).items() if of is value)}:
                for chain, statement in tree.fills(called):
                    if _behind(chain, vars(module)) is value:
                        yield module, statement

    def modules_in(self, folder: str) -> list[str]:
        """Return the files of the project's modules in a folder and those below."""
        inside = [Path(folder), *(path for path in Path(folder).rglob("*") if path.is_dir())]
        inside = [path for path in inside if not path.name.startswith((".", "__pycache__"))]
        self.searched.update(f"{path}/" for path in inside)
        return sorted(
            str(file) for path in inside for file in path.glob("*.py") if self.owns(str(file))
        )

    def read_by(self, file: str | None = None) -> list[str]:
        """Return what a module (any, unless given) read while it was imported: files, and folders with a / behind."""
        files = [path for path, by in self.accesses.files.items() if not file or file in by]
        folders = [
            f"{path}/" for path, by in self.accesses.folders.items() if not file or file in by
        ]
        folders = [
            path
            for path in folders
            if not any(part.startswith(".") for part in Path(self.inside(path)).parts)
        ]
        apart = f"{self.state}/"
        return sorted(
            path
            for path in [*files, *folders]
            if "__pycache__" not in path and not path.startswith(apart)
        )

    def note_absent(self, name: str, path: Sequence[str] | None, found: str | None) -> None:
        """Note the project's own files that would have been this module, had they been there."""
        tail = name.rpartition(".")[2]
        for folder in path or [self.root]:
            if self.contains(f"{folder}/"):
                for file in (Path(folder) / tail / "__init__.py", Path(folder) / f"{tail}.py"):
                    if str(file) == found:
                        break
                    self.absent.add(file)

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Let the project's modules be imported from the root, from source; also those that functions import later."""
        importlib.invalidate_caches()
        _roots.setdefault(self.root, self.root not in sys.path)
        others = {
            root for root, ours in _roots.items() if ours
        }  # a module of another project is none of this one
        sys.path[:] = [
            self.root,
            *(place for place in sys.path if place not in {self.root, *others}),
        ]
        finder = _FromSource(self.root, self.note_absent)
        finders = [other for other in sys.meta_path if not isinstance(other, _FromSource)]
        at = finders.index(PathFinder) if PathFinder in finders else len(finders)
        sys.meta_path[:] = [*finders[:at], finder, *finders[at:]]
        try:
            with (
                redirect_stdout(sys.stderr),
                noticing(self.accesses),
            ):  # what users' code prints is not what we say
                yield
        finally:
            finder.note = None


class _FromSource:
    """Finds what Python's own finder does, and lets a project's modules be loaded as they are in their files."""

    def __init__(
        self, root: str, note: Callable[[str, Sequence[str] | None, str | None], None]
    ) -> None:
        self.root = root
        self.note: Callable[[str, Sequence[str] | None, str | None], None] | None = note

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target)
        origin = (spec.origin if spec else None) or ""
        ours = origin.endswith(".py") and _is_below(self.root, origin)
        if self.note and (ours or spec is None):
            self.note(name, path, origin or None)
        if spec and ours and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _SourceLoader(name, origin)
            spec.cached = None
        return spec


class _SourceLoader(SourceFileLoader):
    """Loads what was compiled of this very source, by its hash (PEP 552), or compiles it.

    Python finds compiled files valid by whole seconds and size, too, so that they can be of an earlier edit.
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        text, compiled = self.get_data(path), importlib.util.cache_from_source(path)
        head = importlib.util.MAGIC_NUMBER + _CHECKED + importlib.util.source_hash(text)
        with suppress(
            OSError, EOFError, ValueError, TypeError, ImportError
        ):  # it is not there, or damaged
            if self.get_data(compiled).startswith(head):
                return super().get_code(fullname)  # type: ignore[return-value]  # it has a source
        code: CodeType = compile(text, path, "exec", dont_inherit=True)
        if not sys.dont_write_bytecode:
            with suppress(OSError, py_compile.PyCompileError):
                py_compile.compile(path, compiled, doraise=True, invalidation_mode=_BY_HASH)
        return code

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, _MARK, True)
        super().exec_module(module)
