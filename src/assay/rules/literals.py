"""Values that a check is given: as JSON, and as SQL beside a column of some type."""

import math
import struct
from collections.abc import Collection
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from assay.engines.quoting import literal
from assay.engines.types import DECIMAL, INTEGERS

_ZONED = "TIMESTAMP WITH TIME ZONE"


class NotALiteral(ValueError):
    """A value that has no plain form, or that Polars and DuckDB might compare differently."""


def encode(value: Any) -> Any:
    """Return a value in a form that JSON can hold, from which `decode()` restores it."""
    match value:
        case None | bool():
            return value
        case str():  # perhaps of a subclass, such as that of numpy
            return str.__str__(value)
        case int():
            return int(value) if -(2**63) <= value < 2**63 else {"int": str(int(value))}
        case float():
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        case Decimal():
            return {"decimal": str(value)}
        case datetime() if value.tzinfo is None or value.utcoffset() == timedelta(0):
            return {"datetime": value.isoformat()}
        case date() if not isinstance(value, datetime):
            return {"date": value.isoformat()}
        case list() | tuple() | set() | frozenset():
            return {"many": sorted((encode(v) for v in value), key=repr)}
    raise NotALiteral(f"{type(value).__name__} has no plain form")


def decode(stored: Any) -> Any:
    """Return the value that `encode()` was given."""
    if not isinstance(stored, dict):
        return stored
    ((kind, content),) = stored.items()
    match kind:
        case "int":
            return int(content)
        case "float":
            return float(content)
        case "decimal":
            return Decimal(content)
        case "datetime":
            return datetime.fromisoformat(content)
        case "date":
            return date.fromisoformat(content)
    return [decode(value) for value in content]


def beside(value: Any, type: str) -> str:
    """Return the SQL of a value, to be compared with a column of a type as Polars compares them.

    Raises NotALiteral where they may compare differently: pandera checks such a demand.
    """
    decimal = DECIMAL.match(type)
    match value:
        case bool():
            if type == "BOOLEAN":
                return str(value)
        case int() if type in INTEGERS | {"DOUBLE", "FLOAT"}:
            if abs(value) < 2**63 and (type in INTEGERS or abs(value) <= 2**24):
                return str(value) if type in INTEGERS else f"cast({value} as {type})"
        case int() if decimal:
            if abs(value) < 10 ** (38 - int(decimal[2])):
                return str(value)
        case float() if type in {"DOUBLE", "FLOAT"}:
            return _float(value, type)
        case float() if type in INTEGERS or (decimal and int(decimal[1]) <= 15):
            if math.isfinite(value) and (decimal or _fits_f32(value)):
                return _float(value, "DOUBLE")
        case Decimal() if decimal and value.is_finite():
            return _decimal(value, int(decimal[1]), int(decimal[2]))
        case str() if type == "VARCHAR" and "\0" not in value:
            return literal(value)
        case datetime():
            return _datetime(value, type)
        case date() if type == "DATE":
            return f"date {literal(value.isoformat())}"
    raise NotALiteral(f"{value!r} beside {type}")


def among(column: str, values: Collection[Any], type: str) -> str:
    """Return the SQL of whether a column is one of these values; null for a null."""
    values = [value for value in values if value is not None]
    comparable = _comparable_types(type)
    if any(builtin_type(value) not in comparable for value in values):
        names = sorted({builtin_type(value).__name__ for value in values})
        raise NotALiteral(f"a list of {', '.join(names)} beside {type}")
    if not values:
        return f"({column} is null and null)"  # false for every value
    return f"{column} in ({', '.join(sorted(beside(value, type) for value in values))})"


def _comparable_types(type: str) -> set[Any]:
    """Return the types of values that a list may hold beside a column of this type."""
    if type == "BOOLEAN":
        return {bool}
    if type in INTEGERS:
        return {int}
    if DECIMAL.match(type):
        return {Decimal}
    return {float} if type == "DOUBLE" else {str, date, datetime}


def builtin_type(value: Any) -> type:
    """Return the type of a value; `type` is the name of a column's type in this package."""
    kind: type = value.__class__
    return kind


def _float(value: float, type: str) -> str:
    number = repr(value)
    if math.isnan(value):
        number = "'nan'"
    elif math.isinf(value):
        number = "'inf'" if value > 0 else "'-inf'"
    return f"cast({number} as {type})"


def _fits_f32(value: float) -> bool:
    return abs(value) <= 2**24 and struct.unpack("f", struct.pack("f", value))[0] == value


def _decimal(value: Decimal, precision: int, scale: int) -> str:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    decimals = max(0, -exponent)
    integer_digits = max(len(digits) + exponent, 0)
    if max(precision - scale, integer_digits) + max(scale, decimals) > 38:
        raise NotALiteral(f"{value} has too many digits beside DECIMAL({precision},{scale})")
    width = max(integer_digits + decimals, 1)
    return f"cast('{value:f}' as decimal({width},{decimals}))"


def _datetime(value: datetime, type: str) -> str:
    if type == _ZONED and value.tzinfo is not None and value.utcoffset() == timedelta(0):
        return f"cast('{value.replace(tzinfo=None).isoformat(sep=' ')}+00:00' as timestamptz)"
    if value.tzinfo is None and (
        type == "TIMESTAMP" or (type == "TIMESTAMP_MS" and not value.microsecond)
    ):
        return f"cast('{value.isoformat(sep=' ')}' as timestamp)"
    raise NotALiteral(f"{value.isoformat()} beside {type}")
