"""Which columns of two versions are compared, which match rows, and which are added up."""

from collections.abc import Collection, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.difference import is_number
from assay.engines.nested import same_type
from assay.errors import UsageError
from assay.facts import Version
from assay.model import Column, Product
from assay.plan.names import nearest

_MEASURES = 5  # columns that are added up where no rule names one


class DiffOptions(Struct, frozen=True, kw_only=True):
    """How to compare.

    - `key`, `measures`, `by`: columns; none for those of the contract.
    - `tolerance`: how much floats may differ, absolute or relative.
    - `limit`: how many rows, and groups, are shown.
    - `to`: the file that all rows that differ are written to; None for none.
    """

    key: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    tolerance: float = 0.0
    limit: int = 10
    to: Path | None = None


class ComparedColumns(Struct, frozen=True, kw_only=True):
    """Which columns are compared, and how."""

    common: tuple[Column, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: tuple[str, ...]
    key: tuple[str, ...]
    measures: tuple[str, ...]
    by: tuple[str, ...]


def compared_columns(
    old: Version, new: Version, product: Product | None, options: DiffOptions
) -> ComparedColumns:
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    common = {n: _comparable(before[n], column) for n, column in after.items() if n in before}
    for option, names in (
        ("--key", options.key),
        ("--measure", options.measures),
        ("--by", options.by),
    ):
        for name in names:
            if name not in common:
                hint = nearest(name, common) or f"Both have {', '.join(common)}."
                raise UsageError(f"{option} {name}: not a column of both versions", hint=hint)
    for name in options.measures:
        if not is_number(common[name].type):
            raise UsageError(f"--measure {name}: it is {common[name].type}, not a number")
    key = options.key or (product.contract.key if product else ())
    if not all(name in common for name in key):
        key = ()
    numbers = {name for name, column in common.items() if is_number(column.type)}
    measures, by = _promised(product, numbers)
    if not measures:
        decimals = [n for n, c in common.items() if n in numbers and n not in key and _is_amount(c)]
        measures = decimals[:_MEASURES]
    return ComparedColumns(
        common=tuple(common.values()),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        retyped=tuple(
            f"{name} {before[name].type} -> {after[name].type}"
            for name in common
            if not same_type(after[name].type, before[name].type)
        ),
        key=tuple(key),
        measures=options.measures or tuple(measures),
        by=options.by or tuple(name for name in by if name in common),
    )


def _comparable(before: Column, after: Column) -> Column:
    """Return the column as it is compared: as text where the two types have no values in common."""
    one, other = before.type, after.type
    moments = all(type.startswith(("DATE", "TIMESTAMP")) for type in (one, other))
    if one == other or moments or (is_number(one) and is_number(other)):
        return after
    return replace(after, type="VARCHAR")


def _is_amount(column: Column) -> bool:
    return column.type.startswith(("DECIMAL", "DOUBLE", "FLOAT"))


def _promised(product: Product | None, numbers: Collection[str]) -> tuple[list[str], Sequence[str]]:
    """Return the columns whose totals rules promise, and the columns that group the first."""
    rules = [r for r in (product.contract.rules if product else ()) if r.measure in numbers]
    by = next((rule.by for rule in rules if rule.by), ())
    return list(dict.fromkeys(rule.measure for rule in rules)), by
