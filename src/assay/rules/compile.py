"""Compiles a demand to the cheapest way to judge it exactly, for columns of given types; pure.

The answer is always the one that pandera gives; a demand that nothing else is sure to answer the
same is left to pandera.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

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
    """What the columns' names and types alone say: whether it holds, and if not, why. None: it cannot be asked."""

    holds: bool | None
    message: str = ""


class Rows(Struct, frozen=True, kw_only=True):
    """A condition in SQL that is true of exactly the failing rows.

    `prunes`: looking for these rows alone, DuckDB skips what statistics and dictionaries rule out.
    `text` is the same asked of Polars, for when a pass of its own reads the column anyway.
    """

    fails: str
    columns: tuple[str, ...]
    prunes: bool = False
    text: "Text | None" = None


class Whole(Struct, frozen=True, kw_only=True):
    """An aggregate in SQL that is true when the column as a whole is good."""

    passes: str
    columns: tuple[str, ...]


class Unique(Struct, frozen=True, kw_only=True):
    """No two rows may be alike in these columns; nulls, and not-a-numbers, are alike."""

    columns: tuple[str, ...]


class Text(Struct, frozen=True, kw_only=True):
    """Texts as Polars judges them: `contains` a regular expression, or starts_with, ends_with, length.

    `bounds` are those of a length, each None for none.
    """

    column: str
    kind: str
    value: str = ""
    bounds: tuple[int | None, int | None] = (None, None)
    ignore_na: bool


class ByPandera(Struct, frozen=True, kw_only=True):
    """Pandera itself has to be asked, and why."""

    why: str


Way = DecidedByColumns | Rows | Whole | Unique | Text | ByPandera


def ways_of(product: Product, columns: Iterable[Column]) -> dict[str, Way]:
    """Return the way to judge each rule that is a demand, by the rule's text.

    A check of texts is left to Polars where Polars reads the column anyway, for a regular
    expression.
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
    """Return how to judge a demand on columns stored like this; the answer is always pandera's own."""
    try:
        if demand.pattern:
            return _each(demand, columns)
        if demand.column and demand.column not in columns and demand.kind != "type":
            asked = demand.place.startswith(
                "rules:"
            )  # a rule of the product's own: no column is no excuse
            return DecidedByColumns(
                holds=False if asked else None, message=f"there is no column {demand.column}"
            )
        return _compile(demand, columns)
    except NotALiteral as why:
        return ByPandera(why=str(why))


def _compile(demand: Demand, columns: Mapping[str, Column]) -> Way:
    told = demand.arguments
    match demand.kind:
        case "type":
            return _type(demand, columns.get(demand.column))
        case "strict":
            return _strict(told, columns)
        case "ordered":
            return _ordered(told, columns)
        case "unique":
            return _unique(told.get("columns", [demand.column]), columns)
        case "null":
            return _null(_plain(demand.column, columns))
        case "condition":
            return Rows(fails=f"not (\n{told['sql']}\n)", columns=tuple(told["columns"]))
        case "accounted":
            return DecidedByColumns(holds=None, message="no rows were set aside")
        case "custom":
            raise NotALiteral(str(told.get("why", "a check of your own")))
    if not demand.column:
        raise NotALiteral("a built-in check of the whole frame")
    column = _plain(demand.column, columns)
    values = {name: decode(value) for name, value in told.items()}
    if demand.kind == "unique_values_eq":
        return _exactly(column, values["values"])
    if demand.kind in {"str_matches", "str_contains"}:
        return _pattern(demand, column, values["pattern"])
    return _rows(demand, column, values)


# ------------------------------------------------------------------------------ names and types


def _each(demand: Demand, columns: Mapping[str, Column]) -> Way:
    """Return the way to judge all the columns whose names match."""
    if not _PLAIN_PATTERN.fullmatch(demand.column):
        raise NotALiteral(f"columns matching {demand.column}")
    matching = [n for n in columns if re.fullmatch(demand.column, n)]
    names = [n for n in matching if n not in demand.arguments.get("apart", ())]
    if demand.kind == "type" and not names:
        return DecidedByColumns(
            holds=not demand.arguments["required"], message=f"no column matches {demand.column}"
        )
    if not names:
        return DecidedByColumns(holds=None, message=f"no column matches {demand.column}")
    ways = [compile_demand(replace(demand, pattern=False, column=n), columns) for n in names]
    if len(ways) == 1:
        return ways[0]
    if all(isinstance(way, DecidedByColumns) for way in ways):
        return next((w for w in ways if isinstance(w, DecidedByColumns) and not w.holds), ways[0])
    if all(isinstance(way, Rows) for way in ways):
        fails = " or ".join(f"({way.fails})" for way in ways if isinstance(way, Rows))
        return Rows(fails=fails, columns=tuple(names))
    raise NotALiteral(f"{len(names)} columns matching {demand.column}")


def _type(demand: Demand, column: Column | None) -> DecidedByColumns:
    told = demand.arguments
    if column is None:
        return DecidedByColumns(
            holds=not told["required"], message=f"there is no column {demand.column}"
        )
    if told["type"] is None:
        return DecidedByColumns(holds=True)
    if not told["type"] or column.logical:
        raise NotALiteral(f"a type that only Polars can tell ({column.logical or column.type})")
    is_ = f"it is {column.type}"
    return DecidedByColumns(
        holds=told["type"] == column.type, message="" if told["type"] == column.type else is_
    )


