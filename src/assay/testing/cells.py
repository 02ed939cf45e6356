"""Values that a test gives, as the values of a column's type: exactly, or not at all; pure."""

import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from decimal import Context, Decimal
from typing import Any

from assay.engines.types import DECIMAL, INTEGERS, enum_values, fields_of

_WHOLE = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE
)
_BITS = {"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128}
_BOOLEANS = {"true": True, "false": False}
_EXACT = Context(prec=100)  # no number of a type has more digits
_SHOWN = 60  # letters of a wrong value that a message quotes
# The types that a column without a declared type may have, the first that fits all its cells.
_GUESSES = ("BOOLEAN", "BIGINT", "DOUBLE", "DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE")


class FileNumber(Decimal):
    """A number with a fraction in a test file, as it was written: it has no type of its own yet."""


class Text(str):
    """A cell of CSV text: not yet of any type."""


class Unfit(ValueError):
    """A value that a type cannot hold; the message says which, and why."""


def value_of(value: Any, type: str) -> Any:
    """Return a value as one of a type, as DuckDB spells the type; None for None.

    Raises Unfit for a value that the type cannot hold exactly.
    """
    if value is None:
        return None
    try:
        return _convert(value, type)
    except (ValueError, ArithmeticError, TypeError) as error:
        why = f": {error}" if isinstance(error, Unfit) else ""
        raise Unfit(f"{shown(value)} is no {type}{why}") from None


def shown(value: Any) -> str:
    """Return a value as messages quote it: a text in quotes, and shortened."""
    text = repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def type_of(values: Iterable[Any]) -> str:
    """Return the type of a column that nothing declares, from its values; VARCHAR for none.

    Raises Unfit for values that are of no common type.
    """
    known = [value for value in values if value is not None]
    if not known:
        return "VARCHAR"
    if all(isinstance(value, Text) for value in known):
        return next((type for type in _GUESSES if _all_fit(known, type)), "VARCHAR")
    types = {_own_type(value) for value in known}
    if types <= {"BIGINT", "DOUBLE"}:
        return max(types)
    if len(types) == 1:
        return types.pop()
    if all(type.startswith("DECIMAL") or type == "BIGINT" for type in types):
        return _widest(known)
    raise Unfit(f"the values are of several types: {', '.join(sorted(types))}")


def _all_fit(values: Iterable[str], type: str) -> bool:
    if type in {"BIGINT", "DOUBLE"} and any(re.match(r"[+-]?0\d", value) for value in values):
        return False  # a code with leading zeros is a text
    with suppress(Unfit):
        return all(value_of(value, type) is not None for value in values)
    return False


def _own_type(value: Any) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "BIGINT"
        case FileNumber() | float():
            return "DOUBLE"
        case Decimal():
            return _widest([value])
        case datetime():
            return "TIMESTAMP WITH TIME ZONE" if value.tzinfo else "TIMESTAMP"
        case date():
            return "DATE"
        case time():
            return "TIME"
        case bytes():
            return "BLOB"
        case list() | tuple():
            return f"{type_of(value)}[]"
        case Mapping():
            fields = (
                f'"{str(k).replace(chr(34), chr(34) * 2)}" {type_of([v])}' for k, v in value.items()
            )
            return f"STRUCT({', '.join(fields)})"
        case str():
            return "VARCHAR"
    raise Unfit(f"{shown(value)} is of a type that no column has: {type(value).__name__}")


def _widest(values: Iterable[Any]) -> str:
    """Return the DECIMAL type that holds all of these numbers."""
    scale = whole = 0
    for value in values:
        number = Decimal(value)
        if not number.is_finite():
            raise Unfit(f"{number} is no DECIMAL")
        _, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        scale = max(scale, -exponent)
        whole = max(whole, len(digits) + exponent, 1)
    if whole + scale > 38:
        raise Unfit("a number has more digits than DECIMAL holds")
    return f"DECIMAL({max(whole + scale, 18)},{scale})"


def _convert(value: Any, type: str) -> Any:
    """Return a value as one of a type; ValueError, TypeError or ArithmeticError for another."""
    if type.endswith("[]"):
        items = json.loads(value, parse_float=FileNumber) if isinstance(value, Text) else value
        if not isinstance(items, list | tuple):
            raise Unfit("it should be a list")
        return [value_of(item, type[:-2]) for item in items]
    if type.startswith("STRUCT("):
        return _struct(value, type)
    if type.startswith("ENUM("):
        return _enum(value, type)
    if decimal := DECIMAL.match(type):
        return _decimal(value, int(decimal[1]), int(decimal[2]))
    if type in INTEGERS:
        return _whole(value, type)
    return _plain(type)(value)


def _plain(type: str) -> Callable[[Any], Any]:
    if type.startswith("TIMESTAMP"):
        return lambda value: _moment(value, zoned="TIME ZONE" in type or "TZ" in type)
    converters: dict[str, Callable[[Any], Any]] = {
        "BOOLEAN": _boolean,
        "DOUBLE": _float,
        "FLOAT": _single,
        "VARCHAR": _text,
        "DATE": _date,
        "TIME": _time,
        "BLOB": _bytes,
    }
    if type not in converters:
        raise Unfit("such values cannot be written in a test: give a Parquet file")
    return converters[type]


def _whole(value: Any, type: str) -> int:
    if isinstance(value, Text):
        if not _WHOLE.fullmatch(value):
            raise Unfit("it should be a whole number")
        number = int(value)
    elif isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value % 1:
        raise Unfit("it should be a whole number")
    else:
        number = int(value)
    bits = _BITS[type.removeprefix("U")]
    low, high = (0, 2**bits) if type.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1))
    if not low <= number < high:
        raise Unfit(f"it should be between {low} and {high - 1}")
    return number


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise Unfit("it should be a number")
    text = repr(value) if isinstance(value, float) else str(value)
    if not _NUMBER.fullmatch(text):
        raise Unfit("it should be a number")
    return Decimal(text)


