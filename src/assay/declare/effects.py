"""Finds what modules change outside of themselves when they are imported.

They call functions that register something, store into what they import, or have it decorate their
functions. A function may come to run what was registered without naming it. So these statements, of
all modules that a function's module imports, count for the function, with all code that they reach.
"""

import ast
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from assay.declare.pycode import CodeDigest
from assay.declare.pysource import (
    SourceDigest,
    SourceTree,
    absolute,
    chain_of,
    digest_source,
    is_ours_by,
    names_in,
)
from assay.plan.digests import digest

_EFFECTS, _IMPORTS = "effects", "imports"  # keys in the cache of a file
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
# Packages whose decorators only wrap what they decorate, and do not register it.
_WRAPPERS = {
    "attr",
    "attrs",
    "click",
    "msgspec",
    "numba",
    "pandera",
    "pydantic",
    "tenacity",
    "typing_extensions",
}


class Effects:
    """The effects of importing modules of a project; each module is read once.

    `start_digest` starts the digest of a module's statements.
    """

    def __init__(
        self, tree_of: Callable[[str], SourceTree | None], start_digest: Callable[[], CodeDigest]
    ) -> None:
        self.tree_of, self.start_digest = tree_of, start_digest
        self._digests: dict[str, str] = {}
        self._imported: dict[str, list[str]] = {}

    def of(self, module: str) -> dict[str, str]:
        """Return the digests of effects of a module and all modules of the project that it imports."""
        reached, pending = {module}, [module]
        while pending:
            for name in self._imports(pending.pop()):
                if name not in reached:
                    reached.add(name)
                    pending.append(name)
        digests = {name: self._digest(name) for name in sorted(reached)}
        return {f"{name} as it is imported": text for name, text in digests.items() if text}

    def _tree(self, name: str) -> tuple[SourceTree | None, Mapping[str, Any], str]:
        """Return the syntax tree (None outside of the project), the names and the file of a module."""
        module = sys.modules.get(name)
        file = str(getattr(module, "__file__", None) or "")
        return self.tree_of(file), vars(module) if module else {}, file

    def _imports(self, name: str) -> list[str]:
        """Return the modules of the project that a module imports, sorted."""
        if name not in self._imported:
            tree, space, _ = self._tree(name)
            if tree and _IMPORTS not in tree.cache:
                tree.cache[_IMPORTS] = "", sorted(set(_imports_in(tree.module))), {}
            package = str(space.get("__package__") or "")
            texts = tree.cache[_IMPORTS][1] if tree else []
            modules = {module for text in texts for module in _modules_of(text, package)}
            self._imported[name] = sorted(
                module for module in modules if module in sys.modules and self._tree(module)[0]
            )
        return self._imported[name]

    def _digest(self, name: str) -> str:
        """Return the digest of a module's effects; '' for none."""
        if name not in self._digests:
            self._digests[name] = ""  # for modules that import each other
            tree, space, file = self._tree(name)
            source = _effects_of(tree, space) if tree else None
            if source:
                code = self.start_digest()
                code.visit_statements(name, source, space, file)
                self._digests[name] = digest(code.parts)
        return self._digests[name]


def _effects_of(tree: SourceTree, space: Mapping[str, Any]) -> SourceDigest | None:
    """Return the digest of a module's statements that have effects; None if there are none.

    The cached digest is valid while each root of a call is as harmless as it was.
    """
    text, names, roots = tree.cache.get(_EFFECTS, ("?", [], {}))
    if text == "?" or any(_is_harmless(root, space) != flag for root, flag in roots.items()):
        text, names, roots = "", [], {}
        imported = {alias.asname or alias.name.partition(".")[0] for alias in _aliases(tree.module)}
        statements = [s for s in tree.module.body if _has_effect(s, imported, space, roots)]
        if statements:
            source = digest_source(ast.Module(body=statements, type_ignores=[]), space)
            text, names = source.digest, sorted(source.names)
        tree.cache[_EFFECTS] = text, names, roots
    return SourceDigest(text, set(names), [], {}) if text else None


