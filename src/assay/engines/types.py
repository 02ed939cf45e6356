"""How a type is spelled in DuckDB and in Polars, which types survive being stored, and which casts are exact."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assay.errors import TypeRefused

if TYPE_CHECKING:
    import polars as pl

_NAMES = {
    "Boolean": "BOOLEAN", "Int8": "TINYINT", "Int16": "SMALLINT", "Int32": "INTEGER", "Int64": "BIGINT",
    "Int128": "HUGEINT", "UInt8": "UTINYINT", "UInt16": "USMALLINT", "UInt32": "UINTEGER", "UInt64": "UBIGINT",
    "Float32": "FLOAT", "Float64": "DOUBLE", "String": "VARCHAR", "Categorical": "VARCHAR", "Enum": "VARCHAR",
    "Binary": "BLOB", "Date": "DATE", "Time": "TIME",
}  # fmt: skip
_UNITS = {"us": "TIMESTAMP", "ms": "TIMESTAMP_MS", "ns": "TIMESTAMP_NS"}
_STORABLE = {*_NAMES.values(), "TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIME_NS",
             "TIMESTAMP WITH TIME ZONE"} - {"HUGEINT"}  # fmt: skip
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
             "UHUGEINT"}  # fmt: skip
_DECIMAL = re.compile(r"^DECIMAL\((\d+), ?(\d+)\)$")
_HINTS = {
    "HUGEINT": "cast it (`sum(x)::bigint`) or declare an integer type in the contract",
    "UHUGEINT": "cast it (`sum(x)::bigint`) or declare an integer type in the contract",
    "INTERVAL": "store a number of seconds or days instead",
    "DURATION": "store a number of seconds or days instead",
    "NULL": "every value is null, so it has no type: cast it",
}


def from_polars(dtype: Any) -> str | None:
    """Return DuckDB's spelling of a Polars data type (class or instance); None for one that has none."""
    import polars as pl

    made = dtype if isinstance(dtype, pl.DataType) else None
    match str((dtype.base_type() if made is not None else dtype).__name__):
        case "Decimal":
            return f"DECIMAL({getattr(made, 'precision', None) or 38},{getattr(made, 'scale', 0)})"
        case "Datetime" if getattr(made, "time_zone", None):
            return "TIMESTAMP WITH TIME ZONE"
        case "Datetime":
            return _UNITS[str(getattr(made, "time_unit", "us"))]
        case "List" | "Array" if made is not None:
            inner = from_polars(made.inner)  # type: ignore[attr-defined]
            return f"{inner}[]" if inner else None
        case "Struct" if made is not None:
            fields = [(field.name, from_polars(field.dtype)) for field in made.fields]  # type: ignore[attr-defined]
            return (
                f"STRUCT({', '.join(f'{name} {type}' for name, type in fields)})" if all(t for _, t in fields) else None
            )
        case "Duration" | "Null" | "Object" as name:
            return name.upper()
        case name:
            return _NAMES.get(name)


def to_polars(name: str) -> "pl.DataType | type[pl.DataType]":
    """Return the Polars data type for DuckDB's spelling, for the types that `from_polars` gives."""
    import polars as pl

    if decimal := _DECIMAL.match(name):
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    for unit, spelled in _UNITS.items():
        if name == spelled:
            return pl.Datetime(unit)  # type: ignore[arg-type]
    if name == "TIMESTAMP WITH TIME ZONE":
        return pl.Datetime("us", "UTC")
    polars_name = next(p for p, d in _NAMES.items() if d == name)
    return getattr(pl, polars_name)  # type: ignore[no-any-return]


def exact(have: str, want: str) -> bool:
    """Say whether casting keeps every value, or raises on the first it can't keep."""
    if have in _INTEGERS and want in _INTEGERS:
        return True
    old, new = _DECIMAL.match(have), _DECIMAL.match(want)
    if old and new:
        return int(new[2]) >= int(old[2])
    if have in _INTEGERS and new:
        return True
    if have.startswith("ENUM(") or have in {"UUID", "JSON"}:
        return want == "VARCHAR"
    return (have, want) in {("FLOAT", "DOUBLE"), ("TIMESTAMP_S", "TIMESTAMP"), ("TIMESTAMP_MS", "TIMESTAMP")} or (
        have.strip('"') == "NULL" and storable(want)
    )


def storable(name: str) -> bool:
    """Say whether a type reads back from Parquet as it was written, in both engines."""
    if name.endswith("[]"):
        return storable(name[:-2])
    if name.startswith(("STRUCT(", "MAP(")):
        return not re.search(r"HUGEINT|INTERVAL|UUID|JSON|UNION|BIT\b|BIGNUM|ENUM|DURATION|NULL|OBJECT", name)
    return name in _STORABLE or bool(_DECIMAL.match(name))


def hint(name: str) -> str:
    """Return what to do about a type that is not storable."""
    return _HINTS.get(name.strip('"'), "cast it to text or to a number")


def casts(have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
    """Return the columns to cast, and to what, so that what is stored is what was computed.

    A type is brought to the contract's where that is exact; one that would not survive raises TypeRefused. What the
    contract wants and no exact cast gives is left alone: judging says so.
    """
    wanted = {
        name: want[name] for name, type in have.items() if want.get(name, type) != type and exact(type, want[name])
    }
    refused = [(name, type) for name, type in have.items() if name not in wanted and not storable(type)]
    if refused:
        told = "; ".join(f"column {name} is {type}: {hint(type)}" for name, type in refused)
        raise TypeRefused(f"would not be stored as it was computed: {told}")
    return wanted
