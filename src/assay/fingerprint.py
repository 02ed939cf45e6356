"""Digests of code, contracts and content lists: one hash (SHA-256, 32 hex digits kept), one canonical form (JSON).

Python code is digested by value and by reach: the function and every project-local function, class and constant that
it can get to, each by its syntax tree, so that comments, docstrings and layout do not count. What cannot be read by
value counts by the statements that mention it, or by the whole file that it stands in; when in doubt it builds.
"""

import ast
import enum
import functools
import hashlib
import json
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from importlib.util import resolve_name
from pathlib import PurePath
from typing import Any

from assay.model import Code, Key

# Modules whose values say all that they are when printed: type hints and column types.
_SAID_IN_FULL = {"typing", "types", "polars.datatypes.classes"}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, Decimal, date, datetime, time, timedelta, PurePath, range)


def digest(value: Any) -> str:
    """Return 32 hex digits for a value made of JSON's types; mappings count by content, not by order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def code_of(parts: Mapping[str, str]) -> Code:
    """Return the code that these parts, each by its digest, make up."""
    return Code(digest=digest(dict(parts)), parts=dict(parts))


def key_of(code: Code, inputs: Mapping[str, str]) -> Key:
    """Return the key that this code and these input digests want."""
    return Key(digest=digest([code.digest, dict(inputs)]), code=code, inputs=dict(inputs))


def against_of(inputs: Iterable[tuple[str, str]]) -> str:
    """Return the digest of what rules read besides the version; '' when that is nothing."""
    pairs = sorted(inputs)
    return digest(pairs) if pairs else ""


def source_of(reading: str, files: Iterable[tuple[str, str]]) -> str:
    """Return the content digest of a source: how it is read, and each file by path and digest."""
    return digest([reading, sorted(files)])


class SourceTree:
    """The syntax tree of one project-local file, its functions by the line they start on, its classes by name."""

    def __init__(self, text: str, file: str) -> None:
        self.module = ast.parse(text, file)
        self.functions: dict[int, ast.AST] = {}
        self.classes: dict[str, list[ast.AST]] = {}
        for node in ast.walk(self.module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions[min([node.lineno, *(d.lineno for d in node.decorator_list)])] = node
            elif isinstance(node, ast.ClassDef):
                self.classes.setdefault(node.name, []).append(node)

    @functools.cached_property
    def whole(self) -> str:
        """The digest of the file as a whole."""
        return digest(_text(self.module, {}))

    def at(self, line: int) -> ast.AST | None:
        """Return the function whose definition starts at this line, or the statement that holds a lambda there."""
        if line in self.functions:
            return self.functions[line]
        around = [
            n
            for n in ast.walk(self.module)
            if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or n.lineno)
        ]
        return around[-1] if around else None  # ast.walk goes outside in: the last one is the innermost

    def mentions(self, name: str) -> list[ast.stmt]:
        """Return the statements of the module itself (no definitions) that mention a name; [] if none binds it."""
        found = [s for s in self.module.body if not isinstance(s, _DEFINITIONS) and name in _names(s)]
        return found if any(_binds(s, name) for s in found) else []

    def imported(self, name: str, package: str) -> tuple[types.ModuleType, str] | None:
        """Return the module, and the name there, that a name is imported from, if it is."""
        for node in self.module.body:
            if not isinstance(node, ast.ImportFrom):
                continue
            module = sys.modules.get(resolve_name("." * node.level + (node.module or ""), package))
            for alias in node.names:
                if module and ((alias.asname or alias.name) == name or (alias.name == "*" and hasattr(module, name))):
                    return module, name if alias.name == "*" else alias.name
        return None

    def named(self, qualname: str) -> ast.AST:
        """Return the class of this name, or the whole file when it is not the only one."""
        found = self.classes.get(qualname.rpartition(".")[2], [])
        return found[0] if len(found) == 1 else self.module


@dataclass(frozen=True, slots=True)
class _Bound:
    """The module-level name that is being visited: its file, and the module's names."""

    name: str
    file: str
    space: Mapping[str, Any]


