"""Values that a check is given: as JSON can hold them, and as SQL spells them beside a column of some type."""

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
    """A value that cannot be told here, or that Polars and DuckDB might compare differently; says why."""


def encode(value: Any) -> Any:
    """Return a value as JSON can hold it, so that `decode()` gives it back with its type."""
    match value:
        case None | bool():
            return value
        case str():  # of a kind of its own, perhaps, as those of numpy
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
    """Return the value behind what `encode()` made of it."""
    if not isinstance(stored, dict):
        return stored
    ((kind, told),) = stored.items()
    match kind:
        case "int":
            return int(told)
        case "float":
            return float(told)
        case "decimal":
            return Decimal(told)
        case "datetime":
            return datetime.fromisoformat(told)
        case "date":
            return date.fromisoformat(told)
    return [decode(value) for value in told]


def beside(value: Any, type: str) -> str:
    """Return the SQL of a value that is compared with a column of a type exactly as Polars compares them.

    Raises NotALiteral where the two would, or might, differ: there, pandera itself has to be asked.
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
    """Return the SQL that says whether a column is one of these values; null for null."""
    told = [value for value in values if value is not None]
    if type == "BOOLEAN":
        kinds: set[Any] = {bool}
    elif type in INTEGERS:
        kinds = {int}
    else:
        kinds = (
            {Decimal}
            if DECIMAL.match(type)
            else {float}
            if type == "DOUBLE"
            else {str, date, datetime}
        )
    if any(builtin_type(value) not in kinds for value in told):
        raise NotALiteral(
            f"a list of {', '.join(sorted({builtin_type(v).__name__ for v in told}))} beside {type}"
        )
    if not told:
        return f"({column} is null and null)"  # false for whatever is there
    return f"{column} in ({', '.join(sorted(beside(value, type) for value in told))})"


def builtin_type(value: Any) -> type:
    """Return the type of a value (a name of its own, because `type` means a column's here)."""
    kind: type = value.__class__
    return kind


def _float(value: float, type: str) -> str:
    told = (
        "'nan'"
        if math.isnan(value)
        else f"'{'-' if value < 0 else ''}inf'"
        if math.isinf(value)
        else repr(value)
    )
    return f"cast({told} as {type})"


def _fits_f32(value: float) -> bool:
    return abs(value) <= 2**24 and struct.unpack("f", struct.pack("f", value))[0] == value


def _decimal(value: Decimal, precision: int, scale: int) -> str:
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    mine = max(0, -exponent)
    whole = max(len(digits) + exponent, 0)
    if max(precision - scale, whole) + max(scale, mine) > 38:
        raise NotALiteral(f"{value} has too many digits beside DECIMAL({precision},{scale})")
    return f"cast('{value:f}' as decimal({max(whole + mine, 1)},{mine}))"


def _datetime(value: datetime, type: str) -> str:
    if type == _ZONED and value.tzinfo is not None and value.utcoffset() == timedelta(0):
        return f"cast('{value.replace(tzinfo=None).isoformat(sep=' ')}+00:00' as timestamptz)"
    if value.tzinfo is None and (
        type == "TIMESTAMP" or (type == "TIMESTAMP_MS" and not value.microsecond)
    ):
        return f"cast('{value.isoformat(sep=' ')}' as timestamp)"
    raise NotALiteral(f"{value.isoformat()} beside {type}")
