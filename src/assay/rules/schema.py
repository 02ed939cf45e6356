"""Reads a pandera schema: its columns, their types, its key, and its demands as rules."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from assay.engines.types import from_polars, has_same_type_in_duckdb
from assay.jsonform import encode as to_json
from assay.model import Column, Demand, Rule, Severity, Where
from assay.rules.literals import NotALiteral, encode
from assay.text import sayable

# What a schema may do to data: Assay refuses it, because rows and values must not change silently.
_CHANGES = ("drop_invalid_rows", "add_missing_columns")
_SENSITIVE = "sensitive"  # our key in the metadata of a column
_SHOWN = 8  # values in the text of a rule
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
    """A schema that is not one of pandera.polars, or that would change data."""


class Schema(Struct, frozen=True, kw_only=True, dict=True):
    """A schema as it was read: columns with a type, key, marks of sensitive columns, rules.

    `declared` is the schema, or the model, that was declared; None without one. `names` are those of
    all its columns, or patterns of names. `sensitive` and `cleared` are patterns of columns marked
    as sensitive, and as not sensitive. `own_checks` are the checks of `rule.check`, by place.
    """

    declared: Any = None
    description: str = ""
    names: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    key: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    own_checks: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def pandera(self) -> Any:
        """The schema of pandera, made when it is needed; None without one."""
        return None if self.declared is None else _schema(self.declared)

    @cached_property
    def checks(self) -> Mapping[str, Any]:
        """The checks of all demands, by place."""
        demands = _demands(self.pandera, Where("")) if self.pandera is not None else ()
        checks = {rule.demand.place: check for rule, check in demands if rule.demand and check}
        return {**checks, **self.own_checks}


def read_schema(contract: Any, where: Where) -> Schema:
    """Return what a `DataFrameModel` or `DataFrameSchema` of pandera.polars demands.

    Raises NotASchema for anything else.
    """
    schema = _schema(contract)
    _check_metadata(schema)
    named = {name: column for name, column in schema.columns.items() if not column.regex}
    columns = []
    for name, column in named.items():
        dtype = dtype_of(schema, column)
        type = from_polars(dtype.type) if dtype else None
        if type:
            description = _description(column.description, f"column {name}")
            columns.append(Column(name=name, type=type, description=description))
    key = next(iter(_together(schema)), ()) or tuple(n for n, c in named.items() if c.unique)
    demands = list(_demands(schema, where))
    for rule, _ in demands:
        try:
            to_json(rule)
        except UnicodeEncodeError:
            raise NotASchema(f"half a character is in it ({sayable(rule.text)})") from None
    return Schema(
        declared=contract,
        names=tuple(schema.columns),
        description=_description(schema.description, "the schema"),
        columns=tuple(columns),
        key=key,
        sensitive=_marked(schema, sensitive=True),
        cleared=_marked(schema, sensitive=False),
        rules=tuple(rule for rule, _ in demands),
    )


def _description(text: Any, of: str) -> str:
    """Return a description on one line: of a longer one, such as a docstring, the first paragraph."""
    if not isinstance(text, str | None):
        raise NotASchema(f"the description of {of} is {type(text).__name__}: write a text")
    line = " ".join((text or "").strip().split("\n\n")[0].split())
    if sayable(line) != line:
        raise NotASchema(f"half a character is in the description of {of} ({sayable(line)})")
    return line


def _marked(schema: Any, *, sensitive: bool) -> tuple[str, ...]:
    """Return patterns of the columns that are marked as sensitive, or as not sensitive."""
    marks = {
        name: (column.metadata or {}).get(_SENSITIVE) for name, column in schema.columns.items()
    }
    chosen = [name for name, mark in marks.items() if mark is not None and bool(mark) is sensitive]
    return tuple(name if schema.columns[name].regex else re.escape(name) for name in chosen)


def _check_metadata(schema: Any) -> None:
    """Raise NotASchema for a key of a column's metadata that is almost ours, or not true or false."""
    for name, column in schema.columns.items():
        metadata = column.metadata or {}
        for key in metadata:
            similar = get_close_matches(str(key).lower(), [_SENSITIVE], n=1, cutoff=0.8)
            if key != _SENSITIVE and similar:
                raise NotASchema(f"metadata of {name} has {key!r}: did you mean {_SENSITIVE!r}?")
        if not isinstance(metadata.get(_SENSITIVE, False), bool):
            raise NotASchema(
                f"metadata of {name}: {_SENSITIVE!r} is {metadata[_SENSITIVE]!r}; it is True or False"
            )


def dtype_of(schema: Any, column: Any) -> Any:
    """Return the type that a column must have; None for any. The schema's overrides its own."""
    return schema.dtype or column.dtype


def _schema(contract: Any) -> Any:
    """Return a contract as a DataFrameSchema; raise NotASchema if it is none, or changes data."""
    import pandera.polars as pa

    if isinstance(contract, type) and issubclass(contract, pa.DataFrameModel):
        contract = contract.to_schema()
    if not isinstance(contract, pa.DataFrameSchema):
        kind = contract if isinstance(contract, type) else type(contract)
        raise NotASchema(
            f"{kind.__name__} is not a pandera.polars DataFrameModel or DataFrameSchema"
        )
    if contract.dtype is not None and not contract.columns:
        raise NotASchema("a type for all columns, and no columns: list the columns")
    if changes := _changes(contract):
        raise NotASchema(
            f"this schema changes data ({', '.join(changes)}); a contract only judges it"
        )
    return contract


