"""Comparisons of unlike types in a bound plan: DuckDB converts each value, which may fail or never match."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from assay.plan.misfits import Degree, Problem

_CAST = "OPERATOR_CAST"
_EXPLICIT = re.compile(rb"\s*(::|(try_)?cast\b)", re.IGNORECASE)
_FAMILIES = {
    **dict.fromkeys(("VARCHAR", "CHAR"), "text"),
    **dict.fromkeys(
        (
            *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"),
            *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
        ),
        "number",
    ),
    "BOOLEAN": "boolean",
    "BLOB": "bytes",
}


def unlike_types(plan: Mapping[str, Any], sql: str, start: int) -> Iterator[Problem]:
    """Yield the comparisons in a plan of which a side that is no constant is converted.

    Numbers beside numbers, and times beside times, are not unlike. `start` is where the query
    begins in the text that was planned, in bytes.
    """
    text, seen = sql.encode(), set[tuple[str, int]]()
    for left, right in _comparisons(plan):
        for side, other in ((left, right), (right, left)):
            offset = _offset(side, text, start)
            if not _is_converted(side, text, offset):
                continue
            [value] = side["children"]
            name, beside = _text(side, text, start), _text(other, text, start)
            to, whose = _type(side), "" if _is_constant(other) else f" ({_type(_inner(other))})"
            what = (
                f"{name} ({_type(value)}) is compared with {beside}{whose}:"
                f" each value of {name} is converted to {to}"
            )
            if (what, offset) not in seen:
                yield Problem(degree=Degree.DOUBTFUL, what=what, offset=offset)
            seen.add((what, offset))


class Constant(Struct, frozen=True):
    """A text that a query compares with `beside`, as a value of this type; at this offset."""

    text: str
    type: str
    beside: str
    offset: int


def compared_texts(plan: Mapping[str, Any], sql: str, start: int) -> Iterator[Constant]:
    """Yield the texts in a query that are compared with values of another type."""
    text = sql.encode()
    for left, right in _comparisons(plan):
        for side, other in ((left, right), (right, left)):
            value = side["children"][0].get("value") if side.get("type") == _CAST else None
            if not isinstance(value, dict) or not isinstance(value.get("value"), str):
                continue
            offset = _offset(side, text, start)
            if value["type"]["id"] == "VARCHAR" and not _EXPLICIT.match(text[max(offset, 0) :]):
                beside = _text(other, text, start)
                yield Constant(value["value"], spelled(side["return_type"]), beside, offset)


def spelled(type: Mapping[str, Any]) -> str:
    """Return the spelling of a type without parts; '' for another."""
    info = type.get("type_info")
    if info is None:
        return "" if type["id"] in {"NULL", "ANY", "UNKNOWN"} else str(type["id"])
    return f"DECIMAL({info['width']},{info['scale']})" if type["id"] == "DECIMAL" else ""


def _comparisons(node: Any) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the two sides of each comparison, also of those that joins are made by."""
    if isinstance(node, list):
        for each in node:
            if isinstance(each, list | dict):
                yield from _comparisons(each)
        return
    if "comparison" in node and isinstance(node.get("left"), dict):
        yield node["left"], node["right"]
    elif str(node.get("type", "")).startswith("COMPARE_"):
        first, *others = node.get("children") or [node.get("left"), node.get("right")]
        for other in others:
            if isinstance(first, dict) and isinstance(other, dict):
                yield first, other
    for each in node.values():
        if isinstance(each, list | dict):
            yield from _comparisons(each)


def _is_converted(side: Mapping[str, Any], text: bytes, offset: int) -> bool:
    """Return whether a value of another kind of type is converted, which the query does not say."""
    if side.get("type") != _CAST:
        return False
    [value] = side["children"]
    is_implicit = offset < 0 or not _EXPLICIT.match(text[offset:])
    return (
        is_implicit
        and not _is_constant(value)
        and "return_type" in value
        and _family(value) != _family(side)
    )


def _is_constant(node: Any) -> bool:
    """Return whether no column takes part."""
    if isinstance(node, list):
        return all(map(_is_constant, node))
    if not isinstance(node, dict):
        return True
    if node.get("expression_class") in {"BOUND_REF", "BOUND_COLUMN_REF", "BOUND_SUBQUERY"}:
        return False
    return all(_is_constant(each) for each in node.values() if isinstance(each, list | dict))


def _inner(side: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = side["children"][0] if side.get("type") == _CAST else side
    return inner if isinstance(inner, Mapping) else side


def _family(node: Mapping[str, Any]) -> str:
    name = str(node["return_type"]["id"])
    is_time = name.startswith(("DATE", "TIMESTAMP"))
    return "time" if is_time else _FAMILIES.get(name, name)


def _type(node: Mapping[str, Any]) -> str:
    return str(node["return_type"]["id"]) if "return_type" in node else "of no type"


def _offset(node: Mapping[str, Any], text: bytes, start: int) -> int:
    """Return the place of an expression in the query; -1 for none, as of a column after `using`."""
    offset = int(node.get("query_location", 0)) - start
    return offset if 0 <= offset < len(text) else -1


def _text(node: Mapping[str, Any], text: bytes, start: int) -> str:
    """Return the text of an expression in the query; a column's name where it has no place."""
    offset = _offset(node, text, start)
    length = int(node.get("query_location_length", 0))
    if offset >= 0 and length:
        return " ".join(text[offset : offset + length].decode(errors="replace").split())
    return str(_inner(node).get("alias") or "a value")
