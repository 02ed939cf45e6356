"""Digests a project's source code by its syntax trees: files, functions, classes, statements."""

import ast
import functools
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from typing import Any, TypeVar

from msgspec import Struct

from assay.plan.digests import digest

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DOCUMENTED = (*_DEFINITIONS, ast.Module)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_IGNORED_FIELDS = {"ctx", "kind", "type_comment", "type_ignores"}

# The cached digests of one file: its functions by line, each with the names in it and the roots of
# its decorators (as in SourceDigest).
DigestCache = dict[str, tuple[str, list[str], dict[str, bool]]]
N = TypeVar("N", bound=ast.AST)


class SourceDigest(Struct, frozen=True):
    """The digest of a piece of source, the dotted names in it (`lib.scale.by`), and its imports.

    The digest is of the syntax tree without comments, layout, docstrings and Assay's decorators.
    `roots` are the first names of its decorators, and whether each is Assay's.
    """

    digest: str
    names: set[str]
    imports: list[ast.Import | ast.ImportFrom]
    roots: dict[str, bool]


class SourceTree:
    """The syntax tree of one file of the project; it is parsed only if `cache` has no answer."""

    def __init__(self, text: bytes, file: str, cache: DigestCache | None = None) -> None:
        self._text, self._file = text, file
        self.cache: DigestCache = cache if cache is not None else {}

    @functools.cached_property
    def module(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self._text, self._file)

    @functools.cached_property
    def functions(self) -> Mapping[int, ast.AST]:
        """The functions by their first line, that of the first decorator."""
        functions: dict[int, ast.AST] = {}
        for node in _statements(self.module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                functions[first] = node
        return functions

    @functools.cached_property
    def classes(self) -> Mapping[str, list[ast.AST]]:
        """The classes by name."""
        classes: dict[str, list[ast.AST]] = {}
        for node in _statements(self.module):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(node)
        return classes

    def digest_at(self, line: int, space: Mapping[str, Any]) -> SourceDigest | None:
        """Return the digest of the code that starts at a line, or None; `space`: the module's names."""
        text, names, roots = self.cache.get(str(line), ("", (), {}))
        if text and all(is_ours_by(root, space) == ours for root, ours in roots.items()):
            return SourceDigest(text, set(names), [], roots)
        node = self.node_at(line)
        if node is None:
            return None
        source = digest_source(node, space)
        if line in self.functions and not source.imports:
            self.cache[str(line)] = source.digest, sorted(source.names), source.roots
        return source

    def digest_of_class(
        self, qualname: str, space: Mapping[str, Any], *, described: bool
    ) -> tuple[SourceDigest, int | None]:
        """Return the digest of a class, and its line; of the whole file if several have its name.

        Without `described`, the descriptions of a pandera model do not count.
        """
        key, line = f"class {qualname}{'' if described else ' undescribed'}", f"line of {qualname}"
        text, names, roots = self.cache.get(key, ("", (), {}))
        if text and all(is_ours_by(root, space) == ours for root, ours in roots.items()):
            at = self.cache[line][0]
            return SourceDigest(text, set(names), [], roots), int(at)
        node = self.class_named(qualname)
        source = digest_source(node if described else without_descriptions(node), space)
        if isinstance(node, ast.ClassDef) and not source.imports:
            self.cache[key] = source.digest, sorted(source.names), source.roots
            self.cache[line] = str(node.lineno), [], {}
        return source, getattr(node, "lineno", None)

    @functools.cached_property
    def digest(self) -> str:
        """The digest of the whole file."""
        return digest_source(self.module, {}).digest

    def node_at(self, line: int) -> ast.AST | None:
        """Return the function that starts at a line, the only lambda on it, or the statement around it."""
        if line in self.functions:
            return self.functions[line]
        lambdas: list[ast.AST] = []
        around: ast.AST | None = None
        for node in ast.walk(self.module):
            if isinstance(node, ast.Lambda) and node.lineno == line:
                lambdas.append(node)
            elif isinstance(node, ast.stmt) and node.lineno <= line <= (
                node.end_lineno or node.lineno
            ):
                around = (
                    node  # ast.walk goes from the outside in: the last statement is the innermost
                )
        return lambdas[0] if len(lambdas) == 1 else around

    def statements_with(self, name: str) -> list[ast.stmt]:
        """Return the module's statements, no definitions, that mention a name; [] if none binds it."""
        statements = [
            statement
            for statement in self.module.body
            if not isinstance(statement, _DEFINITIONS) and name in names_in(statement)
        ]
        return statements if any(_binds(statement, name) for statement in statements) else []

    def fills(self, name: str) -> list[tuple[str, ast.stmt]]:
        """Return the statements that use a name during import, each after the dotted name."""
        if name.encode() not in self._text:
            return []
        uses: dict[tuple[str, ast.stmt], None] = {}
        for statement in self.module.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            for chain in _chains(statement):
                if chain.rpartition(".")[2] == name:
                    uses[chain, statement] = None
        return list(uses)

    def imported_from(self, name: str, package: str) -> list[tuple[types.ModuleType, str]]:
        """Return the modules that a name may be imported from, each with its name there."""
        origins: list[tuple[types.ModuleType, str]] = []
        for node in ast.walk(self.module):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = sys.modules.get(absolute(node, package))
            if module is None:
                continue
            named = [alias.name for alias in node.names if (alias.asname or alias.name) == name]
            origins += [(module, original) for original in named]
            stars = [alias for alias in node.names if alias.name == "*" and hasattr(module, name)]
            origins += [(module, name) for _ in stars]
        return origins

    def class_named(self, qualname: str) -> ast.AST:
        """Return the class of this name, or the whole file if several classes have it."""
        classes = self.classes.get(qualname.rpartition(".")[2], [])
        return classes[0] if len(classes) == 1 else self.module


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and the statements inside it, from the outside in; expressions are skipped."""
    pending = deque([node])
    while pending:
        node = pending.popleft()
        for label in _BLOCKS:
            pending += getattr(node, label, None) or ()
        yield node


def digest_source(piece: ast.AST, space: Mapping[str, Any]) -> SourceDigest:
    """Return the digest of a piece of source; `space` are the names of its module.

    It is one walk without intermediate values: every function of every definition is read.
    """
    written: list[str] = []
    names: set[str] = set()
    imports: list[ast.Import | ast.ImportFrom] = []
    roots: dict[str, bool] = {}

    def write(node: ast.AST) -> None:
        if isinstance(node, ast.Attribute | ast.Name) and (chain := chain_of(node)):
            names.add(chain)
            written.append(chain)
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        written.append(f"({type(node).__name__}")
        for label in node._fields:
            value: Any = getattr(node, label, None)
            if label == "decorator_list":
                roots.update((root, is_ours_by(root, space)) for root in map(_root, value))
                value = [d for d in value if not roots[_root(d)]]
            elif label == "body" and isinstance(node, _DOCUMENTED):
                value = _without_docstring(value)
            # An empty field is left out, so that a new field of a later Python changes nothing.
            if value is None or value == [] or label in _IGNORED_FIELDS:
                continue
            written.append(f"{label}=")
            for inner in value if isinstance(value, list) else (value,):
                if isinstance(inner, ast.AST):
                    write(inner)
                else:
                    written.append(repr(inner))
        written.append(")")

    write(piece)
    return SourceDigest(digest(" ".join(written)), names, imports, roots)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *statements]:
            return statements or [ast.Pass()]
    return body


def without_descriptions(node: ast.AST) -> ast.AST:
    """Return a pandera model's class without `Field(description=...)` and `Config.description`."""
    if not isinstance(node, ast.ClassDef):
        return node
    body = [_undescribed(statement) for statement in node.body]
    kept = [statement for statement in body if statement is not None]
    return _copied(node, body=kept or [ast.Pass()]) if kept != node.body else node


def _undescribed(statement: ast.stmt) -> ast.stmt | None:
    """Return a statement of a model without descriptions; None for a `Config` that has no more."""
    match statement:
        case ast.AnnAssign(value=ast.Call(func=function, keywords=keywords) as call):
            kept = [keyword for keyword in keywords if keyword.arg != "description"]
            if chain_of(function).rpartition(".")[2] != "Field" or kept == keywords:
                return statement
            # `pa.Field()` says no more than no field at all.
            value = _copied(call, keywords=kept) if kept or call.args else None
            return _copied(statement, value=value)
        case ast.ClassDef(name="Config", body=body):
            inner = [line for line in body if not _is_description(line)]
            if len(inner) == len(body):
                return statement
            return _copied(statement, body=inner) if _without_docstring(inner) else None
    return statement


def _is_description(statement: ast.stmt) -> bool:
    match statement:
        case ast.Assign(targets=[ast.Name(id="description")]):
            return True
        case ast.AnnAssign(target=ast.Name(id="description")):
            return True
    return False


def _copied(node: N, **changed: Any) -> N:
    fields = {label: getattr(node, label) for label in node._fields if hasattr(node, label)}
    return type(node)(**{**fields, **changed})


def is_ours(expression: ast.expr | None, space: Mapping[str, Any]) -> bool:
    """Return whether an expression calls or names something of Assay's, which only declares."""
    return is_ours_by(_root(expression), space)


def _root(expression: ast.expr | None) -> str:
    """Return the first name of a call or of a dotted name; '' for another expression."""
    called = expression.func if isinstance(expression, ast.Call) else expression
    root = called.value if isinstance(called, ast.Attribute) else called
    return root.id if isinstance(root, ast.Name) else ""


def is_ours_by(root: str, space: Mapping[str, Any]) -> bool:
    """Return whether a name stands for something of Assay's; `space`: its module's names."""
    value = space.get(root) if root else None
    home = getattr(value, "__module__", None) or getattr(value, "__name__", None) or ""
    return str(home).partition(".")[0] == "assay"


def _chains(statement: ast.stmt) -> Iterator[str]:
    """Yield the dotted names that a statement (of a definition: its decorators) uses during import."""
    pieces = statement.decorator_list if isinstance(statement, _DEFINITIONS) else [statement]
    for piece in pieces:
        for node in ast.walk(piece):
            if isinstance(node, ast.Name | ast.Attribute) and (chain := chain_of(node)):
                yield chain


def _binds(statement: ast.stmt, name: str) -> bool:
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)
        for n in ast.walk(statement)
    )


def chain_of(node: ast.expr) -> str:
    """Return `a.b.c` for a name with attributes; '' for an attribute of another expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := chain_of(node.value)):
        return f"{before}.{node.attr}"
    return ""


def names_in(piece: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(piece) if isinstance(n, ast.Name)}


def absolute(node: ast.ImportFrom, package: str) -> str:
    """Return the full name of the module that a `from x import y` imports from."""
    if not node.level:
        return node.module or ""
    return resolve_name("." * node.level + (node.module or ""), package)
