"""What is wrong with a call of `Freshness`, `Consumer` or `calendar`, whose keywords are few."""

import ast
import difflib
import inspect
import linecache
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from assay.declare.words import calendar
from assay.model import Consumer, Freshness

_FIRST: dict[Callable[..., Any], str] = {Freshness: "by", Consumer: "name", calendar: "holidays"}
_SAME = {
    "timezone": "tz",
    "zone": "tz",
    "time": "by",
    "at": "by",
    "cron": "every",
    "weekdays": "weekmask",
}


def wrong_call(error: BaseException, project_frame: TracebackType | None) -> str:
    """Return what is wrong with the arguments of a call that raised a TypeError; '' if that is not why.

    `project_frame` is where the project's code called something.
    """
    if not isinstance(error, TypeError) or project_frame is None:
        return ""
    with suppress(Exception):  # only a message: what it is made of may be anything
        call = _call_at(project_frame)
        function = _function_of(call, project_frame.tb_frame.f_globals)
        if function is not None:
            return _wrong(call, function)
    return ""


def _call_at(place: TracebackType) -> ast.Call:
    """Return the call that a traceback goes through; ValueError when there is none."""
    positions = list(place.tb_frame.f_code.co_positions())[place.tb_lasti // 2]
    first, last, start, end = positions
    if first is None or last is None or start is None or end is None:
        raise ValueError("the place is not known")
    linecache.checkcache(place.tb_frame.f_code.co_filename)
    lines = [
        linecache.getline(place.tb_frame.f_code.co_filename, number).encode()
        for number in range(first, last + 1)
    ]
    lines[-1] = lines[-1][:end]
    lines[0] = lines[0][start:]
    tree = ast.parse(b"".join(lines).decode(), mode="eval")
    if not isinstance(tree.body, ast.Call):
        raise ValueError("this is no call")
    return tree.body


def _function_of(call: ast.Call, names: dict[str, Any]) -> Callable[..., Any] | None:
    """Return which of the functions is called."""
    value: Any = None
    match call.func:
        case ast.Name(id=name):
            value = names.get(name)
        case ast.Attribute(value=ast.Name(id=module), attr=name):
            value = getattr(names.get(module), name, None)
    return next((function for function in _FIRST if function is value), None)


def _wrong(call: ast.Call, function: Callable[..., Any]) -> str:
    name, keywords = function.__name__, [*inspect.signature(function).parameters]
    if call.args:
        first = _FIRST[function]
        if function is Freshness and _is_length(call.args[0]):
            first = "within"
        return f"{name}() takes keywords only: write {first}={_source(call.args[0])}"
    for given in call.keywords:
        if given.arg and given.arg not in keywords:
            close = difflib.get_close_matches(given.arg, keywords, n=1)
            same = _SAME.get(given.arg, "")
            meant = same if same in keywords else "".join(close)
            hint = f"did you mean {meant!r}?" if meant else f"it has {', '.join(keywords)}"
            return f"{name}() has no keyword {given.arg!r}: {hint}"
    return ""


def _source(value: ast.expr) -> str:
    text = ast.unparse(value)
    plain = isinstance(value, ast.Constant) and isinstance(value.value, str) and '"' not in text
    return f'"{text[1:-1]}"' if plain else text


def _is_length(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and str(value.value)[-1:].isalpha()