@dataclass(slots=True)
class Reach:
    """One walk over what a function or class can get to.

    `tree_of` gives the syntax tree of a project-local file, or None for a file that is not the project's; `salt` goes
    into everything that cannot be read by value (digests of the files and variables the definitions read as they load).
    """

    tree_of: Callable[[str], SourceTree | None]
    salt: str = ""
    _parts: dict[str, str] = field(default_factory=dict)
    _foreign: set[str] = field(default_factory=set)
    _seen: dict[int, Any] = field(default_factory=dict)
    _bound: _Bound | None = None

    @property
    def parts(self) -> dict[str, str]:
        """All that was reached, by name; what is not of this project counts by its names alone."""
        return {**self._parts, **({"libraries": digest(sorted(self._foreign))} if self._foreign else {})}

    def visit(self, name: str, value: Any, module: str = "") -> None:
        """Add what `value` is, and all it reaches, to the parts; `module` is the file that refers to it."""
        if isinstance(value, _PLAIN) and not isinstance(value, enum.Enum):
            self._add(name, repr(value))
            return
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value  # kept alive, so that no id is used twice
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
                self._add(name, repr(value))
            case list() | tuple() | set() | frozenset() | dict():
                self._container(name, value, module)
            case types.BuiltinFunctionType():
                self._foreign.add(f"{value.__module__}.{value.__qualname__}")
            case re.Pattern():
                self._add(name, [value.pattern, value.flags])
            case _ if type(value).__module__ in _SAID_IN_FULL:
                self._add(name, repr(value))
            case _:
                self._opaque(name, value, module)

    def _all(self, name: str, values: Iterable[Any], module: str) -> None:
        for index, value in enumerate(values):
            self.visit(f"{name}.{index}", value, module)

    def _container(self, name: str, value: Any, module: str) -> None:
        items = list(value.items()) if isinstance(value, dict) else value
        if isinstance(value, set | frozenset):
            items = sorted(value, key=repr)
        self._add(name, [type(value).__name__, len(items)])
        self._all(name, items, module)

    def _function(self, function: types.FunctionType) -> None:
        file = function.__code__.co_filename
        tree = self.tree_of(file)
        node = tree.at(function.__code__.co_firstlineno) if tree else None
        name = f"{function.__module__}.{function.__qualname__}"
        if tree is None:
            self._foreign.add(name)
        else:
            self._add(name, _text(node, function.__globals__) if node else _bytecode(function.__code__))
            names = _names(node) if node else _global_names(function.__code__)
            self._globals(names, function.__globals__, file)
        for label, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if _filled(cell):
                self.visit(f"{name}.{label}", cell.cell_contents, file)
        for label, default in (function.__kwdefaults__ or {}).items():
            self.visit(f"{name}.{label}", default, file)
        self._all(f"{name}.defaults", function.__defaults__ or (), file)
        if hasattr(function, "__wrapped__"):
            self.visit(name, function.__wrapped__, file)

    def _class(self, cls: type) -> None:
        name = f"{cls.__module__}.{cls.__qualname__}"
        functions = [f for f in map(_underlying, vars(cls).values()) if isinstance(f, types.FunctionType)]
        spot = _class_spot(cls, functions)
        tree = self.tree_of(spot) if spot else None
        if tree is None:
            self._foreign.add(name)
            return
        node = tree.named(cls.__qualname__)
        space = functions[0].__globals__ if functions else _module_space(cls)
        self._add(name, _text(node, space))
        self._globals(_names(node), space, spot)
        for function in functions:
            self.visit(name, function, spot)
        for base in cls.__bases__:
            self.visit(name, base, spot)

    def _module(self, module: types.ModuleType) -> None:
        tree = self.tree_of(getattr(module, "__file__", None) or "")
        if tree is None:
            self._foreign.add(module.__name__)
            return
        self._add(module.__name__, tree.whole)
        self._globals(_names(tree.module), vars(module), module.__file__ or "")

    def _globals(self, names: Iterable[str], space: Mapping[str, Any], file: str) -> None:
        for name in sorted(names):
            if name in space and not name.startswith("__"):
                before, self._bound = self._bound, _Bound(name, file, space)
                self.visit(f"{space.get('__name__', '')}.{name}", space[name], file)
                self._bound = before

    def _opaque(self, name: str, value: Any, module: str) -> None:
        kind = type(value)
        if kind.__module__.partition(".")[0] == "assay":
            return  # a declaration of ours: an input by name, or metadata
        self.visit(name, getattr(value, "__wrapped__", None), module)
        self.visit(f"{kind.__module__}.{kind.__qualname__}", kind, module)
        self._add(name, [kind.__qualname__, self._told_of(self._bound, module), self.salt])
        space = _module_space(kind)
        if self.tree_of(str(space.get("__file__", ""))):
            names = [*getattr(value, "__dict__", ()), *getattr(kind, "__slots__", ())]
            for label in sorted(names):
                self.visit(f"{name}.{label}", getattr(value, label, None), module)

    def _told_of(self, bound: _Bound | None, module: str) -> str:
        """Return the digest of the source that tells what a value is: the statements on its name, or the whole file."""
        tree = self.tree_of(bound.file if bound else module)
        if tree is None:
            return ""
        if bound and (origin := tree.imported(bound.name, bound.space.get("__package__") or "")):
            there, name = origin
            return self._told_of(_Bound(name, getattr(there, "__file__", None) or "", vars(there)), module)
        statements = tree.mentions(bound.name) if bound else []
        if not bound or not statements:
            return tree.whole
        statements = [s for s in statements if not _is_ours(getattr(s, "value", None), bound.space)]
        self._globals(set().union(*map(_names, statements)) - {bound.name}, bound.space, bound.file)
        return digest([_text(statement, bound.space) for statement in statements])

    def _add(self, name: str, content: Any) -> None:
        """Add a part; two things of one name (lambdas, say) count together."""
        told = digest(content)
        self._parts[name] = digest([self._parts[name], told]) if name in self._parts else told


