"""Masks the sensitive values of samples: each by one of its kind, the same value by the same."""

import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from assay.sensitive import PERSONAL, personal, secret
from assay.testing.sample import Sample

_LOOKS_PERSONAL = re.compile("|".join(f"(?:{pattern})" for pattern in PERSONAL))
_DAY = date(2000, 1, 1)


def disguised(
    samples: Mapping[str, Sample],
    patterns: Mapping[str, Collection[str]],
    cleared: Mapping[str, Collection[str]],
) -> tuple[dict[str, Sample], tuple[str, ...]]:
    """Return the samples with masked values, and the columns (`table.column`) that were masked.

    `patterns` are those of the sensitive columns, by table. Columns that look personal, by name or
    by a value, are masked too, unless they are `cleared`, and so is every text that equals a masked
    one, so that joins still join.
    """
    masked = {
        name: _columns(sample, patterns.get(name, ()), cleared.get(name, ()))
        for name, sample in samples.items()
    }
    masks = _Masks(_values(samples, masked))
    result = {}
    for name, sample in samples.items():
        rows = [
            tuple(
                masks.of(value) if column in masked[name] else masks.if_masked(value)
                for column, value in zip(sample.columns, row, strict=True)
            )
            for row in sample.rows
        ]
        result[name] = replace(sample, rows=rows)
    return result, tuple(sorted(f"{name}.{c}" for name, columns in masked.items() for c in columns))


def _columns(sample: Sample, patterns: Collection[str], cleared: Collection[str]) -> set[str]:
    """Return the columns of a sample that are masked."""
    columns, harmless = secret(sample.columns, patterns), secret(sample.columns, cleared)
    for number, column in enumerate(sample.columns):
        texts = (row[number] for row in sample.rows if isinstance(row[number], str))
        if personal(column) or any(_LOOKS_PERSONAL.fullmatch(text.strip()) for text in texts):
            columns |= {column} - harmless
    return columns


def _values(samples: Mapping[str, Sample], masked: Mapping[str, Collection[str]]) -> list[Any]:
    """Return the values that are masked, in order; each may be there several times."""
    return [
        row[number]
        for name, sample in samples.items()
        for number, column in enumerate(sample.columns)
        if column in masked[name]
        for row in sample.rows
    ]


class _Masks:
    """What stands for each value."""

    def __init__(self, values: Collection[Any]) -> None:
        self._texts = {value for value in values if isinstance(value, str)}
        self._of: dict[Any, Any] = {}
        for value in values:
            if value is not None:
                self.of(value)

    def of(self, value: Any) -> Any:
        """Return what stands for a value: of its kind, and a text of its shape; None for None."""
        if value is None or isinstance(value, bool | list | dict | tuple | bytes):
            return None
        key = (type(value), value)
        if key not in self._of:
            self._of[key] = self._new(value, len(self._of) + 1)
        return self._of[key]

    def if_masked(self, value: Any) -> Any:
        """Return what stands for a text that is masked elsewhere; any other value as it is."""
        return self.of(value) if isinstance(value, str) and value in self._texts else value

    def _new(self, value: Any, number: int) -> Any:
        match value:
            case str():
                return self._text(value, number)
            case datetime():
                return datetime(2000, 1, 1, tzinfo=value.tzinfo) + timedelta(days=number)
            case date():
                return _DAY + timedelta(days=number)
            case Decimal():
                return Decimal(number).scaleb(-max(-int(value.as_tuple().exponent), 0))
            case int() | float():
                return type(value)(number)
        return None

    def _text(self, text: str, number: int) -> str:
        taken = {*self._texts, *(mask for mask in self._of.values() if isinstance(mask, str))}
        while (mask := _shaped(text, number)) in taken:
            number += 1
        return mask


def _shaped(text: str, number: int) -> str:
    """Return a text of the same shape: a digit for a digit, a letter for a letter."""
    signs = []
    for sign in reversed(text):
        if sign.isdigit():
            number, digit = divmod(number, 10)
            signs.append(str(digit))
        elif sign.isalpha():
            number, letter = divmod(number, 26)
            signs.append(chr(letter + ord("A" if sign.isupper() else "a")))
        else:
            signs.append(sign)
    return "".join(reversed(signs)) + (str(number) if number else "")
