"""Compiles a demand to the cheapest way to check it exactly, for columns of given types; pure.

The answer is always the one that pandera gives: a demand that the engines might answer differently
is left to pandera.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.nested import same_type
from assay.engines.quoting import identifier
from assay.engines.types import INTEGERS
from assay.model import Column, Demand, Kind, Product
from assay.rules.literals import NotALiteral, among, beside, builtin_type, decode

_FLOATS = {"FLOAT", "DOUBLE"}
_COMPARE = {
    "equal_to": ("=", "value"),
    "not_equal_to": ("<>", "value"),
    "greater_than": (">", "min_value"),
    "greater_than_or_equal_to": (">=", "min_value"),
    "less_than": ("<", "max_value"),
    "less_than_or_equal_to": ("<=", "max_value"),
}
# A regular expression over column names that means the same to Python and to Polars.
_PLAIN_PATTERN = re.compile(
    r"\^?([A-Za-z0-9_]|\[[A-Za-z0-9_-]+\]|\.|[*+?]|\{\d+\}|\\d)*\$?", re.ASCII
)


class DecidedByColumns(Struct, frozen=True, kw_only=True):
    """A demand that names and types of columns decide; `message` says why it fails or is skipped.

    `holds` is None when there is nothing to check.
    """

    holds: bool | None
    message: str = ""


class Rows(Struct, frozen=True, kw_only=True):
    """A condition in SQL that is true of exactly the failing rows.

    `prunes` is True if DuckDB can skip rows by statistics and dictionaries when it looks for this
    condition alone. `text` is the same check in Polars, for when Polars reads the column anyway.
    """

    fails: str
    columns: tuple[str, ...]
    prunes: bool = False
    text: "Text | None" = None


class Aggregate(Struct, frozen=True, kw_only=True):
    """An aggregate in SQL that is true when a column as a whole passes."""

    passes: str
    columns: tuple[str, ...]


class Unique(Struct, frozen=True, kw_only=True):
    """No two rows are equal in these columns; nulls are equal to each other, and so are NaNs."""

    columns: tuple[str, ...]


class Text(Struct, frozen=True, kw_only=True):
    """A check of texts by Polars: `contains` a regular expression, starts_with, ends_with, length.

    `bounds` are the lowest and highest length; None for no bound.
    """

    column: str
    kind: str
    value: str = ""
    bounds: tuple[int | None, int | None] = (None, None)
    ignore_na: bool


class ByPandera(Struct, frozen=True, kw_only=True):
    """A demand that only pandera answers exactly, and why."""

    why: str


Way = DecidedByColumns | Rows | Aggregate | Unique | Text | ByPandera


def ways_of(product: Product, columns: Iterable[Column]) -> dict[str, Way]:
    """Return the way to check each rule that is a demand, by the rule's text.

    A check of texts goes to Polars if Polars reads the column anyway, for a regular expression.
    """
    stored = {column.name: column for column in columns}
    ways = {
        rule.text: compile_demand(rule.demand, stored)
        for rule in product.contract.rules
        if rule.demand and not rule.inputs and product.kind is not Kind.FILE
    }
    read_by_polars = {way.column for way in ways.values() if isinstance(way, Text)}
    for rule, way in ways.items():
        if isinstance(way, Rows) and way.text and way.text.column in read_by_polars:
            ways[rule] = way.text
    return ways


def compile_demand(demand: Demand, columns: Mapping[str, Column]) -> Way:
    """Return the way to check a demand on columns that are stored like this."""
    try:
        if demand.pattern:
            return _each(demand, columns)
        if demand.column and demand.column not in columns and demand.kind != "type":
            # A schema skips the checks of a missing column; a rule of the product itself fails.
            is_own_rule = demand.place.startswith("rules:")
            return DecidedByColumns(
                holds=False if is_own_rule else None, message=f"there is no column {demand.column}"
            )
        return _compile(demand, columns)
    except NotALiteral as why:
        return ByPandera(why=str(why))


def _compile(demand: Demand, columns: Mapping[str, Column]) -> Way:
    arguments = demand.arguments
    match demand.kind:
        case "type":
            return _type(demand, columns.get(demand.column))
        case "strict":
            return _strict(arguments["columns"], columns)
        case "ordered":
            return _ordered(arguments["columns"], columns)
        case "unique":
            return _unique(arguments.get("columns", [demand.column]), columns)
        case "null":
            return _null(_plain(demand.column, columns))
        case "condition":
            return Rows(fails=f"not (\n{arguments['sql']}\n)", columns=tuple(arguments["columns"]))
        case "accounted":
            return DecidedByColumns(holds=None, message="no rows were set aside")
        case "custom":
            raise NotALiteral(str(arguments.get("why", "a check of your own")))
    if not demand.column:
        raise NotALiteral("a built-in check of the whole frame")
    column = _plain(demand.column, columns)
    values = {name: decode(value) for name, value in arguments.items()}
    if demand.kind == "unique_values_eq":
        return _exactly(column, values["values"])
    if demand.kind in {"str_matches", "str_contains"}:
        return _pattern(demand, column, values["pattern"])
    return _rows(demand, column, values)


# ------------------------------------------------------------------------------ names and types


def _each(demand: Demand, columns: Mapping[str, Column]) -> Way:
    """Return the one way to check all columns whose names match a pattern."""
    if not _PLAIN_PATTERN.fullmatch(demand.column):
        raise NotALiteral(f"columns matching {demand.column}")
    matching = [name for name in columns if re.fullmatch(demand.column, name)]
    names = [name for name in matching if name not in demand.arguments.get("apart", ())]
    if not names:
        holds = not demand.arguments["required"] if demand.kind == "type" else None
        return DecidedByColumns(holds=holds, message=f"no column matches {demand.column}")
    ways = [compile_demand(replace(demand, pattern=False, column=name), columns) for name in names]
    if len(ways) == 1:
        return ways[0]
    decided = [way for way in ways if isinstance(way, DecidedByColumns)]
    if len(decided) == len(ways):
        return next((way for way in decided if not way.holds), ways[0])
    conditions = [f"({way.fails})" for way in ways if isinstance(way, Rows)]
    if len(conditions) == len(ways):
        return Rows(fails=" or ".join(conditions), columns=tuple(names))
    raise NotALiteral(f"{len(names)} columns matching {demand.column}")


def _type(demand: Demand, column: Column | None) -> DecidedByColumns:
    type = demand.arguments["type"]
    if column is None:
        return DecidedByColumns(
            holds=not demand.arguments["required"], message=f"there is no column {demand.column}"
        )
    if type is None:
        return DecidedByColumns(holds=True)
    if not type or column.logical:
        raise NotALiteral(f"a type that only Polars can tell ({column.logical or column.type})")
    if same_type(type, column.type):
        return DecidedByColumns(holds=True)
    return DecidedByColumns(holds=False, message=f"it is {column.type}")


# The columns of a schema: each a name, or a pattern of names if the second item is True.
_Declared = Sequence[tuple[str, bool]]


def _strict(declared: _Declared, columns: Mapping[str, Column]) -> DecidedByColumns:
    if any(pattern and not _PLAIN_PATTERN.fullmatch(name) for name, pattern in declared):
        raise NotALiteral("a pattern of names")
    extra = [
        column
        for column in columns
        if not any(_names(name, pattern, column) for name, pattern in declared)
    ]
    if extra:
        return DecidedByColumns(holds=False, message=f"there is {', '.join(extra)}")
    return DecidedByColumns(holds=True)


def _ordered(declared: _Declared, columns: Mapping[str, Column]) -> DecidedByColumns:
    if any(pattern for _, pattern in declared):
        raise NotALiteral("an order of patterns")
    expected = [name for name, _ in declared if name in columns]
    actual = [name for name in columns if name in expected]
    if actual == expected:
        return DecidedByColumns(holds=True)
    return DecidedByColumns(holds=False, message=f"they are {', '.join(actual)}")


def _names(name: str, pattern: bool, column: str) -> bool:
    return bool(re.fullmatch(name, column)) if pattern else name == column


def _plain(name: str, columns: Mapping[str, Column]) -> Column:
    """Return a column that DuckDB and Polars read alike; raise NotALiteral for any other."""
    column = columns[name]
    if column.logical or not is_flat(column.type):
        raise NotALiteral(f"{column.name} is {column.logical or column.type}")
    return column


def is_flat(type: str) -> bool:
    """Return whether a value of a type has no values inside it, as lists, structs and maps do."""
    return not (type.endswith("]") or type.startswith(("STRUCT(", "MAP(")))


# ------------------------------------------------------------------------------ rows


def _null(column: Column) -> Rows:
    name = identifier(column.name)
    if column.type in _FLOATS:
        return Rows(fails=f"{name} is null or isnan({name})", columns=(column.name,))
    return Rows(fails=f"{name} is null", columns=(column.name,), prunes=True)


def _unique(names: Sequence[str], columns: Mapping[str, Column]) -> Unique:
    existing = tuple(name for name in names if name in columns)
    if not existing:
        raise NotALiteral("none of the columns is there")
    for name in existing:
        _plain(name, columns)
    return Unique(columns=existing)


def _rows(demand: Demand, column: Column, values: Mapping[str, Any]) -> Rows:
    holds = _holds(demand.kind, identifier(column.name), column.type, values)
    fails = f"not ({holds})" if demand.ignore_na else f"({holds}) is not true"
    text = _in_polars(demand, column, values)
    return Rows(fails=fails, columns=(column.name,), prunes=text is None, text=text)


def _in_polars(demand: Demand, column: Column, values: Mapping[str, Any]) -> Text | None:
    """Return the same check in Polars; None if it is not a check of texts."""
    common: dict[str, Any] = {"column": column.name, "ignore_na": demand.ignore_na}
    match demand.kind:
        case "str_startswith" | "str_endswith":
            kind = "starts_with" if demand.kind == "str_startswith" else "ends_with"
            return Text(kind=kind, value=values["string"], **common)
        case "str_length":
            bounds = values.get("min_value"), values.get("max_value")
            exact = values.get("exact_value")
            if exact is not None:
                bounds = exact, exact
            return Text(kind="length", bounds=bounds, **common)
    return None


def _holds(kind: str, name: str, type: str, values: Mapping[str, Any]) -> str:
    """Return the SQL of a check: true, false or, for a null, null; as its expression in Polars."""
    if kind in _COMPARE:
        sign, argument = _COMPARE[kind]
        return f"{name} {sign} {beside(values[argument], type)}"
    match kind:
        case "in_range":
            low, high = beside(values["min_value"], type), beside(values["max_value"], type)
            above = ">=" if values["include_min"] else ">"
            below = "<=" if values["include_max"] else "<"
            return f"{name} {above} {low} and {name} {below} {high}"
        case "isin":
            return among(name, values["allowed_values"], type)
        case "notin":
            return f"not ({among(name, values['forbidden_values'], type)})"
    return _text(kind, name, type, values)


def _text(kind: str, name: str, type: str, values: Mapping[str, Any]) -> str:
    if type != "VARCHAR":
        raise NotALiteral(f"a check of texts on {type}")
    match kind:
        case "str_startswith":
            return f"starts_with({name}, {beside(values['string'], type)})"
        case "str_endswith":
            return f"suffix({name}, {beside(values['string'], type)})"
        case "str_length":
            return _length(name, values)
    raise NotALiteral(f"a check called {kind}")


def _length(name: str, values: Mapping[str, Any]) -> str:
    bounds = [(">=", values.get("min_value")), ("<=", values.get("max_value"))]
    if values.get("exact_value") is not None:
        bounds = [("=", values["exact_value"])]
    given = [(sign, value) for sign, value in bounds if value is not None]
    if not given or any(builtin_type(v) is not int or not 0 <= v < 2**32 for _, v in given):
        raise NotALiteral("a length that is no whole number")
    return " and ".join(f"length({name}) {sign} {value}" for sign, value in given)


# ------------------------------------------------------------------------------ whole columns


def _exactly(column: Column, values: Sequence[Any]) -> Aggregate:
    """Return the check that a column takes all of these values and no other, ignoring nulls."""
    kinds = {"VARCHAR": str, "BOOLEAN": bool} | dict.fromkeys(INTEGERS, int)
    kind = kinds.get(column.type)
    if kind is None or not values or any(builtin_type(value) is not kind for value in values):
        raise NotALiteral(f"a set of values beside {column.type}")
    name = identifier(column.name)
    no_other = f"coalesce(count_if(not ({among(name, values, column.type)})), 0) = 0"
    return Aggregate(
        passes=f"{no_other} and count(distinct {name}) = {len(values)}", columns=(column.name,)
    )


def _pattern(demand: Demand, column: Column, regex: Any) -> Text:
    if column.type != "VARCHAR" or not isinstance(regex, str):
        raise NotALiteral(f"a pattern on {column.type}")
    if demand.kind == "str_matches" and not regex.startswith("^"):
        regex = f"^{regex}"
    return Text(column=column.name, kind="contains", value=regex, ignore_na=demand.ignore_na)