def _text(node: ast.AST, space: Mapping[str, Any]) -> str:
    """Return source without comments, layout, docstrings and our own decorators."""
    return ast.unparse(_Bare(space).visit(ast.parse(ast.unparse(node))))


class _Bare(ast.NodeTransformer):
    """Drops docstrings and the decorators that only declare."""

    def __init__(self, space: Mapping[str, Any]) -> None:
        self.space = space

    def _strip(self, node: Any) -> Any:
        self.generic_visit(node)
        first = node.body[0] if node.body else None
        match first:
            case ast.Expr(value=ast.Constant(value=str())):
                node.body = node.body[1:] or [ast.Pass()]
        node.decorator_list = [d for d in getattr(node, "decorator_list", []) if not _is_ours(d, self.space)]
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Module = _strip  # noqa: N815


def _is_ours(expression: ast.expr | None, space: Mapping[str, Any]) -> bool:
    """Say whether an expression calls or names something of Assay: it declares, and computes nothing."""
    called = expression.func if isinstance(expression, ast.Call) else expression
    root = called.value if isinstance(called, ast.Attribute) else called
    value = space.get(root.id) if isinstance(root, ast.Name) else None
    home = getattr(value, "__module__", None) or getattr(value, "__name__", None) or ""
    return str(home).partition(".")[0] == "assay"


def _binds(statement: ast.stmt, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store) for n in ast.walk(statement))


def _names(node: ast.AST) -> set[str]:
    metadata = {id(d) for n in ast.walk(node) for d in getattr(n, "decorator_list", ()) if _declares(d)}
    found: set[str] = set()
    stack = [node]
    while stack:
        here = stack.pop()
        if id(here) in metadata:
            continue
        if isinstance(here, ast.Name):
            found.add(here.id)
        stack += ast.iter_child_nodes(here)
    return found


def _declares(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return getattr(called, "attr", getattr(called, "id", "")) == "product"


def _class_spot(cls: type, functions: list[types.FunctionType]) -> str:
    """Return the file a class is defined in, without importing or searching anything."""
    for function in functions:
        if function.__module__ == cls.__module__:
            return function.__code__.co_filename
    return str(_module_space(cls).get("__file__", ""))


def _module_space(cls: type) -> Mapping[str, Any]:
    module = sys.modules.get(cls.__module__)
    return vars(module) if module else {}


def _underlying(value: Any) -> Any:
    return getattr(value, "__func__", getattr(value, "fget", value))


def _bytecode(code: types.CodeType) -> str:
    consts = [_bytecode(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, consts, code.co_names, code.co_varnames))


def _global_names(code: types.CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*(_global_names(c) for c in inner)) if inner else set(code.co_names)


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