def _strict(told: Mapping[str, Any], columns: Mapping[str, Column]) -> DecidedByColumns:
    if any(pattern and not _PLAIN_PATTERN.fullmatch(name) for name, pattern in told["columns"]):
        raise NotALiteral("a pattern of names")
    extra = [
        n for n in columns if not any(_names(name, pattern, n) for name, pattern in told["columns"])
    ]
    return DecidedByColumns(
        holds=not extra, message=f"there is {', '.join(extra)}" if extra else ""
    )


def _ordered(told: Mapping[str, Any], columns: Mapping[str, Column]) -> DecidedByColumns:
    if any(pattern for _, pattern in told["columns"]):
        raise NotALiteral("an order of patterns")
    wanted = [name for name, _ in told["columns"] if name in columns]
    have = [name for name in columns if name in wanted]
    return DecidedByColumns(
        holds=have == wanted, message="" if have == wanted else f"they are {', '.join(have)}"
    )


def _names(name: str, pattern: bool, column: str) -> bool:
    return bool(re.fullmatch(name, column)) if pattern else name == column


def _plain(name: str, columns: Mapping[str, Column]) -> Column:
    """Return a column that both engines see alike."""
    column = columns[name]
    if column.logical or not is_flat(column.type):
        raise NotALiteral(f"{column.name} is {column.logical or column.type}")
    return column


def is_flat(type: str) -> bool:
    """Say whether a type holds one value, and no others inside it."""
    return not (type.endswith("]") or type.startswith(("STRUCT(", "MAP(")))


# ------------------------------------------------------------------------------ rows


def _null(column: Column) -> Rows:
    name = identifier(column.name)
    if column.type in _FLOATS:
        return Rows(fails=f"{name} is null or isnan({name})", columns=(column.name,))
    return Rows(fails=f"{name} is null", columns=(column.name,), prunes=True)


def _unique(names: Sequence[str], columns: Mapping[str, Column]) -> Unique:
    there = tuple(name for name in names if name in columns)
    if not there:
        raise NotALiteral("none of the columns is there")
    for name in there:
        _plain(name, columns)
    return Unique(columns=there)


def _rows(demand: Demand, column: Column, values: Mapping[str, Any]) -> Rows:
    holds = _holds(demand.kind, identifier(column.name), column.type, values)
    fails = f"not ({holds})" if demand.ignore_na else f"({holds}) is not true"
    text = _in_polars(demand, column, values)
    return Rows(fails=fails, columns=(column.name,), prunes=text is None, text=text)


def _in_polars(demand: Demand, column: Column, values: Mapping[str, Any]) -> Text | None:
    """Return how Polars would judge a check of texts; None for a check of something else."""
    about: dict[str, Any] = {"column": column.name, "ignore_na": demand.ignore_na}
    match demand.kind:
        case "str_startswith" | "str_endswith":
            kind = "starts_with" if demand.kind == "str_startswith" else "ends_with"
            return Text(kind=kind, value=values["string"], **about)
        case "str_length":
            exact = values.get("exact_value")
            bounds = (
                (exact, exact)
                if exact is not None
                else (values.get("min_value"), values.get("max_value"))
            )
            return Text(kind="length", bounds=bounds, **about)
    return None


def _holds(kind: str, name: str, type: str, values: Mapping[str, Any]) -> str:
    """Return the SQL of a check: true, false, and null for null, as the Polars expression behind it."""
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
            bounds = (
                [("=", "exact_value")]
                if values.get("exact_value") is not None
                else [(">=", "min_value"), ("<=", "max_value")]
            )
            given = [(sign, values[a]) for sign, a in bounds if values.get(a) is not None]
            if not given or any(builtin_type(v) is not int or not 0 <= v < 2**32 for _, v in given):
                raise NotALiteral("a length that is no whole number")
            return " and ".join(f"length({name}) {sign} {value}" for sign, value in given)
    raise NotALiteral(f"a check called {kind}")


# ------------------------------------------------------------------------------ the rest


def _exactly(column: Column, values: Sequence[Any]) -> Whole:
    """Return whether a column takes all of some values and no other; nulls do not count."""
    kinds = {"VARCHAR": str, "BOOLEAN": bool, "DATE": None} | dict.fromkeys(INTEGERS, int)
    kind = kinds.get(column.type)
    if kind is None or not values or any(builtin_type(value) is not kind for value in values):
        raise NotALiteral(f"a set of values beside {column.type}")
    name = identifier(column.name)
    inside = among(name, values, column.type)
    only = f"coalesce(count_if(not ({inside})), 0) = 0"
    return Whole(
        passes=f"{only} and count(distinct {name}) = {len(values)}", columns=(column.name,)
    )


def _pattern(demand: Demand, column: Column, regex: Any) -> Text:
    if column.type != "VARCHAR" or not isinstance(regex, str):
        raise NotALiteral(f"a pattern on {column.type}")
    if demand.kind == "str_matches" and not regex.startswith("^"):
        regex = f"^{regex}"
    return Text(column=column.name, kind="contains", value=regex, ignore_na=demand.ignore_na)
