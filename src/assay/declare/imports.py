"""Imports the user's definition modules, and finds the line of their own code that failed."""

import ast
import difflib
import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, TracebackType

from msgspec import Struct, field

from assay.config import PACKAGE, Config
from assay.declare.accesses import Accesses, noticing
from assay.declare.calls import wrong_call
from assay.declare.exits import guard
from assay.declare.finder import MARK, ProjectFinder, is_below
from assay.declare.pysource import DigestCache, SourceTree
from assay.declare.words import Collected, collecting
from assay.errors import Problem, words_of
from assay.model import Where
from assay.store.files import not_a_file

# The roots of the projects of this process, and whether Assay put each on `sys.path`.
_roots: dict[str, bool] = {}


class Loaded(Struct):
    """The imported definition modules: declarations, problems, and the files of all own modules."""

    modules: dict[str, ModuleType] = field(default_factory=dict)
    declarations: list[Collected] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)


def load(config: Config, local: "Local", paths: Iterable[str]) -> Loaded:
    """Import definition modules, by their paths relative to the root, in this order."""
    guard()
    loaded = Loaded()
    top = Path(config.definitions).parts[0]
    stale = [
        name
        for name, module in list(sys.modules.items())  # a thread may import meanwhile
        if _is_from_before(module) or _shadows(name, top)
    ]
    for name in stale:  # only now: the path of a package without a file is looked up in its parent
        del sys.modules[name]
    before = set(sys.modules)
    with local.importing(), collecting() as declarations:
        for path in paths:
            _import(path, config, loaded)
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


def _import(path: str, config: Config, loaded: Loaded) -> None:
    parts = path.removesuffix(".py").split("/")
    where = Where(path)
    for part in parts:
        if not part.isidentifier():
            message = f"{part!r} cannot be imported"
            hint = "Rename it: letters, digits and _ only."
            loaded.problems.append(Problem(what=message, where=where, hint=hint))
            return
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    if kind := not_a_file(config.root / path):  # importing it might never end
        loaded.problems.append(Problem(what=f"{kind} cannot be imported", where=where))
        return
    try:
        loaded.modules[name] = importlib.import_module(name)
    except MemoryError:  # no mistake of the module
        raise
    except (Exception, SystemExit) as error:
        loaded.broken.add(name)
        loaded.problems.append(failure(error, "cannot be imported", where, config.root))


def failure(error: BaseException, what: str, where: Where, root: Path) -> Problem:
    """Return the problem of code that raised an error, at the user's own line; else at `where`."""
    if isinstance(error, SyntaxError) and error.filename:
        path = Path(error.filename)
        shown = str(path.relative_to(root)) if path.is_relative_to(root) else where.file
        return Problem(
            what=f"{what}: {error.msg}",
            where=Where(shown, error.lineno or 0),
            hint=(error.text or "").strip(),
        )
    meant = wrong_call(error, _last_of_project(error, root))
    message = f"{what}: {type(error).__name__}: {meant or words_of(error)}{_did_you_mean(error)}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(root) and not frame.filename.startswith(PACKAGE)
    ]
    if not frames:
        return Problem(what=message, where=where)
    last = frames[-1]
    where = Where(str(Path(last.filename).relative_to(root)), last.lineno or 0)
    return Problem(what=message, where=where, hint=(last.line or "").strip())


def _last_of_project(error: BaseException, root: Path) -> TracebackType | None:
    """Return where the project's code was when it raised an error, or called what did."""
    last, place = None, error.__traceback__
    while place:
        if Path(place.tb_frame.f_code.co_filename).is_relative_to(root):
            last = place
        place = place.tb_next
    return last


def _did_you_mean(error: BaseException) -> str:
    """Return a suggestion for an attribute that does not exist; '' for none."""
    close: list[str] = []
    if isinstance(error, AttributeError) and error.name:
        with suppress(Exception):  # dir() may run the user's code
            close = difflib.get_close_matches(error.name, dir(error.obj), n=1)
    return f": did you mean {close[0]!r}?" if close else ""


def _is_from_before(module: ModuleType) -> bool:
    """Return whether a module was imported when a project was read before, this one or another."""
    if type(module) is ModuleType:  # most are, and vars() is quicker than getattr()
        attributes = vars(module)
    else:
        names = ("__file__", "__path__", MARK)
        attributes = {name: getattr(module, name) for name in names if hasattr(module, name)}
    if attributes.get(MARK, False):
        return True
    folders = () if attributes.get("__file__") else attributes.get("__path__", ())
    return any(is_below(root, folder) for folder in folders for root in _roots)


def _shadows(name: str, top: str) -> bool:
    """Return whether an imported module, of another project, say, has a definition module's name."""
    return name.partition(".")[0] == top and not name.startswith("assay")


def _value_of(chain: str, space: Mapping[str, object]) -> object:
    """Return the value of a dotted name, `module.module.name`; None if there is none."""
    root, *rest = chain.split(".")
    value = space.get(root)
    for name in rest:
        value = getattr(value, name, None) if isinstance(value, ModuleType) else None
    return value