def _changes(schema: Any) -> list[str]:
    """Return the ways in which a schema would change data."""
    columns = schema.columns.items()
    changes = [name for name in _CHANGES if getattr(schema, name, None)]
    for name, column in columns:
        if getattr(column, "drop_invalid_rows", False):
            changes.append(f"drop_invalid_rows of {name}")
    if schema.strict == "filter":
        changes.append("strict='filter'")
    if schema.parsers or any(column.parsers for _, column in columns):
        changes.append("parsers")
    changes += [f"a default for {name}" for name, column in columns if column.default is not None]
    return changes


def _together(schema: Any) -> list[tuple[str, ...]]:
    """Return the sets of columns that must be unique together."""
    unique = list(schema.unique or ())
    if unique and all(isinstance(name, str) for name in unique):
        return [tuple(unique)]
    return [tuple(group) for group in unique]


def _demands(schema: Any, where: Where) -> Iterator[tuple[Rule, Any]]:
    """Yield each demand of a schema as a rule, with its check; None if it is not a check."""
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
            arguments = apart if column.regex else {"columns": [name]}
            demand = Demand(kind="unique", place=f"{name}:unique", arguments=arguments, **about)
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
    type = None  # any type
    if dtype:  # "": only pandera can check it
        type = spelled if spelled and _has_exact_name(dtype) else ""
    demand = Demand(
        kind="type",
        place=f"{name}:type",
        column=name,
        pattern=bool(column.regex),
        arguments={**apart, "type": type, "required": bool(column.required)},
    )
    text = f"{shown}: type {spelled or dtype}" if dtype else f"{shown} is there"
    yield _rule(text, demand, where, dimension="conformity"), None


def _has_exact_name(dtype: Any) -> bool:
    """Return whether DuckDB's name for a type of pandera means exactly one type of Polars."""
    try:
        polars_type = dtype.type() if isinstance(dtype.type, type) else dtype.type
    except TypeError:
        return False
    if not type(dtype).__module__.startswith("pandera."):
        return False  # the user's own type, which may look at the values
    if type(dtype).__name__ in {"Category", "Enum"}:
        return False
    if getattr(dtype, "time_zone_agnostic", False):
        return False
    return has_same_type_in_duckdb(polars_type)


def _of_the_frame(schema: Any, where: Where) -> Iterator[tuple[Rule, Any]]:
    names = [[name, bool(column.regex)] for name, column in schema.columns.items()]
    if schema.strict:
        demand = Demand(kind="strict", place=":strict", arguments={"columns": names})
        yield _rule("there are no other columns", demand, where, dimension="conformity"), None
    if schema.ordered:
        demand = Demand(kind="ordered", place=":ordered", arguments={"columns": names})
        text = "columns are in the order of the contract"
        yield _rule(text, demand, where, dimension="conformity"), None
    for index, group in enumerate(_together(schema)):
        demand = Demand(kind="unique", place=f":unique{index}", arguments={"columns": list(group)})
        yield _rule(f"{', '.join(group)} is unique", demand, where, dimension="uniqueness"), None
    for index, check in enumerate(schema.checks):
        demand = demand_of(check, f":check{index}")
        yield _rule(_words(check, ""), demand, where, warns=check.raise_warning), check


def demand_of(
    check: Any,
    place: str,
    *,
    column: str = "",
    pattern: bool = False,
    apart: Mapping[str, Any] | None = None,
) -> Demand:
    """Return what a check demands, as data; `custom` if it is the user's own."""
    kind, arguments = "custom", dict(apart or {})
    if is_built_in(check) and not check.element_wise and not check.groupby:
        try:
            arguments |= {name: encode(_plain(arg)) for name, arg in check._check_kwargs.items()}
            kind = str(check._check_fn.__name__)
        except NotALiteral as why:
            arguments["why"] = str(why)
    return Demand(
        kind=kind,
        place=place,
        column=column,
        pattern=pattern,
        ignore_na=check.ignore_na,
        arguments=arguments,
    )


def _plain(value: Any) -> Any:
    """Return an argument of a check in plain form: for a compiled pattern, its text."""
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
    """Return the text of the rule of a check; `subject` are its columns, '' for the whole frame."""
    kind = check._check_fn.__name__ if is_built_in(check) else ""
    text = check.title or check.description
    if not text and kind and check.name != kind:
        text = check.name
    if not text and kind in _WORDS:
        values = {name: _value(value) for name, value in (check.statistics or {}).items()}
        try:
            text = _WORDS[kind].format(**values)
        except KeyError:
            text = check.error
        return f"{subject} {text}".strip()
    if not text and not kind:
        text = check.error
    text = text or str(check.name or "check").replace("_", " ")
    if not subject or re.search(rf"\b{re.escape(subject)}\b", text):
        return str(text)
    return f"{subject}: {text}"


def _value(value: Any) -> str:
    if not isinstance(value, list | tuple | set | frozenset):
        return str(value)
    values = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    shown = ", ".join(map(str, values[:_SHOWN]))
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown


def is_check(value: Any) -> bool:
    """Return whether a value is a check of pandera."""
    from pandera.api.checks import Check

    return isinstance(value, Check)


def is_built_in(check: Any) -> bool:
    """Return whether a check is built into pandera; such a check looks at its own column only."""
    from pandera.api.function_dispatch import Dispatcher

    return isinstance(check._check_fn, Dispatcher)
