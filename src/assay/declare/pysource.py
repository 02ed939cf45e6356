"""What project-local source says, as it counts: syntax trees of files, and pieces of them read by value."""

import ast
import functools
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping
from importlib.util import resolve_name
from typing import Any

from msgspec import Struct

from assay.plan.digests import digest

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DOCUMENTED = (*_DEFINITIONS, ast.Module)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
_UNSAID = {"ctx", "kind", "type_comment", "type_ignores"}


Known = dict[
    str, tuple[str, list[str], dict[str, bool]]
]  # of functions by line: digest, names, roots of decorators


class SourceDigest(Struct, frozen=True):
    """What a piece of source says (its digest), the dotted names in it (`lib.scale.by`), and what it imports.

    Said is its syntax tree without what does not count: comments, layout, docstrings and our own decorators. `roots`
    are the names that decorators begin with, and whether each was ours.
    """

    digest: str
    names: set[str]
    imports: list[ast.Import | ast.ImportFrom]
    roots: dict[str, bool]


class SourceTree:
    """What one project-local file says; it is parsed when somebody asks for what is not known of this very text."""

    def __init__(self, text: bytes, file: str, known: Known | None = None) -> None:
        self._text, self._file = text, file
        self.known: Known = known if known is not None else {}

    @functools.cached_property
    def module(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self._text, self._file)

    @functools.cached_property
    def functions(self) -> Mapping[int, ast.AST]:
        """The functions by the line that they start on."""
        found = (
            n
            for n in _statements(self.module)
            if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        )
        return {
            min([node.lineno, *(d.lineno for d in node.decorator_list)]): node for node in found
        }

    @functools.cached_property
    def classes(self) -> Mapping[str, list[ast.AST]]:
        """The classes by name."""
        found: dict[str, list[ast.AST]] = {}
        for node in _statements(self.module):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
        return found

    def says(self, line: int, space: Mapping[str, Any]) -> SourceDigest | None:
        """Return what the code says that starts at a line, None for none; `space` holds the names of the module."""
        text, names, roots = self.known.get(str(line), ("", (), {}))
        if text and all(is_ours_by(root, space) == ours for root, ours in roots.items()):
            return SourceDigest(text, set(names), [], roots)
        if (node := self.at(line)) is None:
            return None
        said = say(node, space)
        if line in self.functions and not said.imports:
            self.known[str(line)] = said.digest, sorted(said.names), said.roots
        return said

    @functools.cached_property
    def whole(self) -> str:
        """The digest of the file as a whole."""
        return say(self.module, {}).digest

    def at(self, line: int) -> ast.AST | None:
        """Return the function whose definition starts at this line, the lambda on it, or the statement around it."""
        if line in self.functions:
            return self.functions[line]
        lambdas = [
            n for n in ast.walk(self.module) if isinstance(n, ast.Lambda) and n.lineno == line
        ]
        around = [
            n
            for n in ast.walk(self.module)
            if isinstance(n, ast.stmt) and n.lineno <= line <= (n.end_lineno or n.lineno)
        ]
        if len(lambdas) == 1:
            return lambdas[0]
        return (
            around[-1] if around else None
        )  # ast.walk goes outside in: the last one is the innermost

    def mentions(self, name: str) -> list[ast.stmt]:
        """Return the statements of the module itself (no definitions) that mention a name; [] if none binds it."""
        found = [
            s for s in self.module.body if not isinstance(s, _DEFINITIONS) and name in names_in(s)
        ]
        return found if any(_binds(s, name) for s in found) else []

    def fills(self, name: str) -> list[tuple[str, ast.stmt]]:
        """Return the statements that, as the module is imported, do something with what is called so, each with the
        dotted name by which they do.
        """
        if name.encode() not in self._text:
            return []
        statements = [s for s in self.module.body if not isinstance(s, ast.Import | ast.ImportFrom)]
        found = [
            (chain, s)
            for s in statements
            for chain in _chains(s)
            if chain.rpartition(".")[2] == name
        ]
        return list(dict.fromkeys(found))

    def imported(self, name: str, package: str) -> list[tuple[types.ModuleType, str]]:
        """Return each module, and the name there, that a name may have been imported from."""
        found: list[tuple[types.ModuleType, str]] = []
        for node in ast.walk(self.module):
            if isinstance(node, ast.ImportFrom) and (
                module := sys.modules.get(absolute(node, package))
            ):
                found += [
                    (module, alias.name)
                    for alias in node.names
                    if (alias.asname or alias.name) == name
                ]
                found += [
                    (module, name)
                    for alias in node.names
                    if alias.name == "*" and hasattr(module, name)
                ]
        return found

    def named(self, qualname: str) -> ast.AST:
        """Return the class of this name, or the whole file when it is not the only one."""
        found = self.classes.get(qualname.rpartition(".")[2], [])
        return found[0] if len(found) == 1 else self.module


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements inside a node, outside in; most of a syntax tree is expressions."""
    inside = deque([node])
    while inside:
        here = inside.popleft()
        for label in _BLOCKS:
            inside += getattr(here, label, None) or ()
        yield here


def say(piece: ast.AST, space: Mapping[str, Any]) -> SourceDigest:
    """Return what a piece of source says; in one walk, as every function of every definition is read."""
    told: list[str] = []
    names: set[str] = set()
    imports: list[ast.Import | ast.ImportFrom] = []
    roots: dict[str, bool] = {}

    def read(node: ast.AST) -> None:
        if isinstance(node, ast.Attribute | ast.Name) and (chain := chain_of(node)):
            names.add(chain)
            told.append(chain)
            return
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(node)
        told.append(f"({type(node).__name__}")
        for label in node._fields:
            value: Any = getattr(node, label, None)
            if label == "decorator_list":
                roots.update((root, is_ours_by(root, space)) for root in map(_root, value))
                value = [d for d in value if not roots[_root(d)]]
            elif label == "body" and isinstance(node, _DOCUMENTED):
                value = _without_docstring(value)
            if value is None or value == [] or label in _UNSAID:
                continue  # so that a field that only a later Python knows changes nothing
            told.append(f"{label}=")
            for inner in value if isinstance(value, list) else (value,):
                if isinstance(inner, ast.AST):
                    read(inner)
                else:
                    told.append(repr(inner))
        told.append(")")

    read(piece)
    return SourceDigest(digest(" ".join(told)), names, imports, roots)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *others]:
            return others or [ast.Pass()]
    return body


def is_ours(expression: ast.expr | None, space: Mapping[str, Any]) -> bool:
    """Say whether an expression calls or names something of Assay: it declares, and computes nothing."""
    return is_ours_by(_root(expression), space)


def _root(expression: ast.expr | None) -> str:
    """Return the name that what is called or named begins with, '' for none."""
    called = expression.func if isinstance(expression, ast.Call) else expression
    root = called.value if isinstance(called, ast.Attribute) else called
    return root.id if isinstance(root, ast.Name) else ""


def is_ours_by(root: str, space: Mapping[str, Any]) -> bool:
    value = space.get(root) if root else None
    home = getattr(value, "__module__", None) or getattr(value, "__name__", None) or ""
    return str(home).partition(".")[0] == "assay"


def _chains(statement: ast.stmt) -> Iterator[str]:
    """Yield the dotted names in what of a statement runs as the module is imported: of a definition, its decorators."""
    pieces = statement.decorator_list if isinstance(statement, _DEFINITIONS) else [statement]
    for node in (node for piece in pieces for node in ast.walk(piece)):
        if isinstance(node, ast.Name | ast.Attribute) and (chain := chain_of(node)):
            yield chain


def _binds(statement: ast.stmt, name: str) -> bool:
    return any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Store)
        for n in ast.walk(statement)
    )


def chain_of(node: ast.expr) -> str:
    """Return `a.b.c` for a name with attributes, '' for an attribute of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := chain_of(node.value)):
        return f"{before}.{node.attr}"
    return ""


def names_in(piece: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(piece) if isinstance(n, ast.Name)}


def absolute(node: ast.ImportFrom, package: str) -> str:
    return (
        resolve_name("." * node.level + (node.module or ""), package)
        if node.level
        else node.module or ""
    )
