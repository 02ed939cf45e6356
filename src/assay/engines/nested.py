"""Types of lists and structs as trees: `STRUCT("x" BIGINT[])` is a struct with a list in it."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.engines.quoting import identifier
from assay.engines.types import (
    DECIMAL,
    INTEGERS,
    fields_of,
    from_polars,
    from_sql,
    split_types,
    to_polars,
)
from assay.model import Column

if TYPE_CHECKING:
    import polars as pl

_STRUCT = re.compile(r"struct\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r'(?:"((?:[^"]|"")+)"|(\w+))\s+(.+)', re.DOTALL)
_MOST_DEEP = 32  # levels of lists and structs
# Times of day and nanoseconds are not read alike by both engines inside of lists and structs.
_LEAVES = INTEGERS - {"HUGEINT", "UHUGEINT"} | {
    *("BOOLEAN", "FLOAT", "DOUBLE", "VARCHAR", "BLOB"),
    *("DATE", "TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE"),
}


class Leaf(Struct, frozen=True):
    """A value that is neither a list nor a struct, in DuckDB's spelling of its type."""

    type: str


class ListOf(Struct, frozen=True):
    """A list of values of one type."""

    inner: "Tree"


class StructOf(Struct, frozen=True):
    """Named values, in order."""

    fields: "tuple[tuple[str, Tree], ...]"


Tree = Leaf | ListOf | StructOf


def is_nested(type: str) -> bool:
    """Return whether a type (DuckDB) is a list or a struct."""
    return type.endswith("]") or type.startswith("STRUCT(")


def tree_of(type: str) -> Tree:
    """Return the tree of a type in DuckDB's spelling."""
    if type.endswith("[]"):
        return ListOf(tree_of(type[:-2]))
    if type.startswith("STRUCT("):
        return StructOf(tuple((name, tree_of(field)) for name, field in fields_of(type)))
    return Leaf(type)


def same_type(one: str, other: str) -> bool:
    """Return whether two types are the same: engines quote the names of fields differently."""
    return one == other or ('"' in one + other and tree_of(one) == tree_of(other))


def nested_from_sql(text: str, depth: int = 0) -> str | None:
    """Return DuckDB's spelling of `bigint[]` or `struct(x bigint)`; None for what cannot be read."""
    text = text.strip()
    inner: str | None
    if depth > _MOST_DEEP:
        return None
    if text.endswith("[]"):
        inner = nested_from_sql(text[:-2], depth + 1)
        return f"{inner}[]" if inner else None
    if not (struct := _STRUCT.fullmatch(text)):
        return from_sql(text)
    fields = []
    for field in split_types(struct[1]):
        if not (read := _FIELD.fullmatch(field)):
            return None
        name = read[1].replace('""', '"') if read[1] else read[2]
        if not (inner := nested_from_sql(read[3], depth + 1)):
            return None
        fields.append((name, inner))
    return f"STRUCT({', '.join(f'{identifier(name)} {type}' for name, type in fields)})"


def nested_column(name: str, dtype: Any) -> Column | None:
    """Return a source's column of a list or struct (of Polars, or SQL text); None for no such type."""
    import polars as pl

    if isinstance(dtype, str):
        type = nested_from_sql(dtype)
    else:
        type = from_polars(dtype) if isinstance(dtype, pl.List | pl.Struct) else None
    if type is None or not is_nested(type) or not is_readable(type):
        return None
    is_exact = isinstance(dtype, str) or to_polars(type) == dtype  # no Enum, and no zone but UTC
    return Column(name=name, type=type) if is_exact else None


def is_readable(type: str) -> bool:
    """Return whether sources can have columns of this list or struct."""
    return _is_readable(tree_of(type), 0)


def _is_readable(tree: Tree, depth: int) -> bool:
    if depth > _MOST_DEEP:
        return False
    match tree:
        case Leaf(type=type):
            return type in _LEAVES or bool(DECIMAL.match(type))
        case ListOf(inner=inner):
            return _is_readable(inner, depth + 1)
    names = [name.lower() for name, _ in tree.fields]
    unlike = len(set(names)) == len(names) and all(names)
    return (
        bool(names) and unlike and all(_is_readable(field, depth + 1) for _, field in tree.fields)
    )


# ------------------------------------------------------------------------------ as stored


def unfit(stored: Any, tree: Tree, place: str, fits: Callable[[Any, str], bool]) -> str:
    """Return why values of a stored type (Polars) are not all values of a tree; '' if they are.

    `place` names the value in messages, and `fits` says whether a leaf holds all of a stored type.
    """
    import polars as pl

    if isinstance(stored, pl.Null):
        return ""
    match tree:
        case Leaf(type=type):
            return "" if fits(stored, type) else f"{place} should be {type}; it is {_named(stored)}"
        case ListOf(inner=inner):
            if not isinstance(stored, pl.List | pl.Array):
                return f"{place} should be a list; it is {_named(stored)}"
            return unfit(stored.inner, inner, f"{place}[]", fits)
    if not isinstance(stored, pl.Struct):
        return f"{place} should be a struct; it is {_named(stored)}"
    types = {field.name: field.dtype for field in stored.fields}
    for name, field in tree.fields:
        same = [other for other in types if other.lower() == name.lower()]
        if len(same) > 1:
            listed = " and ".join(map(repr, same))
            return f"{place} has the fields {listed}: they differ by case alone"
        if name not in types:
            has = repr(same[0]) if same else ", ".join(types)
            return f"{place} should have a field {name!r}; it has {has}"
        if problem := unfit(types[name], field, f"{place}.{name}", fits):
            return problem
    return ""


def as_declared(value: "pl.Expr", stored: Any, tree: Tree) -> "pl.Expr":
    """Return a stored value in the type of a tree: fields by name, in the order of the tree."""
    import polars as pl

    match tree:
        case Leaf(type=type):
            want = to_polars(type)
            return value if stored == want else value.cast(want)
        case ListOf(inner=inner):
            if stored == to_polars(spelled(tree)):
                return value
            if isinstance(stored, pl.Null):
                return value.cast(to_polars(spelled(tree)))
            value = value.arr.to_list() if isinstance(stored, pl.Array) else value
            return value.list.eval(as_declared(pl.element(), stored.inner, inner))
    if stored == to_polars(spelled(tree)):
        return value
    if isinstance(stored, pl.Null):
        return value.cast(to_polars(spelled(tree)))
    types = {field.name: field.dtype for field in stored.fields}
    fields = [
        as_declared(value.struct.field(name), types[name], field).alias(name)
        for name, field in tree.fields
    ]
    return pl.when(value.is_not_null()).then(pl.struct(fields))


def spelled(tree: Tree) -> str:
    """Return DuckDB's spelling of the type of a tree."""
    match tree:
        case Leaf(type=type):
            return type
        case ListOf(inner=inner):
            return f"{spelled(inner)}[]"
    fields = ", ".join(f"{identifier(name)} {spelled(field)}" for name, field in tree.fields)
    return f"STRUCT({fields})"


def _named(stored: Any) -> str:
    return str(stored.base_type().__name__) if stored.is_nested() else str(stored)
