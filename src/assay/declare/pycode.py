"""Digests of Python code, by value and by reach: the function and every project-local function, class and constant that
it can get to, each by its syntax tree, so that comments, docstrings and layout do not count. What cannot be read by
value counts by the statements that mention it, or by the whole file that it stands in; when in doubt it builds.
"""

import ast
import enum
import functools
import inspect
import re
import sys
import types
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from msgspec import Struct, field

from assay.declare.pysource import SourceDigest, SourceTree, absolute, is_ours, say
from assay.plan.digests import digest

_AT_HOME = (types.FunctionType, types.BuiltinFunctionType, type)
_CLOCKS = {
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "time.time",
    "time.time_ns",
}
_LOOKS_FOR_MODULES = {
    "importlib.import_module",
    "importlib.util.spec_from_file_location",
    "pkgutil.iter_modules",
    "pkgutil.walk_packages",
    "runpy.run_module",
    "runpy.run_path",
    "__import__",
}
_OF_THE_PROCESS = (
    "modules",
    "argv",
    "path",
    "path_importer_cache",
)  # of sys: they differ from one to the next
_PLAIN: set[Any] = {
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    Decimal,
    date,
    datetime,
    time,
    timedelta,
    range,
}


class _Bound(Struct, frozen=True):
    """The module-level name that is being visited: its file, and the module's names."""

    name: str
    file: str
    space: Mapping[str, Any]


