"""Reads a pandera schema: its columns and types, its key, and each thing it demands as a rule in words and as data."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from assay.engines.types import from_polars, has_same_type_in_duckdb
from assay.jsonform import encode as written
from assay.model import Column, Demand, Rule, Severity, Where
from assay.rules.literals import NotALiteral, encode
from assay.text import sayable

# What pandera can do to data instead of judging it: rows and values must never change without a
# trace.
_CHANGES = ("drop_invalid_rows", "add_missing_columns")
_WORDS = {
    "equal_to": "is {value}",
    "not_equal_to": "is not {value}",
    "greater_than": "is above {min_value}",
    "greater_than_or_equal_to": "is at least {min_value}",
    "less_than": "is below {max_value}",
    "less_than_or_equal_to": "is at most {max_value}",
    "in_range": "is between {min_value} and {max_value}",
    "isin": "is one of {allowed_values}",
    "notin": "is none of {forbidden_values}",
    "str_matches": "matches {pattern}",
    "str_contains": "contains {pattern}",
    "str_startswith": "starts with {string}",
    "str_endswith": "ends with {string}",
    "str_length": "is between {min_value} and {max_value} characters long",
    "unique_values_eq": "takes exactly the values {values}",
}


class NotASchema(TypeError):
    """Something that is no pandera.polars schema, or one that would change data; says what to write instead."""


class Schema(Struct, frozen=True, kw_only=True):
    """A schema as it was read: columns with a type, key, columns that must not be shown, rules.

    `pandera` is the schema itself (None: there is none), `checks` the checks behind its demands and
    those of `rule.check`, by place.
    """

    pandera: Any = None
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    checks: Mapping[str, Any] = field(default_factory=dict)


def read_schema(contract: Any, where: Where) -> Schema:
    """Return what a `DataFrameModel` or `DataFrameSchema` of pandera.polars demands; NotASchema for anything else."""
    schema = _schema(contract)
    columns = [
        (name, dtype_of(schema, column))
        for name, column in schema.columns.items()
        if not column.regex
    ]
    types = [(name, from_polars(dtype.type)) for name, dtype in columns if dtype]
    unique = next(iter(_together(schema)), ())
    found = list(_demands(schema, where))
    for rule, _ in found:
        try:
            written(rule)
        except UnicodeEncodeError:
            raise NotASchema(f"half a character is in it ({sayable(rule.text)})") from None
    return Schema(
        pandera=schema,
        columns=tuple(Column(name=name, type=type) for name, type in types if type),
        key=unique
        or tuple(
            name for name, column in schema.columns.items() if column.unique and not column.regex
        ),
        sensitive=_marked(schema, sensitive=True),
        cleared=_marked(schema, sensitive=False),
        rules=tuple(rule for rule, _ in found),
        checks={
            rule.demand.place: check for rule, check in found if rule.demand and check is not None
        },
    )


def _marked(schema: Any, *, sensitive: bool) -> tuple[str, ...]:
    """Return patterns of the columns that are marked as sensitive, or as not sensitive."""
    marks = {
        name: (column.metadata or {}).get("sensitive") for name, column in schema.columns.items()
    }
    chosen = [name for name, mark in marks.items() if mark is not None and bool(mark) is sensitive]
    return tuple(name if schema.columns[name].regex else re.escape(name) for name in chosen)


def dtype_of(schema: Any, column: Any) -> Any:
    """Return the type that a column is to have: the schema's, which overrides, or its own; None for any."""
    return schema.dtype or column.dtype


def _schema(contract: Any) -> Any:
    import pandera.polars as pa

    if isinstance(contract, type) and issubclass(contract, pa.DataFrameModel):
        contract = contract.to_schema()
    if not isinstance(contract, pa.DataFrameSchema):
        what = contract.__name__ if isinstance(contract, type) else type(contract).__name__
        raise NotASchema(f"{what} is not a pandera.polars DataFrameModel or DataFrameSchema")
    columns = contract.columns.items()
    if contract.dtype is not None and not contract.columns:
        raise NotASchema("a type for all columns, and no columns: list the columns")
    changes = [name for name in _CHANGES if getattr(contract, name, None)]
    changes += [
        f"drop_invalid_rows of {n}" for n, c in columns if getattr(c, "drop_invalid_rows", False)
    ]
    changes += ["strict='filter'"] if contract.strict == "filter" else []
    changes += ["parsers"] if contract.parsers or any(c.parsers for _, c in columns) else []
    changes += [f"a default for {n}" for n, c in columns if c.default is not None]
    if changes:
        raise NotASchema(
            f"this schema changes data ({', '.join(changes)}); a contract only judges it"
        )
    return contract


def _together(schema: Any) -> list[tuple[str, ...]]:
    """Return the sets of columns that have to be unique together."""
    unique = list(schema.unique or ())
    return (
        [tuple(unique)]
        if unique and all(isinstance(name, str) for name in unique)
        else [tuple(g) for g in unique]
    )


def _demands(schema: Any, where: Where) -> Iterator[tuple[Rule, Any]]:
    explicit = [name for name, column in schema.columns.items() if not column.regex]
    for name, column in schema.columns.items():
        shown = f"columns matching {name}" if column.regex else name
        about: dict[str, Any] = {"column": name, "pattern": bool(column.regex)}
        apart = {"apart": explicit} if column.regex else {}
        yield from _typed(schema, name, shown, where, apart)
        if not column.nullable:
            demand = Demand(kind="null", place=f"{name}:null", arguments=apart, **about)
            yield _rule(f"{shown} is never missing", demand, where, dimension="completeness"), None
        if column.unique:
            told = apart if column.regex else {"columns": [name]}
            demand = Demand(kind="unique", place=f"{name}:unique", arguments=told, **about)
            yield _rule(f"{shown} is unique", demand, where, dimension="uniqueness"), None
        for index, check in enumerate(column.checks):
            demand = demand_of(check, f"{name}:check{index}", apart=apart, **about)
            yield _rule(_words(check, shown), demand, where, warns=check.raise_warning), check
    yield from _of_the_frame(schema, where)


