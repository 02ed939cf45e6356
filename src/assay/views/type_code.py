"""Types of lists and structs as Python code: what a suggested contract says of them."""

from assay.engines.nested import Leaf, ListOf, Tree, is_nested, is_readable, tree_of
from assay.engines.types import DECIMAL

_PLAIN = {
    "BOOLEAN": "pl.Boolean",
    "TINYINT": "pl.Int8",
    "SMALLINT": "pl.Int16",
    "INTEGER": "pl.Int32",
    "BIGINT": "pl.Int64",
    "UTINYINT": "pl.UInt8",
    "USMALLINT": "pl.UInt16",
    "UINTEGER": "pl.UInt32",
    "UBIGINT": "pl.UInt64",
    "FLOAT": "pl.Float32",
    "DOUBLE": "pl.Float64",
    "VARCHAR": "pl.String",
    "BLOB": "pl.Binary",
    "DATE": "pl.Date",
    "TIMESTAMP": 'pl.Datetime("us")',
    "TIMESTAMP_MS": 'pl.Datetime("ms")',
    "TIMESTAMP WITH TIME ZONE": 'pl.Datetime("us", "UTC")',
}


def nested_annotation(type: str) -> tuple[str, str]:
    """Return the annotation of a list or struct in a pandera model, and its `dtype_kwargs=`.

    Both are '' for a type that is neither, or that has values in it which cannot be written here.
    """
    if not is_nested(type) or not is_readable(type):
        return "", ""
    tree = tree_of(type)
    if isinstance(tree, ListOf):
        return "pl.List", f'{{"inner": {_code(tree.inner)}}}'
    assert not isinstance(tree, Leaf)
    return "pl.Struct", f'{{"fields": {_fields(tree.fields)}}}'


def _code(tree: Tree) -> str:
    match tree:
        case Leaf(type=type):
            decimal = DECIMAL.match(type)
            return f"pl.Decimal({decimal[1]}, {decimal[2]})" if decimal else _PLAIN[type]
        case ListOf(inner=inner):
            return f"pl.List({_code(inner)})"
    return f"pl.Struct({_fields(tree.fields)})"


def _fields(fields: tuple[tuple[str, Tree], ...]) -> str:
    return "{" + ", ".join(f"{_quoted(name)}: {_code(field)}" for name, field in fields) + "}"


def _quoted(text: str) -> str:
    return f'"{text}"' if text.isprintable() and not set('"\\') & set(text) else ascii(text)