class CodeDigest(Struct):
    """One walk over what a function or class can get to.

    `tree_of` gives the syntax tree of a project-local file, or None for one that is not the project's; `load` imports a
    project-local module that a function imports only when it runs; `origin` is the file that declares; `salt_of` gives
    what goes into values of a file that cannot be read: a digest of what that module read as it was imported.
    `fills_of` gives the statements of all modules that may put something into what is called so, and `modules_in` the
    files of the modules in a folder, for code that looks for them when it runs.
    With `registers`, what is in containers that others may fill does not count: it is a registration that counts.
    `clocks` gathers the calls that ask what time it is: by file and name, the line from which on it stands, and whether
    that is asked as the module is imported.
    """

    tree_of: Callable[[str], SourceTree | None]
    load: Callable[[str], types.ModuleType | None] = sys.modules.get
    origin: str = ""
    salt_of: Callable[[str], str] = lambda file: ""
    fills_of: Callable[[str, Any], Sequence[tuple[types.ModuleType, ast.stmt]]] = (
        lambda name, value: ()
    )
    modules_in: Callable[[str], Sequence[str]] = lambda folder: ()
    registers: bool = False
    clocks: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    _parts: dict[str, str] = field(default_factory=dict)
    _foreign: set[str] = field(default_factory=set)
    _seen: dict[int, tuple[Any, str]] = field(
        default_factory=dict
    )  # by id: a value, and what it is called
    _homes: Counter[str] = field(default_factory=Counter)
    _meant: list[tuple[str, str]] = field(
        default_factory=list
    )  # names, and what they stand for, where that differs
    _bound: _Bound | None = None
    _told: dict[tuple[str, str, bool], list[str]] = field(
        default_factory=dict
    )  # of names: what tells their values
    _held: bool = (
        False  # whether what is visited is held by a container, which others may have filled
    )

    @property
    def parts(self) -> dict[str, str]:
        """All that was reached, by name; what is not of this project counts by its names alone.

        What names stand for is a part of its own: two things that are reached may change places.
        """
        names = [sorted(self._foreign), self._meant]
        return {**self._parts, **({"names": digest(names)} if any(names) else {})}

    def visit_statements(
        self, name: str, said: SourceDigest, space: Mapping[str, Any], file: str
    ) -> None:
        """Add what statements of a module say, and all they reach, to the parts."""
        self._note(name, said.digest)
        self._reached(said, space, file)

    def visit(self, name: str, value: Any, module: str = "") -> None:
        """Add what `value` is, and all it reaches, to the parts; `module` is the file that refers to it."""
        if _is_plain(value):
            self._add(name, repr(value))
            if isinstance(value, date | time) and self._bound:
                self._told_of(self._bound, module, frozenset())  # it may be what a clock said
            return
        if any(value is getattr(sys, of) for of in _OF_THE_PROCESS):
            return
        known = self._seen.get(id(value))
        _, called = self._seen[id(value)] = known or (
            value,
            self._called(name, value),
        )  # alive, so no id is used twice
        if called != name and not called.endswith(f".{name}"):
            self._meant.append((name, called))
        if known:
            return
        match value:
            case types.FunctionType():
                self._function(value)
            case type():
                self._class(value)
            case types.ModuleType():
                self._module(value)
            case functools.partial():
                self._all(name, [value.func, value.args, value.keywords], module)
            case types.MethodType():
                self._all(name, [value.__func__, value.__self__], module)
            case classmethod() | staticmethod():
                self.visit(name, value.__func__, module)
            case property():
                self._all(name, [value.fget, value.fset], module)
            case enum.Enum():
                self.visit(type(value).__qualname__, type(value), module)
                self._all(name, [value.name, value.value], module)
            case list() | tuple() | set() | frozenset() | dict() | deque():
                self._container(name, value, module)
            case types.MappingProxyType():
                self._container(name, dict(value), module)
            case types.SimpleNamespace():
                self._container(name, vars(value), module)
            case types.BuiltinFunctionType():
                self._foreign.add(f"{value.__module__}.{value.__qualname__}")
            case re.Pattern():
                self._add(name, [value.pattern, value.flags])
            case types.GenericAlias() | types.UnionType():
                self._all(name, [value.__args__], module)
            case _ if type(value).__module__ == "typing":
                hint = [str(getattr(value, "__origin__", value)), getattr(value, "__args__", ())]
                self._all(name, [*hint, getattr(value, "__metadata__", ())], module)
            case _ if type(value).__module__ == "polars.datatypes.classes":
                self._add(name, repr(value))
            case _:
                self._opaque(name, value, module)

    def _called(self, name: str, value: Any) -> str:
        """Return what tells a value from all others that are reached: where it is at home, or who first named it."""
        if not (home := _home(value)):
            return name
        self._homes[home] += 1
        return home if self._homes[home] == 1 else f"{home} {self._homes[home]}"

    def _all(self, name: str, values: Iterable[Any], module: str) -> None:
        for index, value in enumerate(values):
            self.visit(f"{name}.{index}", value, module)

    def _container(self, name: str, value: Any, module: str) -> None:
        if self.registers and self._bound and not isinstance(value, tuple | frozenset):
            self._add(
                name, self._told_once(module, filled=False)
            )  # of what others put there, each counts on its own
            return
        items = list(value.items()) if isinstance(value, dict) else list(value)
        if isinstance(value, dict | set | frozenset):
            items.sort(key=lambda item: _sorting(item[0] if isinstance(value, dict) else item))
        self._add(name, [type(value).__name__, len(items)])
        before, self._held = self._held, True
        self._all(name, items, module)
        self._held = before
        if type(value).__module__ != "builtins":
            self.visit(type(value).__qualname__, type(value), module)
            self.visit(f"{name}.default", getattr(value, "default_factory", None), module)

    def _function(self, function: types.FunctionType) -> None:
        file = function.__code__.co_filename
        tree = self.tree_of(file)
        name = f"{function.__module__}.{function.__qualname__}"
        if tree is not None:
            space = function.__globals__
            said = tree.says(function.__code__.co_firstlineno, space)
            self._note(name, said.digest if said else digest(_bytecode(function.__code__)))
            at = function.__code__.co_firstlineno if said else None
            self._reached(said or say(tree.module, space), space, file, at)
            self._values_of(name, vars(function), file)
        elif file.startswith("<"):  # made by exec: there is no file to read
            self._add(name, _bytecode(function.__code__))
            self._reached(
                SourceDigest("", set(_names(function.__code__)), [], {}), function.__globals__, file
            )
        else:
            self._foreign.add(name)
        for label, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if _filled(cell):
                self.visit(f"{name}.{label}", cell.cell_contents, file)
        for label, default in (function.__kwdefaults__ or {}).items():
            self.visit(f"{name}.{label}", default, file)
        self._all(f"{name}.defaults", function.__defaults__ or (), file)
        if hasattr(function, "__wrapped__"):
            self.visit(name, function.__wrapped__, file)

    def _class(self, cls: type) -> None:
        name = f"{cls.__module__}.{cls.__qualname__}"
        space = _module_space(cls)
        file = str(space.get("__file__") or "")
        tree = self.tree_of(file)
        if tree is None:
            self._foreign.add(name)
            return
        said = say(node := tree.named(cls.__qualname__), space)
        self._note(name, said.digest)
        self._reached(said, space, file, getattr(node, "lineno", None))
        for value in map(_underlying, vars(cls).values()):
            if isinstance(value, types.FunctionType):
                self.visit(name, value, file)
        self._values_of(name, vars(cls), file)
        for base in cls.__bases__:
            self.visit(name, base, file)

    def _values_of(self, name: str, attributes: Mapping[str, Any], file: str) -> None:
        """Visit the plain values among attributes: they may have been set elsewhere than in the definition."""
        for label, value in sorted(attributes.items()):
            if not label.startswith("__") and (
                _is_plain(value) or isinstance(value, types.FunctionType)
            ):
                self.visit(f"{name}.{label}", value, file)

    def _module(self, module: types.ModuleType) -> None:
        file = getattr(module, "__file__", None) or ""
        tree = self.tree_of(file)
        if tree is None:
            self._foreign.add(module.__name__)
            return
        self._add(module.__name__, tree.whole)
        self._reached(say(tree.module, vars(module)), vars(module), file)
        for name, value in sorted(vars(module).items()):
            if isinstance(
                value, types.ModuleType | types.FunctionType | type
            ) and not name.startswith("__"):
                self.visit(f"{module.__name__}.{name}", value, file)

    def _reached(
        self, said: SourceDigest, space: Mapping[str, Any], file: str, line: int | None = None
    ) -> None:
        """Visit what the names in a piece of source stand for, and what it imports when it runs.

        `line` is where it begins; None for what may hold more than is reached.
        """
        imported = dict(_imported(said.imports))
        for name in sorted(said.names):
            self._clock(name, imported, space, file, (line, False) if line else None)
            self._name(name.split("."), space, file)
            if name.endswith(".__subclasses__"):
                self._subclasses(space.get(name.partition(".")[0]), file)
        if any(_stands_for(name, imported, space) in _LOOKS_FOR_MODULES for name in said.names):
            self._plugins(said.names, space, file)
        for inner in said.imports:
            if isinstance(inner, ast.Import):
                for alias in inner.names:
                    self.visit(alias.name, self.load(alias.name), file)
            else:
                self._imported(inner, space, file)

    def _clock(
        self,
        name: str,
        imported: Mapping[str, str],
        space: Mapping[str, Any],
        file: str,
        at: tuple[int, bool] | None,
    ) -> None:
        """Note a dotted name that stands for a clock."""
        if at and _stands_for(name, imported, space) in _CLOCKS:
            self.clocks.setdefault((file, name), at)

    def _subclasses(self, value: Any, file: str) -> None:
        """Visit what a class finds when it asks for those made of it."""
        classes: list[type] = type.__subclasses__(value) if isinstance(value, type) else []
        for cls in sorted(classes, key=_home):
            self.visit(cls.__qualname__, cls, file)
            self._subclasses(cls, file)

    def _plugins(self, names: Iterable[str], space: Mapping[str, Any], file: str) -> None:
        """Add all modules that code may find as it runs: those of the packages that it names, or beside its own."""
        folders = {folder for name in names for folder in self._folders(name.split("."), space)}
        for folder in sorted(folders or {str(PurePath(file).parent)}):
            for found in self.modules_in(folder):
                if tree := self.tree_of(found):
                    self._add(
                        f"{PurePath(folder).name}/{PurePath(found).relative_to(folder)}", tree.whole
                    )

    def _folders(self, chain: Sequence[str], space: Mapping[str, Any]) -> list[str]:
        """Return the folders of the package of the project's own that a dotted name leads to."""
        value: Any = space.get(chain[0])
        for name in chain[1:]:
            inner = getattr(value, name, None) if isinstance(value, types.ModuleType) else None
            value = inner if isinstance(inner, types.ModuleType) else value
        is_package = (
            isinstance(value, types.ModuleType)
            and hasattr(value, "__path__")
            and self._is_own(value)
        )
        return list(value.__path__) if is_package else []

    def _imported(self, node: ast.ImportFrom, space: Mapping[str, Any], file: str) -> None:
        base = absolute(node, space.get("__package__") or "")
        for alias in node.names:
            module = self.load(base)
            if module is not None and alias.name != "*" and hasattr(module, alias.name):
                self._name([alias.name], vars(module), getattr(module, "__file__", None) or "")
            else:
                self.visit(base, module, file)
                self.visit(f"{base}.{alias.name}", self.load(f"{base}.{alias.name}"), file)

    def _name(self, chain: Sequence[str], space: Mapping[str, Any], file: str) -> None:
        """Visit what a dotted name stands for, going through the project's own modules to what is meant in them."""
        name, *rest = chain
        if name not in space and "__getattr__" in space:
            self.visit(f"{space.get('__name__', '')}.__getattr__", space["__getattr__"], file)
        if name not in space or (name.startswith("__") and name.endswith("__")):
            return
        value = space[name]
        if isinstance(value, types.ModuleType) and rest and self._is_own(value):
            self._meant.append((name, value.__name__))
            self._name(rest, vars(value), getattr(value, "__file__", None) or "")
            return
        before, self._bound = self._bound, _Bound(name, file, space)
        self.visit(f"{space.get('__name__', '')}.{name}", value, file)
        self._bound = before

    def _is_own(self, module: types.ModuleType) -> bool:
        """Say whether a module is the project's: by its file, or, without one, as a folder of modules."""
        file = getattr(module, "__file__", None)
        return file is None or self.tree_of(file) is not None

    def _opaque(self, name: str, value: Any, module: str) -> None:
        kind = type(value)
        if (
            kind.__module__.partition(".")[0] == "assay"
        ):  # a declaration of ours: an input by name, or metadata,
            self.visit(
                name, getattr(value, "make", None), module
            )  # but a product's function can be called
            return
        self.visit(name, getattr(value, "__wrapped__", None), module)
        self.visit(f"{kind.__module__}.{kind.__qualname__}", kind, module)
        own_kind = self.tree_of(str(_module_space(kind).get("__file__") or "")) is not None
        told = self._told_once(module, filled=self._held or own_kind)
        self._add(name, [kind.__qualname__, told])
        for base in _PLAIN - {type(None), bool, range}:
            if isinstance(value, base):  # a kind of number or text of the user's own
                self._add(f"{name}.value", base.__repr__(value))
        if isinstance(value, BaseException):
            self.visit(f"{name}.args", value.args, module)
        if own_kind:
            for label in sorted(_labels(value)):
                self.visit(f"{name}.{label}", getattr(value, label, None), module)

    def _told_once(self, module: str, *, filled: bool) -> list[str]:
        """Return what tells the value of the name that is visited, with what others `filled` it with."""
        if self._bound is None:
            return self._told_of(None, module, frozenset())
        key = self._bound.file, self._bound.name, filled
        if key not in self._told:
            self._told[key] = []  # it may lead back here
            told = self._told_of(self._bound, module, frozenset())
            self._told[key] = told + (self._filled(self._bound) if filled else [])
        return self._told[key]

    def _told_of(
        self, bound: _Bound | None, module: str, through: frozenset[tuple[str, str]]
    ) -> list[str]:
        """Return digests of the source that tells what a value is, the statements on its name or whole files, and of
        what that read as it was imported.
        """
        if bound is None:
            files = [(file, tree) for file in (module, self.origin) if (tree := self.tree_of(file))]
            return [told for file, tree in files for told in (tree.whole, self.salt_of(file))]
        tree = self.tree_of(bound.file)
        if tree is None or (bound.file, bound.name) in through:
            return []
        through |= {(bound.file, bound.name)}
        told = []
        for there, name in tree.imported(bound.name, bound.space.get("__package__") or ""):
            origin = _Bound(name, getattr(there, "__file__", None) or "", vars(there))
            told += self._told_of(origin, module, through)
        statements = [
            s
            for s in tree.mentions(bound.name)
            if not is_ours(getattr(s, "value", None), bound.space)
        ]
        for statement in statements:
            said = say(statement, bound.space)
            told.append(said.digest)
            for name in said.names - {bound.name}:
                self._clock(name, {}, bound.space, bound.file, (statement.lineno, True))
                self._name(name.split("."), bound.space, bound.file)
        if not told:
            self._reached(say(tree.module, bound.space), bound.space, bound.file)
        return [*(told or [tree.whole]), self.salt_of(bound.file)]

    def _filled(self, bound: _Bound) -> list[str]:
        """Return digests of the statements of other modules that may have put a value where it is."""
        told = []
        for module, statement in self.fills_of(bound.name, bound.space.get(bound.name)):
            file, space = str(module.__file__), vars(module)
            if file != bound.file and not is_ours(getattr(statement, "value", None), space):
                said = say(statement, space)
                told += [said.digest, self.salt_of(file)]
                for name in said.names:
                    self._name(name.split("."), space, file)
        return told

    def _add(self, name: str, content: Any) -> None:
        self._note(name, digest(content))

    def _note(self, name: str, told: str) -> None:
        """Add a part by its digest; two things of one name (lambdas, say) count together."""
        self._parts[name] = digest([self._parts[name], told]) if name in self._parts else told