class Local:
    """The code of a project: Python files below its root, without installed packages and Assay."""

    def __init__(self, config: Config, recalled: Mapping[str, DigestCache] | None = None) -> None:
        self.root = str(config.root)
        self.state = str(config.state)
        self._recalled = recalled or {}
        self.caches: dict[str, DigestCache] = {}  # by the SHA-256 of a file
        self.parsed_files: set[Path] = set()
        # Files that do not exist, and would be imported first if they did.
        self.absent: set[Path] = set()
        # Folders in which code looks for modules, each with a / at its end.
        self.searched_folders: set[str] = set()
        # What modules read while they were imported.
        self.accesses = Accesses(owns=self.owns, contains=self.contains)
        # By name and id of a value, which is stored too: while it is alive, no other has its id.
        self._fills: dict[tuple[str, int], tuple[object, list[tuple[ModuleType, ast.stmt]]]] = {}
        self.tree_of = cache(self._tree_of)
        self.inside = cache(self._inside)

    def owns(self, file: str) -> bool:
        """Return whether a file is the project's code."""
        return file.endswith(".py") and self.contains(file)

    def contains(self, path: str) -> bool:
        """Return whether a path is the project's own."""
        return is_below(self.root, path)

    def _inside(self, file: str) -> str:
        """Return a file relative to the root, if it is below it."""
        path = Path(file)
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else file

    def _tree_of(self, file: str) -> SourceTree | None:
        if not self.owns(file):
            return None
        self.parsed_files.add(Path(file))
        text = Path(file).read_bytes()
        sha = hashlib.sha256(text).hexdigest()
        tree = SourceTree(text, file, dict(self._recalled.get(sha, {})))
        self.caches[sha] = tree.cache
        return tree

    def load(self, name: str) -> ModuleType | None:
        """Import a module that a function imports when it runs; None for modules of others."""
        if name not in sys.modules:
            try:
                with self.importing():
                    spec = importlib.util.find_spec(name)
                    if not (spec and self.owns(spec.origin or "")):
                        return None
                    importlib.import_module(name)
            except Exception:  # the error is raised again where the module is used
                return None
        return sys.modules.get(name)

    def fills_of(self, name: str, value: object) -> list[tuple[ModuleType, ast.stmt]]:
        """Return the statements of the project that may put something into a value of this name."""
        key = (name, id(value))
        if key not in self._fills:
            self._fills[key] = (value, list(self._statements_on(name, value)))
        return self._fills[key][1]

    def _statements_on(self, name: str, value: object) -> Iterator[tuple[ModuleType, ast.stmt]]:
        for _, module in sorted(sys.modules.items()):
            tree = self.tree_of(getattr(module, "__file__", None) or "")
            if tree is None:
                continue
            space = vars(module)
            labels = {label for label, bound in space.items() if bound is value}
            for label in {name, *labels}:
                for chain, statement in tree.fills(label):
                    if _value_of(chain, space) is value:
                        yield module, statement

    def modules_in(self, folder: str) -> list[str]:
        """Return the files of the project's modules in a folder and below it, sorted."""
        folders = [Path(folder), *(path for path in Path(folder).rglob("*") if path.is_dir())]
        folders = [path for path in folders if not path.name.startswith((".", "__pycache__"))]
        self.searched_folders.update(f"{path}/" for path in folders)
        files = [str(file) for path in folders for file in path.glob("*.py")]
        return sorted(file for file in files if self.owns(file))

    def read_by(self, file: str | None = None) -> list[str]:
        """Return what a module's file (None: all) read during import, sorted; folders end with a /."""
        paths = [path for path, by in self.accesses.files.items() if not file or file in by]
        for path, by in self.accesses.folders.items():
            hidden = any(part.startswith(".") for part in Path(self.inside(f"{path}/")).parts)
            if not hidden and (not file or file in by):
                paths.append(f"{path}/")
        state = f"{self.state}/"
        return sorted(
            path for path in paths if "__pycache__" not in path and not path.startswith(state)
        )

    def note_absent(self, name: str, path: Sequence[str] | None, origin: str | None) -> None:
        """Record the files that would be imported instead of `origin`, if they existed."""
        tail = name.rpartition(".")[2]
        for folder in path or [self.root]:
            if self.contains(f"{folder}/"):
                for file in (Path(folder) / tail / "__init__.py", Path(folder) / f"{tail}.py"):
                    if str(file) == origin:
                        break
                    self.absent.add(file)

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Let the project's modules be imported, from the root and from source; also by functions."""
        importlib.invalidate_caches()
        _roots.setdefault(self.root, self.root not in sys.path)
        # Modules of another project of this process are not importable.
        roots = {self.root, *(root for root, is_added in _roots.items() if is_added)}
        sys.path[:] = [self.root, *(place for place in sys.path if place not in roots)]
        project_finder = ProjectFinder(self.root, self.note_absent)
        finders = [finder for finder in sys.meta_path if not isinstance(finder, ProjectFinder)]
        at = finders.index(PathFinder) if PathFinder in finders else len(finders)
        sys.meta_path[:] = [*finders[:at], project_finder, *finders[at:]]
        try:
            # What the user's code prints is not part of a command's output.
            with redirect_stdout(sys.stderr), noticing(self.accesses):
                yield
        finally:
            project_finder.note = None
