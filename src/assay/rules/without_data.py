"""Which demands of a contract columns cannot meet, whatever their rows: found without data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from assay.engines.types import DECIMAL, INTEGERS, casts, check_names
from assay.errors import TypeRefused
from assay.model import Column, Demand, Product, Rule, Severity
from assay.plan.misfits import Degree, Misfit, no_column
from assay.rules.compile import ByPandera, DecidedByColumns, compile_demand
from assay.rules.literals import builtin_type, decode

_OF_TEXTS = {"str_matches", "str_contains", "str_startswith", "str_endswith", "str_length"}
_KINDS: dict[type, str] = {
    int: "number",
    float: "number",
    Decimal: "number",
    str: "text",
    date: "time",
    datetime: "time",
}


def against_contract(product: Product, given: Iterable[tuple[str, str]]) -> Iterator[Misfit]:
    """Yield what a build would refuse of columns that code gives, or what a contract forbids.

    `given` are the names of the columns, and their types as DuckDB spells them.
    """
    given = list(given)
    have = dict(given)
    problems, stored = [], have
    try:
        check_names([name for name, _ in given])
        stored = {**have, **casts(have, {c.name: c.type for c in product.contract.columns})}
    except TypeRefused as error:
        problems.append(f"it {error.what}")
    partition = product.partition
    is_cut = partition and partition.in_rows and not product.follows
    split = partition.names[0] if partition and is_cut else ""
    lower = {name.lower() for name in have}
    for keyword, name in (("event_time", product.event_time), ("partition_by", split)):
        if name and name.lower() not in lower:
            problems.append(f"{keyword}: {no_column(name, 'what its code gives', have)}")
    for what in problems:
        yield Misfit(product=product.name, degree=Degree.WRONG, what=what, where=product.where)
    columns = [Column(name=name, type=type) for name, type in stored.items()]
    for rule in product.contract.rules:
        if rule.demand and (what := unmet(rule, columns)):
            is_error = rule.severity is Severity.ERROR
            yield Misfit(
                product=product.name,
                of=rule.demand.column or rule.text,
                degree=Degree.WRONG if is_error else Degree.DOUBTFUL,
                what=what,
                where=rule.where,
            )


def unmet(rule: Rule, columns: Sequence[Column]) -> str:
    """Return why a demand fails on every table of these columns; '' where the rows decide."""
    demand = rule.demand
    if demand is None or demand.kind == "condition":
        return ""
    stored = {column.name: column for column in columns}
    way = compile_demand(demand, stored)
    if isinstance(way, DecidedByColumns) and way.holds is False:
        return _in_words(demand, stored, way.message)
    if isinstance(way, ByPandera) and not demand.pattern and demand.column in stored:
        return _incomparable(demand, stored[demand.column])
    return ""


def _in_words(demand: Demand, columns: Mapping[str, Column], message: str) -> str:
    match demand.kind:
        case "type" if demand.column in columns:
            have, want = columns[demand.column].type, demand.arguments["type"]
            return f"column {demand.column} is {have}; its contract says {want}"
        case "type" if demand.pattern:
            return f"{message}, and its contract demands one"
        case "strict":
            return f"{message.removeprefix('there is ')} is not in its contract, which is strict"
        case "ordered":
            wanted = [name for name, _ in demand.arguments["columns"] if name in columns]
            have = message.removeprefix("they are ")
            return f"its columns are in the order {have}; its contract says {', '.join(wanted)}"
    return no_column(demand.column, "what its code gives", columns)


def _incomparable(demand: Demand, column: Column) -> str:
    """Return that a check built into pandera cannot be asked of a column of this type."""
    kind = _kind_of(column.type)
    if not kind or column.logical:
        return ""
    if demand.kind in _OF_TEXTS and kind != "text":
        return f"{demand.kind} is a check of texts, and column {column.name} is {column.type}"
    for value in _values(demand.arguments):
        other = _KINDS.get(builtin_type(value), "")
        if other and other != kind and demand.kind not in _OF_TEXTS:
            return f"column {column.name} is {column.type}, and cannot be compared with {value!r}"
    return ""


def _kind_of(type: str) -> str:
    """Return which values a type has, as far as they are compared here; '' for others."""
    if type in INTEGERS | {"DOUBLE", "FLOAT"} or DECIMAL.match(type):
        return "number"
    if type.startswith(("DATE", "TIMESTAMP")):
        return "time"
    return "text" if type == "VARCHAR" else ""


def _values(arguments: Mapping[str, Any]) -> Iterator[Any]:
    for name in ("value", "min_value", "max_value"):
        if name in arguments:
            yield decode(arguments[name])
    for name in ("allowed_values", "forbidden_values"):
        if isinstance(values := decode(arguments.get(name)), list | tuple | set | frozenset):
            yield from values