def _is_plain(value: Any) -> bool:
    return type(value) in _PLAIN or isinstance(value, PurePath)


def _home(value: Any) -> str:
    """Return where a function, class or module says that it is from; '' for anything else."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, _AT_HOME) else ""


def _stands_for(name: str, imported: Mapping[str, str], space: Mapping[str, Any]) -> str:
    """Return what a dotted name is called where it is at home."""
    root, _, rest = name.partition(".")
    home = imported.get(root) or _home(space.get(root))
    return f"{home}.{rest}" if rest else home or name


def _imported(nodes: Iterable[ast.Import | ast.ImportFrom]) -> Iterator[tuple[str, str]]:
    """Yield the names that imports give, each with what it stands for."""
    for node in nodes:
        for alias in node.names:
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            bound = alias.asname or alias.name.partition(".")[0]
            yield bound, module + (alias.name if alias.asname or module else bound)


def _sorting(value: Any) -> str:
    """Return what to sort members of sets and dicts by, so that two processes agree."""
    if home := _home(value):
        line = (
            value.__code__.co_firstlineno if isinstance(value, types.FunctionType) else 0
        )  # lambdas share a name
        return f"{home} {line:9}"
    return repr(value) if _is_plain(value) else type(value).__qualname__


def _module_space(cls: type) -> Mapping[str, Any]:
    module = sys.modules.get(cls.__module__)
    return vars(module) if module else {}


def _labels(value: Any) -> set[str]:
    """Return what a value has: in its dictionary, and in the slots of all its classes."""
    slots = (
        name
        for kind in type(value).__mro__
        for name, of in vars(kind).items()
        if inspect.ismemberdescriptor(of)
    )
    return {*(name for name in getattr(value, "__dict__", ()) if isinstance(name, str)), *slots}


def _underlying(value: Any) -> Any:
    return getattr(value, "__func__", getattr(value, "fget", value))


def _bytecode(code: types.CodeType) -> str:
    consts = [_bytecode(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, consts, code.co_names, code.co_varnames))


def _names(code: types.CodeType) -> Iterator[str]:
    """Yield the names in a function's bytecode, and in that of the functions inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
