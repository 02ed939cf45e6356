"""Digests of Python code, by value: a function and all code of the project that it can reach.

Functions, classes and constants count by their syntax trees, without comments, docstrings and
layout. A value that cannot be read counts by the statements that mention its name, or by its whole
file: in doubt, a product is rebuilt.
"""

import ast
import enum
import functools
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, time
from pathlib import PurePath
from typing import Any

from msgspec import Struct, field

from assay.declare.code_parts import CodeParts
from assay.declare.pysource import (
    SourceDigest,
    SourceTree,
    absolute,
    digest_source,
    is_ours,
)
from assay.declare.pyvalues import (
    PLAIN,
    attribute_names,
    bytecode,
    bytecode_names,
    home,
    import_targets,
    is_filled,
    is_plain,
    module_behind,
    module_space,
    sort_key,
    target_of,
    underlying,
)
from assay.plan.digests import digest

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
# Attributes of sys that differ between processes.
_OF_THE_PROCESS = ("modules", "argv", "path", "path_importer_cache")


class _Bound(Struct, frozen=True):
    """The module-level name that is being visited, its file, and the names of its module."""

    name: str
    file: str
    space: Mapping[str, Any]


class CodeDigest(Struct):
    """One walk over the code that a function or class can reach.

    `tree_of` returns the syntax tree of a file of the project, None for any other file. `load`
    imports a module of the project that a function imports when it runs. `origin` is the file of
    the declaration. `salt_of` returns the digest of the files that a module read on import: it
    counts for values that cannot be read. `fills_of` returns the statements of all modules that
    may put something into a value, by name and value. `modules_in` returns the files of the
    modules in a folder, for code that looks for modules when it runs.

    With `registers`, the content of containers that other modules may fill does not count: each
    registration counts on its own. `clocks` collects the calls of clocks: by file and name, the
    line where the code begins, and whether it runs on import. Without `descriptions`, those of
    pandera's models do not count.
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
    descriptions: bool = True
    clocks: dict[tuple[str, str], tuple[int, bool]] = field(default_factory=dict)
    _parts: CodeParts = field(default_factory=CodeParts)
    # By id: a value that was visited, and its name.
    _visited: dict[int, tuple[Any, str]] = field(default_factory=dict)
    _bound: _Bound | None = None
    # By file, name, and whether others may fill it: the digests of the source of a name's value.
    _sources: dict[tuple[str, str, bool], list[str]] = field(default_factory=dict)
    # Whether the visited value is in a container, which other modules may have filled.
    _in_container: bool = False

    @property
    def parts(self) -> dict[str, str]:
        """The digests of everything reached, by name."""
        return self._parts.all()

    def visit_statements(
        self, name: str, source: SourceDigest, space: Mapping[str, Any], file: str
    ) -> None:
        """Add statements of a module, and all code that they reach, to the parts."""
        self._parts.add_digest(name, source.digest)
        self._reached(source, space, file)

    def visit(self, name: str, value: Any, module: str = "") -> None:
        """Add `value`, and all code that it reaches, to the parts.

        `module` is the file that refers to the value.
        """
        if is_plain(value):
            self._parts.add(name, repr(value))
            if isinstance(value, date | time) and self._bound:
                # The value may come from a clock.
                self._digests_of_source(self._bound, module, frozenset())
            return
        if any(value is getattr(sys, of) for of in _OF_THE_PROCESS):
            return
        visited = self._visited.get(id(value))
        # The value is stored, so that its id stays its own.
        _, unique_name = self._visited[id(value)] = visited or (
            value,
            self._parts.unique_name(name, value),
        )
        self._parts.add_name(name, unique_name)
        if visited:
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
                self._parts.foreign.add(f"{value.__module__}.{value.__qualname__}")
            case re.Pattern():
                self._parts.add(name, [value.pattern, value.flags])
            case types.GenericAlias() | types.UnionType():
                self._all(name, [value.__args__], module)
            case _ if type(value).__module__ == "typing":
                hint = [str(getattr(value, "__origin__", value)), getattr(value, "__args__", ())]
                self._all(name, [*hint, getattr(value, "__metadata__", ())], module)
            case _ if type(value).__module__ == "polars.datatypes.classes":
                self._parts.add(name, repr(value))
            case _:
                self._opaque(name, value, module)

    def _all(self, name: str, values: Iterable[Any], module: str) -> None:
        for index, value in enumerate(values):
            self.visit(f"{name}.{index}", value, module)

    def _container(self, name: str, value: Any, module: str) -> None:
        if self.registers and self._bound and not isinstance(value, tuple | frozenset):
            # Items that other modules put there count on their own.
            self._parts.add(name, self._source_digests(module, filled=False))
            return
        items = list(value.items()) if isinstance(value, dict) else list(value)
        if isinstance(value, dict | set | frozenset):
            items.sort(key=lambda item: sort_key(item[0] if isinstance(value, dict) else item))
        self._parts.add(name, [type(value).__name__, len(items)])
        before, self._in_container = self._in_container, True
        self._all(name, items, module)
        self._in_container = before
        if type(value).__module__ != "builtins":
            self.visit(type(value).__qualname__, type(value), module)
            self.visit(f"{name}.default", getattr(value, "default_factory", None), module)

    def _function(self, function: types.FunctionType) -> None:
        file = function.__code__.co_filename
        tree = self.tree_of(file)
        name = f"{function.__module__}.{function.__qualname__}"
        if tree is not None:
            space = function.__globals__
            source = tree.digest_at(function.__code__.co_firstlineno, space)
            self._parts.add_digest(
                name, source.digest if source else digest(bytecode(function.__code__))
            )
            at = function.__code__.co_firstlineno if source else None
            self._reached(source or digest_source(tree.module, space), space, file, at)
            self._values_of(name, vars(function), file)
        elif file.startswith("<"):  # compiled by exec(): there is no file
            self._parts.add(name, bytecode(function.__code__))
            self._reached(
                SourceDigest("", set(bytecode_names(function.__code__)), [], {}),
                function.__globals__,
                file,
            )
        else:
            self._parts.foreign.add(name)
        for label, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            if is_filled(cell):
                self.visit(f"{name}.{label}", cell.cell_contents, file)
        for label, default in (function.__kwdefaults__ or {}).items():
            self.visit(f"{name}.{label}", default, file)
        self._all(f"{name}.defaults", function.__defaults__ or (), file)
        if hasattr(function, "__wrapped__"):
            self.visit(name, function.__wrapped__, file)

    def _class(self, cls: type) -> None:
        name = f"{cls.__module__}.{cls.__qualname__}"
        space = module_space(cls)
        file = str(space.get("__file__") or "")
        tree = self.tree_of(file)
        if tree is None:
            self._parts.foreign.add(name)
            return
        is_model = any(base.__module__.startswith("pandera.") for base in cls.__mro__)
        skips = is_model and not self.descriptions
        source, line = tree.digest_of_class(cls.__qualname__, space, described=not skips)
        self._parts.add_digest(name, source.digest)
        self._reached(source, space, file, line)
        for value in map(underlying, vars(cls).values()):
            if isinstance(value, types.FunctionType):
                self.visit(name, value, file)
        self._values_of(name, vars(cls), file)
        for base in cls.__bases__:
            self.visit(name, base, file)

    def _values_of(self, name: str, attributes: Mapping[str, Any], file: str) -> None:
        """Visit plain values and functions among attributes, which may be set later."""
        for label, value in sorted(attributes.items()):
            if not label.startswith("__") and (
                is_plain(value) or isinstance(value, types.FunctionType)
            ):
                self.visit(f"{name}.{label}", value, file)

    def _module(self, module: types.ModuleType) -> None:
        file = getattr(module, "__file__", None) or ""
        tree = self.tree_of(file)
        if tree is None:
            self._parts.foreign.add(module.__name__)
            return
        self._parts.add(module.__name__, tree.digest)
        self._reached(digest_source(tree.module, vars(module)), vars(module), file)
        for name, value in sorted(vars(module).items()):
            if isinstance(
                value, types.ModuleType | types.FunctionType | type
            ) and not name.startswith("__"):
                self.visit(f"{module.__name__}.{name}", value, file)

    def _reached(
        self, source: SourceDigest, space: Mapping[str, Any], file: str, line: int | None = None
    ) -> None:
        """Visit the values of the names in a piece of source, and what it imports when it runs.

        `line` is where the piece begins; None for a whole module, of which not all may be reached.
        """
        imported = dict(import_targets(source.imports))
        for name in sorted(source.names):
            self._clock(name, imported, space, file, (line, False) if line else None)
            self._name(name.split("."), space, file)
            if name.endswith(".__subclasses__"):
                self._subclasses(space.get(name.partition(".")[0]), file)
        if any(target_of(name, imported, space) in _LOOKS_FOR_MODULES for name in source.names):
            self._plugins(source.names, space, file)
        for inner in source.imports:
            if isinstance(inner, ast.Import):
                for alias in inner.names:
                    self._imported_module(alias.name, file)
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
        if at and target_of(name, imported, space) in _CLOCKS:
            self.clocks.setdefault((file, name), at)

    def _subclasses(self, value: Any, file: str) -> None:
        """Visit all subclasses of a class, for code that calls `__subclasses__()`."""
        classes: list[type] = type.__subclasses__(value) if isinstance(value, type) else []
        for cls in sorted(classes, key=home):
            self.visit(cls.__qualname__, cls, file)
            self._subclasses(cls, file)

    def _plugins(self, names: Iterable[str], space: Mapping[str, Any], file: str) -> None:
        """Add all modules that code may import by name when it runs.

        They are those of the packages that it names; if it names none, those of its own folder.
        """
        folders: set[str] = set()
        for name in sorted(names):
            package = module_behind(name, space)
            if package and hasattr(package, "__path__") and self._is_own(package):
                folders.update(package.__path__)
        for folder in sorted(folders or {str(PurePath(file).parent)}):
            for module_file in self.modules_in(folder):
                if tree := self.tree_of(module_file):
                    path = PurePath(module_file).relative_to(folder)
                    self._parts.add(f"{PurePath(folder).name}/{path}", tree.digest)

    def _imported_module(self, name: str, file: str) -> None:
        """Visit a module of the project; of another one the name counts, loaded or not."""
        module = self.load(name)
        if module is None or not self._is_own(module):
            self._parts.foreign.add(name)
        else:
            self.visit(name, module, file)

    def _imported(self, node: ast.ImportFrom, space: Mapping[str, Any], file: str) -> None:
        base = absolute(node, space.get("__package__") or "")
        module = self.load(base)
        if module is None or not self._is_own(module):
            self._parts.foreign.update(f"{base}.{alias.name}" for alias in node.names)
            return
        for alias in node.names:
            if alias.name != "*" and hasattr(module, alias.name):
                self._name([alias.name], vars(module), getattr(module, "__file__", None) or "")
            else:
                self.visit(base, module, file)
                self.visit(f"{base}.{alias.name}", self.load(f"{base}.{alias.name}"), file)

    def _name(self, chain: Sequence[str], space: Mapping[str, Any], file: str) -> None:
        """Visit the value of a dotted name; modules of the project on the way are not visited."""
        name, *rest = chain
        if name not in space and "__getattr__" in space:
            self.visit(f"{space.get('__name__', '')}.__getattr__", space["__getattr__"], file)
        if name not in space or (name.startswith("__") and name.endswith("__")):
            return
        value = space[name]
        if isinstance(value, types.ModuleType) and rest and self._is_own(value):
            self._parts.names.append((name, value.__name__))
            self._name(rest, vars(value), getattr(value, "__file__", None) or "")
            return
        before, self._bound = self._bound, _Bound(name, file, space)
        self.visit(f"{space.get('__name__', '')}.{name}", value, file)
        self._bound = before

    def _is_own(self, module: types.ModuleType) -> bool:
        """Return whether a module is the project's, by its file; a module without a file is."""
        file = getattr(module, "__file__", None)
        return file is None or self.tree_of(file) is not None

    def _opaque(self, name: str, value: Any, module: str) -> None:
        kind = type(value)
        if kind.__module__.partition(".")[0] == "assay":
            # Declarations count as inputs or not at all; but a product's function can be called.
            self.visit(name, getattr(value, "make", None), module)
            return
        self.visit(name, getattr(value, "__wrapped__", None), module)
        self.visit(f"{kind.__module__}.{kind.__qualname__}", kind, module)
        own_kind = self.tree_of(str(module_space(kind).get("__file__") or "")) is not None
        digests = self._source_digests(module, filled=self._in_container or own_kind)
        self._parts.add(name, [kind.__qualname__, digests])
        for base in PLAIN - {type(None), bool, range}:
            if isinstance(value, base):  # a user's subclass of a plain type
                self._parts.add(f"{name}.value", base.__repr__(value))
        if isinstance(value, BaseException):
            self.visit(f"{name}.args", value.args, module)
        if own_kind:
            for label in sorted(attribute_names(value)):
                self.visit(f"{name}.{label}", getattr(value, label, None), module)

    def _source_digests(self, module: str, *, filled: bool) -> list[str]:
        """Return `_digests_of_source()` of the visited name; with `filled`, also its fills."""
        if self._bound is None:
            return self._digests_of_source(None, module, frozenset())
        key = self._bound.file, self._bound.name, filled
        if key not in self._sources:
            self._sources[key] = []  # the statements may lead back to this name
            digests = self._digests_of_source(self._bound, module, frozenset())
            self._sources[key] = digests + (self._digests_of_fills(self._bound) if filled else [])
        return self._sources[key]

    def _digests_of_source(
        self, bound: _Bound | None, module: str, through: frozenset[tuple[str, str]]
    ) -> list[str]:
        """Return digests of the statements that mention a name, or of whole files, with salts.

        They stand for a value that cannot be read. `through` are the names passed on the way.
        """
        digests: list[str] = []
        if bound is None:
            for file in (module, self.origin):
                if tree := self.tree_of(file):
                    digests += [tree.digest, self.salt_of(file)]
            return digests
        tree = self.tree_of(bound.file)
        if tree is None or (bound.file, bound.name) in through:
            return []
        through |= {(bound.file, bound.name)}
        for imported_from, name in tree.imported_from(
            bound.name, bound.space.get("__package__") or ""
        ):
            origin = _Bound(
                name, getattr(imported_from, "__file__", None) or "", vars(imported_from)
            )
            digests += self._digests_of_source(origin, module, through)
        statements = [
            s
            for s in tree.statements_with(bound.name)
            if not is_ours(getattr(s, "value", None), bound.space)
        ]
        for statement in statements:
            source = digest_source(statement, bound.space)
            digests.append(source.digest)
            for name in sorted(source.names - {bound.name}):
                self._clock(name, {}, bound.space, bound.file, (statement.lineno, True))
                self._name(name.split("."), bound.space, bound.file)
        if not digests:
            self._reached(digest_source(tree.module, bound.space), bound.space, bound.file)
        return [*(digests or [tree.digest]), self.salt_of(bound.file)]

    def _digests_of_fills(self, bound: _Bound) -> list[str]:
        """Return digests of the statements of other modules that may put something into a value."""
        digests = []
        for module, statement in self.fills_of(bound.name, bound.space.get(bound.name)):
            file, space = str(module.__file__), vars(module)
            if file != bound.file and not is_ours(getattr(statement, "value", None), space):
                source = digest_source(statement, space)
                digests += [source.digest, self.salt_of(file)]
                for name in sorted(source.names):
                    self._name(name.split("."), space, file)
        return digests