def _decimal(value: Any, width: int, scale: int) -> Decimal:
    number = _number(value)
    if not number.is_finite():
        raise Unfit("it should be a finite number")
    if len(number.as_tuple().digits) > _EXACT.prec:
        raise Unfit("it has too many digits")
    _, digits, exponent = number.normalize(_EXACT).as_tuple()
    assert isinstance(exponent, int)
    if digits != (0,) and -exponent > scale:
        raise Unfit(f"it has more than {scale} digits behind the point")
    if digits != (0,) and len(digits) + exponent > width - scale:
        raise Unfit(f"it has more than {width - scale} digits before the point")
    return number.quantize(Decimal(1).scaleb(-scale), context=_EXACT)


def _float(value: Any) -> float:
    number = float(_number(value))
    if math.isinf(number) and "inf" not in str(value).lower():
        raise Unfit("it is too large")
    return number


def _single(value: Any) -> float:
    """Return a number as the nearest that FLOAT has."""
    return float(struct.unpack("f", struct.pack("f", _float(value)))[0])


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _BOOLEANS:
        return _BOOLEANS[value.lower()]
    raise Unfit("it should be true or false")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("it should be a text: write it in quotes")
    return str(value)


def _date(value: Any) -> date:
    if isinstance(value, datetime):
        raise Unfit("it has a time of day")
    return value if isinstance(value, date) else date.fromisoformat(_text(value))


def _moment(value: Any, *, zoned: bool) -> datetime:
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise Unfit("it should be a date and a time")
    if zoned:  # without a zone it is of UTC, as everywhere in a run
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    if value.tzinfo:
        raise Unfit("it has a time zone, and the column has none")
    return value


def _time(value: Any) -> time:
    return value if isinstance(value, time) else time.fromisoformat(_text(value))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _text(value).encode()


def _enum(value: Any, type: str) -> str:
    if value not in enum_values(type):
        raise Unfit("it is none of these values")
    return str(value)


def _struct(value: Any, type: str) -> dict[str, Any]:
    fields = json.loads(value, parse_float=FileNumber) if isinstance(value, Text) else value
    if not isinstance(fields, Mapping):
        raise Unfit("it should be a table of fields")
    types = dict(fields_of(type))
    if unknown := [str(name) for name in fields if name not in types]:
        raise Unfit(f"it has no field {unknown[0]!r}; it has: {', '.join(types)}")
    return {name: value_of(fields.get(name), inner) for name, inner in types.items()}