def _typed(
    schema: Any, name: str, shown: str, where: Where, apart: dict[str, Any]
) -> Iterator[tuple[Rule, Any]]:
    column = schema.columns[name]
    dtype = dtype_of(schema, column)
    if not dtype and not column.required:
        return
    spelled = from_polars(dtype.type) if dtype else None
    # A type that DuckDB's spelling does not tell in full is told by pandera alone: "".
    plain = spelled if spelled and _told(dtype) else "" if dtype else None
    demand = Demand(
        kind="type",
        place=f"{name}:type",
        column=name,
        pattern=bool(column.regex),
        arguments={**apart, "type": plain, "required": bool(column.required)},
    )
    text = f"{shown}: type {spelled or dtype}" if dtype else f"{shown} is there"
    yield _rule(text, demand, where, dimension="conformity"), None


def _told(dtype: Any) -> bool:
    """Say whether a type of pandera's is one type of Polars' and nothing else, as DuckDB's spelling tells it."""
    try:
        made = dtype.type() if isinstance(dtype.type, type) else dtype.type
    except TypeError:
        return False
    agnostic = getattr(dtype, "time_zone_agnostic", False)
    if not type(dtype).__module__.startswith("pandera."):
        return False  # a type of the user's, which may look at the values
    return (
        type(dtype).__name__ not in {"Category", "Enum"}
        and not agnostic
        and has_same_type_in_duckdb(made)
    )


def _of_the_frame(schema: Any, where: Where) -> Iterator[tuple[Rule, Any]]:
    names = [[name, bool(column.regex)] for name, column in schema.columns.items()]
    if schema.strict:
        demand = Demand(kind="strict", place=":strict", arguments={"columns": names})
        yield _rule("there are no other columns", demand, where, dimension="conformity"), None
    if schema.ordered:
        demand = Demand(kind="ordered", place=":ordered", arguments={"columns": names})
        yield (
            _rule(
                "columns are in the order of the contract", demand, where, dimension="conformity"
            ),
            None,
        )
    for index, group in enumerate(_together(schema)):
        demand = Demand(kind="unique", place=f":unique{index}", arguments={"columns": list(group)})
        yield _rule(f"{', '.join(group)} is unique", demand, where, dimension="uniqueness"), None
    for index, check in enumerate(schema.checks):
        yield (
            _rule(
                _words(check, ""),
                demand_of(check, f":check{index}"),
                where,
                warns=check.raise_warning,
            ),
            check,
        )


def demand_of(
    check: Any,
    place: str,
    *,
    column: str = "",
    pattern: bool = False,
    apart: Mapping[str, Any] | None = None,
) -> Demand:
    """Return what a check demands, as data; one that is the user's own, or that data cannot tell, is `custom`."""
    kind, told = "custom", {}
    if is_built_in(check) and not check.element_wise and not check.groupby:
        try:
            told = {name: encode(_given(value)) for name, value in check._check_kwargs.items()}
            kind = str(check._check_fn.__name__)
        except NotALiteral as why:
            told = {"why": str(why)}
    arguments = {**(apart or {}), **told}
    return Demand(
        kind=kind,
        place=place,
        column=column,
        pattern=pattern,
        ignore_na=check.ignore_na,
        arguments=arguments,
    )


def _given(value: Any) -> Any:
    """Return an argument of a check as the check takes it: of a compiled pattern, only its text counts."""
    return value.pattern if isinstance(value, re.Pattern) else value


def _rule(
    text: str, demand: Demand, where: Where, *, dimension: str = "", warns: bool = False
) -> Rule:
    return Rule(
        text=text,
        where=where,
        severity=Severity.WARNING if warns else Severity.ERROR,
        dimension=dimension,
        warn_above="0" if warns else "",
        fail_above="" if warns else "0",
        demand=demand,
    )


def _words(check: Any, subject: str) -> str:
    kind = check._check_fn.__name__ if is_built_in(check) else ""
    said = check.title or check.description or (check.name if kind and check.name != kind else None)
    if not said and kind in _WORDS:
        values = {name: _value(value) for name, value in (check.statistics or {}).items()}
        said = _WORDS[kind].format(**values) if _fits(_WORDS[kind], values) else check.error
        return f"{subject} {said}".strip()
    said = said or (None if kind else check.error) or str(check.name or "check").replace("_", " ")
    return (
        said
        if not subject or re.search(rf"\b{re.escape(subject)}\b", said)
        else f"{subject}: {said}"
    )


def _fits(words: str, values: dict[str, str]) -> bool:
    try:
        return bool(words.format(**values))
    except KeyError:
        return False


def _value(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        shown = [
            str(v)
            for v in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)
        ]
        return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
    return str(value)


def is_check(value: Any) -> bool:
    """Say whether a value is a check of pandera's."""
    from pandera.api.checks import Check

    return isinstance(value, Check)


def is_built_in(check: Any) -> bool:
    """Say whether a check is one of pandera's own, which look at their column alone."""
    from pandera.api.function_dispatch import Dispatcher

    return isinstance(check._check_fn, Dispatcher)
