"""Helpers for digests of Python values: are they plain, where are they defined, what is in them."""

import ast
import inspect
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any

_WITH_HOME = (types.FunctionType, types.BuiltinFunctionType, type)
PLAIN: set[Any] = {
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


def is_plain(value: Any) -> bool:
    """Return whether `repr` of a value says all about it."""
    return type(value) in PLAIN or isinstance(value, PurePath)


def home(value: Any) -> str:
    """Return the full name of a function, class or module; '' for any other value."""
    if isinstance(value, types.ModuleType):
        return value.__name__
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, _WITH_HOME) else ""


def target_of(name: str, imported: Mapping[str, str], space: Mapping[str, Any]) -> str:
    """Return the full name of what a dotted name stands for."""
    root, _, rest = name.partition(".")
    place = imported.get(root) or home(space.get(root))
    return f"{place}.{rest}" if rest else place or name


def import_targets(nodes: Iterable[ast.Import | ast.ImportFrom]) -> Iterator[tuple[str, str]]:
    """Yield the names that imports bind, each with its target."""
    for node in nodes:
        for alias in node.names:
            module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            bound = alias.asname or alias.name.partition(".")[0]
            yield bound, module + (alias.name if alias.asname or module else bound)


def sort_key(value: Any) -> str:
    """Return a sort key for members of sets and dicts that is the same in every process."""
    if place := home(value):
        # The line tells lambdas apart, which share a name.
        line = value.__code__.co_firstlineno if isinstance(value, types.FunctionType) else 0
        return f"{place} {line:9}"
    return repr(value) if is_plain(value) else type(value).__qualname__


def module_space(cls: type) -> Mapping[str, Any]:
    """Return the names of the module that defines a class."""
    module = sys.modules.get(cls.__module__)
    return vars(module) if module else {}


def attribute_names(value: Any) -> set[str]:
    """Return the names in a value's dictionary and in the slots of all its classes."""
    slots = (
        name
        for kind in type(value).__mro__
        for name, of in vars(kind).items()
        if inspect.ismemberdescriptor(of)
    )
    return {*(name for name in getattr(value, "__dict__", ()) if isinstance(name, str)), *slots}


def underlying(value: Any) -> Any:
    """Return the function of a method or the getter of a property; else the value."""
    return getattr(value, "__func__", getattr(value, "fget", value))


def bytecode(code: types.CodeType) -> str:
    """Return a code object as text."""
    consts = [bytecode(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    return repr((code.co_code, consts, code.co_names, code.co_varnames))


def bytecode_names(code: types.CodeType) -> Iterator[str]:
    """Yield the names in a function's bytecode, and in that of the functions inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from bytecode_names(inner)


def is_filled(cell: types.CellType) -> bool:
    """Return whether a closure's cell has a value."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def module_behind(chain: str, space: Mapping[str, Any]) -> types.ModuleType | None:
    """Return the innermost module that a dotted name leads to; None if it begins with no module."""
    root, *names = chain.split(".")
    module = space.get(root)
    if not isinstance(module, types.ModuleType):
        return None
    for name in names:
        inner = getattr(module, name, None)
        module = inner if isinstance(inner, types.ModuleType) else module
    return module