def _has_effect(
    statement: ast.AST, imported: set[str], space: Mapping[str, Any], roots: dict[str, bool]
) -> bool:
    """Return whether a statement may change something outside of its module.

    `roots` collects the first names of calls, and whether a call of each is harmless.
    """
    match statement:
        case ast.Expr(value=ast.Call(func=called)):
            root = chain_of(called).partition(".")[0]
            roots[root] = _is_harmless(root, space)
            return not roots[root]
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return _is_registered(statement, space)
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Delete():
            targets = getattr(statement, "targets", None) or [statement.target]  # type: ignore[union-attr]
            stored = {_root_of(t) for t in targets if isinstance(t, ast.Attribute | ast.Subscript)}
            return any(name in imported and _is_installed(space.get(name)) for name in stored)
        case ast.If() if "__name__" in names_in(statement.test):
            return False
    inner: list[Any] = []
    for label in _BLOCKS:
        inner += getattr(statement, label, None) or ()
    return any(
        _has_effect(node, imported, space, roots) for node in inner if isinstance(node, ast.AST)
    )


def _is_registered(
    definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, space: Mapping[str, Any]
) -> bool:
    """Return whether a decorator of an installed package, but not Assay's, may register a definition."""
    decorators = [d.func if isinstance(d, ast.Call) else d for d in definition.decorator_list]
    names = [chain_of(decorator).partition(".")[0] for decorator in decorators]
    if any(is_ours_by(name, space) for name in names):
        return False
    return any(_is_installed(space.get(name)) for name in names)


def _is_harmless(root: str, space: Mapping[str, Any]) -> bool:
    """Return whether a call only declares, prints, or fills a value.

    It declares if it calls something of Assay's, or a function that does. A value counts for the
    code that reaches it.
    """
    value = space.get(root)
    if isinstance(value, types.FunctionType):
        return any(is_ours_by(name, value.__globals__) for name in _names(value.__code__))
    if is_ours_by(root, space) or isinstance(value, dict | list | set):
        return True
    return root == "print" and root not in space


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _is_installed(value: Any) -> bool:
    """Return whether a value is of an installed package that may register its arguments."""
    is_module = isinstance(value, types.ModuleType)
    home = value.__name__ if is_module else getattr(value, "__module__", None)
    top = str(home or "").partition(".")[0]
    file = str(getattr(sys.modules.get(top), "__file__", None) or "")
    return "site-packages" in file and top not in _WRAPPERS


def _root_of(target: ast.expr) -> str:
    while isinstance(target, ast.Attribute | ast.Subscript):
        target = target.value
    return target.id if isinstance(target, ast.Name) else ""


def _aliases(module: ast.Module) -> Iterator[ast.alias]:
    for node in _outside_functions(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from node.names


def _imports_in(module: ast.Module) -> Iterator[str]:
    """Yield the imports outside of functions: `a.b`, or `.a:b` for `from .a import b`."""
    for node in _outside_functions(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (
                f"{'.' * node.level}{node.module or ''}:{alias.name}" for alias in node.names
            )


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    for label in _BLOCKS:
        for inner in getattr(node, label, None) or ():
            if isinstance(inner, ast.AST):
                yield inner
                if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield from _outside_functions(inner)


def _modules_of(text: str, package: str) -> Sequence[str]:
    """Return all modules that an import may import: packages, and the name if it is a module."""
    base, _, name = text.partition(":")
    level = len(base) - len(base.lstrip("."))
    try:
        base = absolute(ast.ImportFrom(module=base[level:], names=[], level=level), package)
    except ImportError:
        return ()
    steps = [*base.split("."), *([name] if name else [])]
    return [".".join(steps[:count]) for count in range(1, len(steps) + 1)]
