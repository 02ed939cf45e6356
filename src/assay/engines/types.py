"""Types in DuckDB and in Polars: their spelling, which can be stored, which casts are exact."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from assay.engines.quoting import identifier, literal
from assay.errors import TypeRefused
from assay.model import Column

if TYPE_CHECKING:
    import polars as pl

_NAMES = {
    "Boolean": "BOOLEAN",
    "Int8": "TINYINT",
    "Int16": "SMALLINT",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Int128": "HUGEINT",
    "UInt8": "UTINYINT",
    "UInt16": "USMALLINT",
    "UInt32": "UINTEGER",
    "UInt64": "UBIGINT",
    "Float32": "FLOAT",
    "Float64": "DOUBLE",
    "String": "VARCHAR",
    "Categorical": "VARCHAR",
    "Enum": "VARCHAR",
    "Binary": "BLOB",
    "Date": "DATE",
    "Time": "TIME",
}
_UNITS = {"us": "TIMESTAMP", "ms": "TIMESTAMP_MS", "ns": "TIMESTAMP_NS"}
_ZONED, _ZONED_NS = "TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS"
_SPELLED = {*_NAMES.values(), *_UNITS.values(), _ZONED} - {"HUGEINT"}  # both engines have these
_STORABLE = {*_SPELLED, "TIMESTAMP_S", "TIME_NS", _ZONED_NS}
INTEGERS = {
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
}
_PLAIN_NAME = re.compile(r"\w+")
DECIMAL = re.compile(r"^DECIMAL\((\d+), ?(\d+)\)$")
_ENUM = re.compile(r"ENUM\('(?:[^']|'')*'(?:, '(?:[^']|'')*')*\)")
_ENUM_VALUE = re.compile(r"'((?:[^']|'')*)'")
_ZONED_IN_FULL = re.compile(r"Datetime\(time_unit='(ms|us|ns)', time_zone='([\w/+-]+)'\)")
_ALIASES = {
    "BOOL": "BOOLEAN",
    "INT1": "TINYINT",
    "INT2": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "SIGNED": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "FLOAT4": "FLOAT",
    "REAL": "FLOAT",
    "FLOAT8": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHAR": "VARCHAR",
    "BYTEA": "BLOB",
    "VARBINARY": "BLOB",
    "BINARY": "BLOB",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMPTZ": _ZONED,
}
_HINTS = {
    "HUGEINT": "cast it (`sum(x)::bigint`) or declare an integer type in the contract",
    "UHUGEINT": "cast it (`sum(x)::bigint`) or declare an integer type in the contract",
    "INTERVAL": "store a number of seconds or days instead",
    "DURATION": "store a number of seconds or days instead",
    "NULL": "every value is null, so it has no type: cast it",
}


def from_sql(text: str) -> str | None:
    """Return DuckDB's spelling of an SQL type (`numeric(18, 2)`); None for an unsupported type."""
    type = re.sub(r"\s+", " ", text.strip().upper())
    decimal = re.fullmatch(r"(?:DECIMAL|NUMERIC) ?\( ?(\d+) ?(?:, ?(\d+) ?)?\)", type)
    if decimal:
        width, scale = int(decimal[1]), int(decimal[2] or 0)
        return f"DECIMAL({width},{scale})" if 0 < width <= 38 and scale <= width else None
    type = _ALIASES.get(type, type)
    return type if type in _SPELLED else None


def source_column(name: str, dtype: Any) -> Column | None:
    """Return a source's column of a type (of Polars, or SQL text); None for an unsupported type.

    `logical` is Polars' spelling if DuckDB's is less exact (a time zone, say).
    """
    type, logical = (from_sql(dtype), "") if isinstance(dtype, str) else _spelled_for_source(dtype)
    if type is None or type.endswith("]") or type.startswith("STRUCT"):
        return None
    return Column(name=name, type=type, logical=logical) if readable(type, logical) else None


def _spelled_for_source(dtype: Any) -> tuple[str | None, str]:
    """Return DuckDB's spelling of a Polars type, and the logical type ('' for none)."""
    import polars as pl

    if isinstance(dtype, pl.Enum):
        return f"ENUM({', '.join(map(literal, dtype.categories))})", ""
    if dtype is pl.Categorical or isinstance(dtype, pl.Categorical):
        # Categories with a name are not supported.
        is_plain = dtype is pl.Categorical or dtype == pl.Categorical()
        return ("VARCHAR", "Categorical") if is_plain else (None, "")
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        type = _ZONED_NS if dtype.time_unit == "ns" else _ZONED
        return type, "" if to_polars(type) == dtype else str(dtype)
    return from_polars(dtype), ""


