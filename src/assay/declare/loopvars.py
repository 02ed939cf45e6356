"""Finds functions that were declared in a loop and read its variable: all see its last value."""

import dis
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from msgspec import Struct

from assay.model import Where

_COMPARED = (
    str,
    bytes,
    int,
    float,
    Decimal,
    date,
    time,
    timedelta,
    list,
    tuple,
    set,
    frozenset,
    dict,
)
_SHOWN = (str, int, float, Decimal, date)
_NAMED = 5  # declarations that a message names
_ABSENT = object()


class Declared(Struct, frozen=True):
    """A declared function, with the values of its variables at that time (see `read_now`)."""

    name: str
    where: Where
    function: Any
    values: Mapping[str, Any]


def read_now(function: Any) -> dict[str, Any]:
    """Return the current values of the global and closure variables that a function reads."""
    if not isinstance(function, types.FunctionType):
        return {}
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    values = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is not set yet
            values[name] = cell.cell_contents
    return values


def shared_variables(declared: Iterable[Declared]) -> Iterator[tuple[Declared, str, str]]:
    """Yield the first declaration that reads a loop's variable, with the problem and the hint.

    Declarations with the same code were made in a loop. A variable that had another value when one
    of them was declared is the loop's.
    """
    by_code: dict[int, list[Declared]] = {}
    for declaration in declared:
        if isinstance(declaration.function, types.FunctionType):
            by_code.setdefault(id(declaration.function.__code__), []).append(declaration)
    for group in by_code.values():
        if len(group) > 1:
            yield from _mistakes(group)


def _mistakes(group: list[Declared]) -> Iterator[tuple[Declared, str, str]]:
    """Yield the mistakes of declarations with the same code, a variable each."""
    code = group[0].function.__code__
    current = [read_now(declaration.function) for declaration in group]
    for name in sorted(_variables(code)):
        pairs = [
            (declaration.values[name], now.get(name, _ABSENT))
            for declaration, now in zip(group, current, strict=True)
            if name in declaration.values
        ]
        if any(_differ(declared, now) for declared, now in pairs):
            problem = _problem(group, name, pairs[-1][1])
            yield (
                group[0],
                problem,
                f"Bind the value of each round as a default: {_bound(code, name)}.",
            )


def _problem(group: list[Declared], variable: str, last: Any) -> str:
    """Return the sentence that names the declarations, the variable, and its last value."""
    names = list(dict.fromkeys(declaration.name for declaration in group))
    subject = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        subject += f" and {len(names) - _NAMED} more"
    verb = "all read" if len(names) > 1 else "reads"
    value = repr(last) if isinstance(last, _SHOWN) else f"the last {type(last).__name__}"
    if last is _ABSENT:
        value = "gone"
    return f"{subject} {verb} `{variable}`, which is {value} after the loop"


def _bound(code: types.CodeType, variable: str) -> str:
    """Return the first line of a function that binds a variable as a default."""
    parameters = [*code.co_varnames[: code.co_argcount], f"{variable}={variable}"]
    if code.co_name == "<lambda>":
        return f"lambda {', '.join(parameters)}: ..."
    return f"def {code.co_name}({', '.join(parameters)})"


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _variables(code: types.CodeType) -> set[str]:
    """Return the names of the variables that a function reads, without those of attributes."""
    names = set(code.co_freevars)
    for inner in _codes(code):
        for instruction in dis.get_instructions(inner):
            if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}:
                names.add(instruction.argval)
    return names


def _differ(declared: Any, now: Any) -> bool:
    """Return whether a value has changed; one of another type has, unless it is the same object."""
    if declared is now:
        return False
    with suppress(Exception):  # the user's values may raise anything when they are compared
        if type(declared) is type(now) and isinstance(declared, _COMPARED):
            return not bool(declared == now)
    return True
