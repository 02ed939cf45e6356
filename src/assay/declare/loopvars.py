"""Finds functions that were declared in a loop and read its variable: all of them see what it is after the loop."""

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
    """A function as it was declared, under a name: what its variables were then (`read_now`)."""

    name: str
    where: Where
    function: Any
    then: Mapping[str, Any]


def read_now(function: Any) -> dict[str, Any]:
    """Return the values that the variables of a function have which it does not set itself: globals, and closures."""
    if not isinstance(function, types.FunctionType):
        return {}
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    values = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is not set yet
            values[name] = cell.cell_contents
    return values


def shared_variables(declared: Iterable[Declared]) -> Iterator[tuple[Declared, str, str]]:
    """Yield what is wrong, with the first declaration that it is about, and what to do instead.

    Several declarations of one function were made in a loop. A variable that was another when one of them was declared
    is the loop's.
    """
    by_code: dict[int, list[Declared]] = {}
    for one in declared:
        if isinstance(one.function, types.FunctionType):
            by_code.setdefault(id(one.function.__code__), []).append(one)
    for same in by_code.values():
        if len(same) > 1:
            yield from _mistakes(same)


def _mistakes(same: list[Declared]) -> Iterator[tuple[Declared, str, str]]:
    code, now = same[0].function.__code__, [read_now(one.function) for one in same]
    for name in sorted(_variables(code)):
        both = zip(same, now, strict=True)
        pairs = [
            (one.then[name], after.get(name, _ABSENT)) for one, after in both if name in one.then
        ]
        if not any(_differ(then, after) for then, after in pairs):
            continue
        names = list(dict.fromkeys(one.name for one in same))
        some = ", ".join(names[:_NAMED]) + (
            f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        )
        read, last = "all read" if len(names) > 1 else "reads", pairs[-1][1]
        value = repr(last) if isinstance(last, _SHOWN) else f"the last {type(last).__name__}"
        what = f"{some} {read} `{name}`, which is {'gone' if last is _ABSENT else value} after the loop"
        given = ", ".join([*code.co_varnames[: code.co_argcount], f"{name}={name}"])
        bound = (
            f"lambda {given}: ..." if code.co_name == "<lambda>" else f"def {code.co_name}({given})"
        )
        yield same[0], what, f"Bind the value of each round as a default: {bound}."


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _variables(code: types.CodeType) -> set[str]:
    """Return the names that a function reads as variables; those of attributes are not among them."""
    loads = {"LOAD_GLOBAL", "LOAD_NAME"}
    read = {
        i.argval for inner in _codes(code) for i in dis.get_instructions(inner) if i.opname in loads
    }
    return read | set(code.co_freevars)


def _differ(then: Any, now: Any) -> bool:
    if then is now:
        return False
    with suppress(Exception):  # values may be anything, and do anything when they are compared
        return (
            type(then) is not type(now) or not isinstance(then, _COMPARED) or not bool(then == now)
        )
    return True
