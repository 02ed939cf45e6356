"""Whether a type of DuckDB holds every value that another one holds."""

import re

from assay.plan.changes.values import Way

_INTEGERS = {
    name: (-(1 << bits - 1), (1 << bits - 1) - 1)
    for name, bits in (
        ("TINYINT", 8),
        ("SMALLINT", 16),
        ("INTEGER", 32),
        ("BIGINT", 64),
        ("HUGEINT", 128),
    )
} | {
    name: (0, (1 << bits) - 1)
    for name, bits in (
        ("UTINYINT", 8),
        ("USMALLINT", 16),
        ("UINTEGER", 32),
        ("UBIGINT", 64),
        ("UHUGEINT", 128),
    )
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_EXACT_IN = {"FLOAT": 1 << 24, "DOUBLE": 1 << 53}  # the integers up to here are exact
_WIDER = {
    ("FLOAT", "DOUBLE"),
    ("TIMESTAMP_S", "TIMESTAMP_MS"),
    ("TIMESTAMP_S", "TIMESTAMP"),
    ("TIMESTAMP_MS", "TIMESTAMP"),
}


def type_way(before: str, now: str) -> Way | None:
    """Return how a type moved: STRONGER when it holds more now, WEAKER when less. None if equal."""
    if before == now:
        return None
    if _holds(now, before):
        return Way.STRONGER
    return Way.WEAKER if _holds(before, now) else Way.OTHER


def _holds(wide: str, narrow: str) -> bool:
    """Return whether every value of `narrow` has one of `wide`."""
    if wide == narrow or (narrow, wide) in _WIDER:
        return True
    if wide.endswith("[]") and narrow.endswith("[]"):
        return _holds(wide[:-2], narrow[:-2])
    if wide == "VARCHAR" and narrow.startswith("ENUM("):
        return True
    if narrow in _INTEGERS:
        low, high = _INTEGERS[narrow]
        if wide in _INTEGERS:
            least, most = _INTEGERS[wide]
            return least <= low and high <= most
        if wide in _EXACT_IN:
            return high <= _EXACT_IN[wide]
        if digits := _digits(wide):
            return high < int(10 ** digits[0])
    one, two = _digits(wide), _digits(narrow)
    return bool(one and two and one[0] >= two[0] and one[1] >= two[1])


def _digits(type: str) -> tuple[int, int] | None:
    """Return how many digits a decimal has before the point, and after it."""
    match = _DECIMAL.fullmatch(type)
    return (int(match[1]) - int(match[2]), int(match[2])) if match else None
