"""Compares the rows that a test expects with those that came out: as sets, in which duplicates count."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.errors import UsageError
from assay.plan.names import nearest
from assay.testing.cells import Unfit, value_of
from assay.testing.files import columns_of
from assay.testing.rows import Table

if TYPE_CHECKING:
    import polars as pl

Row = tuple[Any, ...]
# Sums of floats differ in the last digits by the order of the rows.
_RELATIVE, _ABSOLUTE, _DIGITS = 1e-9, 1e-12, 12
_FLOATS = {"DOUBLE", "FLOAT"}


class ChangedRow(Struct, frozen=True, kw_only=True):
    """A row that came out with other values: `key` says which, `values` are (expected, got)."""

    key: Mapping[str, Any]
    values: Mapping[str, tuple[Any, Any]]


class Difference(Struct, frozen=True, kw_only=True):
    """How rows differ from those expected; `out_of_order` is the first row that stands elsewhere."""

    missing: Sequence[Mapping[str, Any]] = ()
    unexpected: Sequence[Mapping[str, Any]] = ()
    changed: Sequence[ChangedRow] = ()
    out_of_order: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.changed or self.out_of_order)


def difference(
    expected: Table, frame: "pl.DataFrame", key: Sequence[str] = (), *, ordered: bool = False
) -> Difference:
    """Return how a data frame differs from expected rows, in the columns that they name.

    `key` are the columns that tell the rows of the frame apart, if known. Raises UsageError for
    expected columns that are not there, and for values that their types cannot hold.
    """
    if not frame.columns:
        return Difference(missing=expected.rows)
    names = list(expected.columns or frame.columns)
    types = {column.name: column.type for column in columns_of(frame)}
    for name in names:
        if name not in types:
            hint = nearest(name, types) or f"It has: {', '.join(types)}."
            raise UsageError(f"no column {name!r} came out. {hint}")
    wanted = [_typed(row, number, names, types) for number, row in enumerate(expected.rows, 1)]
    got = [tuple(row) for row in frame.select(names).rows()]
    is_float = [types[name] in _FLOATS for name in names]
    missing, unexpected = _unmatched(wanted, got, is_float)
    if not missing and not unexpected:
        return Difference(out_of_order=_first_elsewhere(wanted, got, is_float) if ordered else 0)
    pairs = _pairs(missing, unexpected, _told_apart(names, key, is_float, wanted, got))
    changed = [_changed(names, is_float, columns, *pair) for columns, *pair in pairs]
    paired = [{id(pair[side]) for pair in pairs} for side in (1, 2)]
    return Difference(
        missing=[dict(zip(names, row, strict=True)) for row in missing if id(row) not in paired[0]],
        unexpected=[
            dict(zip(names, row, strict=True)) for row in unexpected if id(row) not in paired[1]
        ],
        changed=changed,
    )


def _typed(
    row: Mapping[str, Any], number: int, names: Sequence[str], types: Mapping[str, str]
) -> Row:
    values = []
    for name in names:
        try:
            values.append(value_of(row.get(name), types[name]))
        except Unfit as error:
            raise UsageError(f"row {number}, {name}: {error}") from None
    return tuple(values)


# ------------------------------------------------------------------------------------- matching


def _unmatched(
    wanted: Sequence[Row], got: Sequence[Row], is_float: Sequence[bool]
) -> tuple[list[Row], list[Row]]:
    """Return the rows that are expected and did not come out, and those that came out besides."""
    counts = Counter(map(_frozen, got))
    missing: list[Row] = []
    for row in wanted:
        if counts[_frozen(row)]:
            counts[_frozen(row)] -= 1
        else:
            missing.append(row)
    unexpected: list[Row] = []
    for row in reversed(got):  # so that the first of equal rows is the one that was expected
        if counts[_frozen(row)]:
            counts[_frozen(row)] -= 1
            unexpected.append(row)
    unexpected.reverse()
    if any(is_float):
        missing, unexpected = _without_close(missing, unexpected, is_float)
    return missing, unexpected


def _without_close(
    missing: Sequence[Row], unexpected: Sequence[Row], is_float: Sequence[bool]
) -> tuple[list[Row], list[Row]]:
    """Leave out the rows that are equal but for the last digits of floats."""
    groups: dict[Row, list[Row]] = {}
    for row in unexpected:
        groups.setdefault(_without_floats(row, is_float), []).append(row)
    left = []
    for row in missing:
        group = groups.get(_without_floats(row, is_float), [])
        close = next((n for n, other in enumerate(group) if _close(row, other, is_float)), None)
        if close is None:
            left.append(row)
        else:
            group.pop(close)
    remaining = {id(row) for group in groups.values() for row in group}
    return left, [row for row in unexpected if id(row) in remaining]


def _without_floats(row: Row, is_float: Sequence[bool]) -> Row:
    return tuple(_frozen(v) for v, skip in zip(row, is_float, strict=True) if not skip)


def _close(row: Row, other: Row, is_float: Sequence[bool]) -> bool:
    return all(map(_equal, row, other, is_float))


def _equal(one: Any, other: Any, is_float: bool) -> bool:
    """Return whether two values of a column are equal; floats to nine digits, NaN to itself."""
    if is_float and isinstance(one, float) and isinstance(other, float):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return bool(_frozen(one) == _frozen(other))


def _frozen(value: Any) -> Any:
    """Return a value as one that can be counted, equal for equal values, NaN for NaN."""
    match value:
        case float():
            return "NaN" if math.isnan(value) else float(f"{value:.{_DIGITS}g}")
        case list() | tuple():
            return tuple(map(_frozen, value))
        case Mapping():
            return tuple((name, _frozen(inner)) for name, inner in value.items())
    return value


def _first_elsewhere(wanted: Sequence[Row], got: Sequence[Row], is_float: Sequence[bool]) -> int:
    """Return the number of the first row (from 1) that is not the expected one; 0 for none."""
    pairs = enumerate(zip(wanted, got, strict=False), 1)
    return next((number for number, (one, other) in pairs if not _close(one, other, is_float)), 0)


# -------------------------------------------------------------------------------------- pairing


def _told_apart(
    names: Sequence[str],
    key: Sequence[str],
    is_float: Sequence[bool],
    wanted: Sequence[Row],
    got: Sequence[Row],
) -> list[int]:
    """Return the columns that tell rows apart on both sides: the key, or the first that does."""
    candidates = [[names.index(name) for name in key]] if {*key} <= {*names} and key else []
    candidates += [[n] for n in range(len(names)) if not is_float[n]]
    for columns in candidates:
        if len(columns) < len(names) and all(_tells_apart(columns, rows) for rows in (wanted, got)):
            return columns
    return []


def _tells_apart(columns: Sequence[int], rows: Sequence[Row]) -> bool:
    values = [_key_of(row, columns) for row in rows]
    return bool(values) and len(set(values)) == len(values) and not any(None in v for v in values)


def _pairs(
    missing: Sequence[Row], unexpected: Sequence[Row], columns: Sequence[int]
) -> list[tuple[Sequence[int], Row, Row]]:
    """Return the missing rows of which a row with the same key came out, with that row."""
    if not columns:
        return []
    others = {_key_of(row, columns): row for row in unexpected}
    keyed = ((row, _key_of(row, columns)) for row in missing)
    return [(columns, row, others[key]) for row, key in keyed if key in others]


def _key_of(row: Row, columns: Sequence[int]) -> Row:
    return tuple(_frozen(row[n]) for n in columns)


def _changed(
    names: Sequence[str], is_float: Sequence[bool], columns: Sequence[int], wanted: Row, got: Row
) -> ChangedRow:
    values: Iterator[tuple[str, Any, Any, bool]] = zip(names, wanted, got, is_float, strict=True)
    return ChangedRow(
        key={names[n]: wanted[n] for n in columns},
        values={
            name: (one, other)
            for name, one, other, close in values
            if not _equal(one, other, close)
        },
    )