def readable(type: str, logical: str = "") -> bool:
    """Return whether sources can have columns of this type (DuckDB) and logical type (Polars)."""
    if logical in {"", "Categorical"}:
        return bool(_ENUM.fullmatch(type) and "\0" not in type) or storable(type)
    zoned = _ZONED_IN_FULL.fullmatch(logical)
    return zoned is not None and type in {_ZONED, _ZONED_NS} and is_zone(zoned[2])


def is_zone(name: str) -> bool:
    """Return True for the name of a time zone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True


def enum_values(type: str) -> list[str]:
    """Return the values of `ENUM('a', 'b')`, in order."""
    return [value.replace("''", "'") for value in _ENUM_VALUE.findall(type)]


def zone_of(column: Column) -> tuple[str, str]:
    """Return unit and time zone of a column's logical type; ('', '') if it has none."""
    zoned = _ZONED_IN_FULL.fullmatch(column.logical)
    return (zoned[1], zoned[2]) if zoned else ("", "")


def of_column(column: Column) -> "pl.DataType | type[pl.DataType]":
    """Return the Polars data type of a column, its logical type if it has one."""
    import polars as pl

    if zoned := _ZONED_IN_FULL.fullmatch(column.logical):
        return pl.Datetime(zoned[1], zoned[2])  # type: ignore[arg-type]
    return pl.Categorical() if column.logical == "Categorical" else to_polars(column.type)


def from_polars(dtype: Any) -> str | None:
    """Return DuckDB's spelling of a Polars data type (class or instance), or None."""
    import polars as pl

    instance = dtype if isinstance(dtype, pl.DataType) else None
    match str((dtype.base_type() if instance is not None else dtype).__name__):
        case "Decimal":
            precision = getattr(instance, "precision", None) or 38
            return f"DECIMAL({precision},{getattr(instance, 'scale', 0)})"
        case "Datetime" if getattr(instance, "time_zone", None):
            return _ZONED
        case "Datetime":
            return _UNITS[str(getattr(instance, "time_unit", "us"))]
        case "List" | "Array" if instance is not None:
            inner = from_polars(instance.inner)  # type: ignore[attr-defined]
            return f"{inner}[]" if inner else None
        case "Struct" if instance is not None:
            fields = [(field.name, from_polars(field.dtype)) for field in instance.fields]  # type: ignore[attr-defined]
            if not all(type for _, type in fields):
                return None
            return f"STRUCT({', '.join(f'{identifier(name)} {type}' for name, type in fields)})"
        case "Duration" | "Null" | "Object" as name:
            return name.upper()
        case name:
            return _NAMES.get(name)


def to_polars(name: str) -> "pl.DataType | type[pl.DataType]":
    """Return the Polars data type for DuckDB's spelling of a storable type."""
    import polars as pl

    if decimal := DECIMAL.match(name):
        return pl.Decimal(int(decimal[1]), int(decimal[2]))
    if name == _ZONED:
        return pl.Datetime("us", "UTC")
    if name == _ZONED_NS:
        return pl.Datetime("ns", "UTC")
    if name.startswith("ENUM("):
        return pl.Enum(enum_values(name))
    for unit, spelled in _UNITS.items():
        if name == spelled:
            return pl.Datetime(unit)  # type: ignore[arg-type]
    if name.endswith("[]"):
        return pl.List(to_polars(name[:-2]))
    if name.startswith("STRUCT("):
        return pl.Struct({field: to_polars(type) for field, type in fields_of(name)})
    polars_name = next(p for p, d in _NAMES.items() if d == name)
    return getattr(pl, polars_name)  # type: ignore[no-any-return]


def has_same_type_in_duckdb(dtype: Any) -> bool:
    """Return whether DuckDB's spelling of a Polars type is exact: a zone, say, is not in it."""
    spelled = from_polars(dtype)
    return spelled is not None and storable(spelled) and bool(to_polars(spelled) == dtype)


