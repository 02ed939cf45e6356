"""Reads a pandera schema: its columns and types, its key, and each thing it demands as a rule in words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assay.engines.types import from_polars
from assay.fingerprint import Reach, digest
from assay.model import Column, Rule, Severity, Where

# What pandera can do to data instead of judging it: rows and values must never change without a trace.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One thing a schema demands of the column `column` ('' is the frame), as a rule and as pandera's own check."""

    rule: Rule
    column: str
    kind: str
    check: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """All that a schema demands."""

    schema: Any
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    demands: tuple[Demand, ...]


def read_schema(contract: Any, where: Where) -> Demands:
    """Return what a `DataFrameModel` or `DataFrameSchema` of pandera.polars demands; NotASchema for anything else."""
    schema = _schema(contract)
    columns = [(name, dtype_of(schema, column)) for name, column in schema.columns.items() if not column.regex]
    types = [(name, from_polars(dtype.type)) for name, dtype in columns if dtype]
    unique = tuple(schema.unique or ())
    key = unique or tuple(name for name, column in schema.columns.items() if column.unique)
    return Demands(
        schema=schema,
        columns=tuple(Column(name=name, type=type) for name, type in types if type),
        key=key,
        demands=tuple(_demands(schema, where)),
    )


def schema_digest(contract: Any, demands: Demands, reach: Reach) -> str:
    """Return the digest of a schema: all it demands, and the code of its own checks with all that it reaches."""
    if isinstance(contract, type):
        reach.visit(contract.__qualname__, contract)
    told = []
    for demand in demands.demands:
        check = demand.check
        detail: list[Any] = [demand.rule.check, demand.rule.text, demand.rule.severity]
        if demand.kind == "type":
            column = demands.schema.columns[demand.column]
            detail += [str(dtype_of(demands.schema, column)), column.required, column.regex]
        if check is not None:
            options = (check.ignore_na, check.element_wise, check.groupby, check.groups, check.n_failure_cases)
            detail += [check.name, repr(options)]
            reach.visit(f"{demand.rule.check}.statistics", dict(check.statistics or {}))
            if not is_built_in(check):
                reach.visit(demand.rule.check, check._check_fn)
                reach.visit(f"{demand.rule.check}.options", getattr(check, "_check_kwargs", {}))
        told.append(detail)
    return digest([told, dict(reach.parts)])


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
    changes = [name for name in _CHANGES if getattr(contract, name, None)]
    changes += ["strict='filter'"] if contract.strict == "filter" else []
    changes += ["parsers"] if contract.parsers or any(c.parsers for c in contract.columns.values()) else []
    changes += [f"a default for {n}" for n, c in contract.columns.items() if c.default is not None]
    if changes:
        raise NotASchema(f"this schema changes data ({', '.join(changes)}); a contract only judges it")
    return contract


def _demands(schema: Any, where: Where) -> Iterator[Demand]:
    for name, column in schema.columns.items():
        shown = f"columns matching {name}" if column.regex else name
        if dtype := dtype_of(schema, column):
            yield _demand(
                f"{shown}: type {from_polars(dtype.type) or dtype}", where, name, "type", dimension="conformity"
            )
        elif column.required:
            yield _demand(f"{shown} is there", where, name, "type", dimension="conformity")
        if not column.nullable:
            yield _demand(f"{shown} is never missing", where, name, "null", dimension="completeness")
        if column.unique:
            yield _demand(f"{shown} is unique", where, name, "unique", dimension="uniqueness")
        for index, check in enumerate(column.checks):
            yield _demand(_words(check, shown), where, name, f"check{index}", check=check)
    if schema.strict:
        yield _demand("there are no other columns", where, "", "strict", dimension="conformity")
    if schema.ordered:
        yield _demand("columns are in the order of the contract", where, "", "ordered", dimension="conformity")
    if schema.unique:
        yield _demand(f"{', '.join(schema.unique)} is unique", where, "", "unique", dimension="uniqueness")
    for index, check in enumerate(schema.checks):
        yield _demand(_words(check, ""), where, "", f"check{index}", check=check)


def _demand(text: str, where: Where, column: str, kind: str, *, dimension: str = "", check: Any = None) -> Demand:
    warns = check is not None and check.raise_warning
    rule = Rule(
        text=text,
        where=where,
        severity=Severity.WARNING if warns else Severity.ERROR,
        dimension=dimension,
        check=f"{column}:{kind}",
    )
    return Demand(rule=rule, column=column, kind=kind, check=check)


def _words(check: Any, subject: str) -> str:
    said = check.title or check.description
    if not said and is_built_in(check) and check.name in _WORDS:
        values = {name: _value(value) for name, value in (check.statistics or {}).items()}
        said = _WORDS[check.name].format(**values) if _fits(_WORDS[check.name], values) else check.error
        return f"{subject} {said}".strip()
    said = said or (check.error if not is_built_in(check) else None) or str(check.name or "check").replace("_", " ")
    return said if not subject or re.search(rf"\b{re.escape(subject)}\b", said) else f"{subject}: {said}"


def _fits(words: str, values: dict[str, str]) -> bool:
    try:
        return bool(words.format(**values))
    except KeyError:
        return False


def _value(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        shown = [str(v) for v in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
        return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
    return str(value)


def is_built_in(check: Any) -> bool:
    """Say whether a check is one of pandera's own, which look at their column alone."""
    from pandera.api.function_dispatch import Dispatcher

    return isinstance(check._check_fn, Dispatcher)
