"""What modules do to others as they are imported: call what registers, store into what they import, let it decorate.

A function can come to run what was registered so without naming it; so these statements, of the modules that its own
imports, count for it, with all that they reach.
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
    is_ours_by,
    names_in,
    say,
)
from assay.plan.digests import digest

_EFFECTS, _IMPORTS = "effects", "imports"  # among what is known of a text
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_BLOCKS = ("body", "handlers", "orelse", "finalbody", "cases")
# Packages whose decorators make something of what they decorate, and register it nowhere.
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
    """What the modules of a project do as they are imported, each worked out once."""

    def __init__(
        self, tree_of: Callable[[str], SourceTree | None], reach: Callable[[], CodeDigest]
    ) -> None:
        self.tree_of, self.reach = tree_of, reach
        self._digests: dict[str, str] = {}
        self._imported: dict[str, list[str]] = {}

    def of(self, module: str) -> dict[str, str]:
        """Return what a module, and all of the project's that it imports, do as they are imported: digests by name."""
        seen, ahead = {module}, [module]
        while ahead:
            for name in self._imports(ahead.pop()):
                if name not in seen:
                    seen.add(name)
                    ahead.append(name)
        return {
            f"{name} as it is imported": told
            for name in sorted(seen)
            if (told := self._digest(name))
        }

    def _tree(self, name: str) -> tuple[SourceTree | None, Mapping[str, Any], str]:
        module = sys.modules.get(name)
        file = str(getattr(module, "__file__", None) or "")
        return self.tree_of(file), vars(module) if module else {}, file

    def _imports(self, name: str) -> list[str]:
        if name not in self._imported:
            tree, space, _ = self._tree(name)
            if tree and _IMPORTS not in tree.known:
                tree.known[_IMPORTS] = "", sorted(set(_imports_in(tree.module))), {}
            package = str(space.get("__package__") or "")
            named = tree.known[_IMPORTS][1] if tree else []
            found = {part for text in named for part in _parts_of(text, package)}
            self._imported[name] = sorted(
                other for other in found if other in sys.modules and self._tree(other)[0]
            )
        return self._imported[name]

    def _digest(self, name: str) -> str:
        """Return the digest of what a module does as it is imported, '' for nothing."""
        if name not in self._digests:
            self._digests[name] = ""  # for modules that import each other
            tree, space, file = self._tree(name)
            if tree and (said := _effects_of(tree, space)):
                reach = self.reach()
                reach.visit_statements(name, said, space, file)
                self._digests[name] = digest(reach.parts)
        return self._digests[name]


def _effects_of(tree: SourceTree, space: Mapping[str, Any]) -> SourceDigest | None:
    """Return what the statements of a module that have effects say; None where there are none."""
    text, names, roots = tree.known.get(_EFFECTS, ("?", [], {}))
    if text == "?" or any(_is_harmless(root, space) != flag for root, flag in roots.items()):
        roots = {}
        imported = {alias.asname or alias.name.partition(".")[0] for alias in _aliases(tree.module)}
        found = [s for s in tree.module.body if _has_effect(s, imported, space, roots)]
        said = say(ast.Module(body=found, type_ignores=[]), space) if found else None
        text, names = (said.digest, sorted(said.names)) if said else ("", [])
        tree.known[_EFFECTS] = text, names, roots
    return SourceDigest(text, set(names), [], {}) if text else None


def _has_effect(
    statement: ast.stmt, imported: set[str], space: Mapping[str, Any], roots: dict[str, bool]
) -> bool:
    """Say whether a statement may change something outside of its module; `roots` gathers what that was decided by."""
    match statement:
        case ast.Expr(value=ast.Call(func=called)):
            return _counts(chain_of(called).partition(".")[0], space, roots)
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            decorators = [
                d.func if isinstance(d, ast.Call) else d for d in statement.decorator_list
            ]
            names = [chain_of(decorator).partition(".")[0] for decorator in decorators]
            ours = any(is_ours_by(name, space) for name in names)
            return not ours and any(_is_installed(space.get(name)) for name in names)
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Delete():
            targets = getattr(statement, "targets", None) or [statement.target]  # type: ignore[union-attr]
            stored = {
                _root_of(target)
                for target in targets
                if isinstance(target, ast.Attribute | ast.Subscript)
            }
            return any(name in imported and _is_installed(space.get(name)) for name in stored)
        case ast.If() if "__name__" in names_in(statement.test):
            return False
    inner = [
        s
        for label in _BLOCKS
        for s in getattr(statement, label, None) or ()
        if isinstance(s, ast.AST)
    ]
    return any(_has_effect(s, imported, space, roots) for s in inner)  # type: ignore[arg-type]


def _counts(root: str, space: Mapping[str, Any], roots: dict[str, bool]) -> bool:
    roots[root] = _is_harmless(root, space)
    return not roots[root]


def _is_harmless(root: str, space: Mapping[str, Any]) -> bool:
    """Say whether a call only declares (with something of ours, or a function that calls that), or fills a value.

    What is in a value counts for those who reach it.
    """
    value = space.get(root)
    if isinstance(value, types.FunctionType):
        return any(is_ours_by(name, value.__globals__) for name in _names(value.__code__))
    return (
        is_ours_by(root, space)
        or isinstance(value, dict | list | set)
        or (root == "print" and root not in space)
    )


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _is_installed(value: Any) -> bool:
    """Say whether something is of an installed package that may register, or keep, what it is given."""
    home = (
        value.__name__
        if isinstance(value, types.ModuleType)
        else getattr(value, "__module__", None)
    )
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
    """Yield what a module imports as it is imported: `a.b`, or `.a:b` for a name from it."""
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


def _parts_of(text: str, package: str) -> Sequence[str]:
    """Return all modules that an import may import: the packages above, and the name, which may be a module."""
    base, _, name = text.partition(":")
    level = len(base) - len(base.lstrip("."))
    try:
        base = absolute(ast.ImportFrom(module=base[level:], names=[], level=level), package)
    except ImportError:
        return ()
    steps = [*base.split("."), *([name] if name else [])]
    return [".".join(steps[:count]) for count in range(1, len(steps) + 1)]