def exact(have: str, want: str) -> bool:
    """Return whether a cast keeps every value, or raises an error for the first it cannot."""
    if have in INTEGERS and want in INTEGERS:
        return True
    old, new = DECIMAL.match(have), DECIMAL.match(want)
    if old and new:
        return int(new[2]) >= int(old[2])
    if have in INTEGERS and new:
        return True
    if have.startswith("ENUM(") or have in {"UUID", "JSON"}:
        return want == "VARCHAR"
    return (have, want) in {
        ("FLOAT", "DOUBLE"),
        ("TIMESTAMP_S", "TIMESTAMP"),
        ("TIMESTAMP_MS", "TIMESTAMP"),
    } or (have.strip('"') == "NULL" and storable(want))


def storable(name: str) -> bool:
    """Return whether both engines read a type back from Parquet as it was written."""
    if name.endswith("[]"):
        return storable(name[:-2])
    if name.startswith("STRUCT(") and name.endswith(")"):
        return all(
            (_PLAIN_NAME.fullmatch(field) or identifier(field) in name) and storable(type)
            for field, type in fields_of(name)
        )
    if name.startswith("MAP(") and name.endswith(")"):
        return all(storable(type) for type in split_types(name[4:-1]))
    return name in _STORABLE or bool(DECIMAL.match(name))


def casts(have: Mapping[str, str], want: Mapping[str, str]) -> dict[str, str]:
    """Return the columns to cast before they are stored, and to which type.

    A column is cast to the contract's type if that is exact; if it is not, it is left for the
    check of the contract. Raises TypeRefused for a type that cannot be stored, and for names of
    columns or fields that differ by case alone.
    """
    if not have:
        raise TypeRefused("has no columns, so there is nothing to store")
    check_names(list(have))
    for name, type in have.items():
        _check_fields(name, type)
    targets = {}
    for name, type in have.items():
        if name in want and want[name] != type and exact(type, want[name]):
            targets[name] = want[name]
        elif type.startswith("ENUM("):
            targets[name] = "VARCHAR"
    refused = [
        f"column {name} is {type}: {_hint(type)}"
        for name, type in have.items()
        if name not in targets and not storable(type)
    ]
    if refused:
        raise TypeRefused(f"would not be stored as it was computed: {'; '.join(refused)}")
    return targets


def check_names(names: list[str]) -> None:
    """Raise TypeRefused for a column without a name, and for names that are equal in any case."""
    twice = _same_names(names)
    if not twice and "" not in names:
        return
    problem = (
        f"has more than one column {', '.join(twice)}" if twice else "has a column without a name"
    )
    raise TypeRefused(
        f"{problem}, so not all would be stored", hint="Give each column a name of its own."
    )


def _same_names(names: list[str]) -> list[str]:
    """Return the names that another one equals, in any case; sorted."""
    lower = Counter(name.lower() for name in names)
    return sorted({name for name in names if lower[name.lower()] > 1})


def _check_fields(column: str, type: str) -> None:
    """Raise TypeRefused for fields of a struct, at any depth, whose names are equal in any case."""
    inner = re.sub(r"(\[\d*\])+$", "", type)
    if inner.startswith("MAP("):
        for part in split_types(inner[4:-1]):
            _check_fields(column, part)
    if not inner.startswith("STRUCT("):
        return
    fields = list(fields_of(inner))
    if twice := _same_names([name for name, _ in fields]):
        raise TypeRefused(
            f"column {column} has more than one field {', '.join(twice)}, so not all would be stored",
            hint="Give each field of a struct a name of its own, also by case.",
        )
    for name, field_type in fields:
        _check_fields(f"{column}.{name}", field_type)


def _hint(name: str) -> str:
    return _HINTS.get(name.strip('"'), "cast it to text or to a number")


def fields_of(struct: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of `STRUCT(name type, ...)`: names may be quoted, types nested."""
    for field in split_types(struct[len("STRUCT(") : -1]):
        quoted = re.match(r'"((?:[^"]|"")*)" ', field)
        name = quoted[1].replace('""', '"') if quoted else field.partition(" ")[0]
        yield name, field[quoted.end() :] if quoted else field.partition(" ")[2]


def split_types(text: str) -> list[str]:
    """Split types or fields at the commas that are outside of parentheses and quotes."""
    pieces, depth, quote, start = [], 0, "", 0
    for index, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "," and not depth:
            pieces.append(text[start:index].strip())
            start = index + 1
    return [*pieces, text[start:].strip()]
