"""Finds the first fault of a text file, and describes it: line, column, what is expected.

A file is read line by line for this only after a query has found that something is wrong with it.
"""

import csv
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.engines.formats.jsonlines import MARK
from assay.engines.formats.textfiles import opened
from assay.engines.formats.textvalues import hint
from assay.errors import SourceFault
from assay.model import Column, Source
from assay.sensitive import names_columns

LONGEST_LINE = 2_000_000  # bytes of a line of CSV that DuckDB reads
LONGEST_OBJECT = 16_777_216  # bytes of a line of JSON that DuckDB reads
_NAMES = 30  # keys that a message shows
_SHOWN = 60  # letters of a value that a message shows
_NOT_UTF8 = range(0xDC80, 0xDD00)  # what bytes that are not UTF-8 are read as


def header_fault(source: Source, file: str, header: Sequence[str]) -> SourceFault | None:
    """Return the fault of the names in a header line; None if each declared column occurs once."""
    for column in source.columns:
        count = header.count(column.name)
        if count > 1:
            return SourceFault(
                source.name, f"{file}, line 1: it has the column {column.name!r} twice"
            )
        if count == 0:
            return _absent_column(source, file, column, header)
    return None


def _absent_column(source: Source, file: str, column: Column, header: Sequence[str]) -> SourceFault:
    """Return the fault of a header without a declared column."""
    has, hint = _listed(header, source), ""
    alike = [name for name in header if name.lower() == column.name.lower()]
    if alike:
        has, hint = repr(alike[0]), "Names of columns count with their case."
    elif len(header) == 1:
        delimiter = next((sign for sign in ",;\t|" if sign in header[0]), "")
        if delimiter:
            hint = f"Give delimiter={delimiter!r} if that is what separates its columns."
    return SourceFault(
        source.name,
        f"{file}, line 1: it should have a column {column.name!r}; it has {has}",
        hint=hint,
    )


def _listed(header: Sequence[str], source: Source) -> str:
    """Return the names in a header; only their number if they may be values."""
    if names_columns(header, [column.name for column in source.columns]):
        return ", ".join(header)
    if not header:
        return "nothing"
    plural = "s" if len(header) != 1 else ""
    return f"{len(header)} column{plural}, and no names of columns in its first line"


def value_fault(source: Source, place: str, column: Column, text: str) -> SourceFault:
    """Return the fault of a text that is no value of a column's declared type."""
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text):,} letters)"
    return SourceFault(
        source.name,
        f"{place}: column {column.name!r} should be {column.logical or column.type}",
        quoted=repr(shown),
        column=column.name,
        hint=hint(column),
    )


def csv_fault(
    source: Source, path: Path, file: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the first fault of a CSV file: of a line, or one of the `wrong` texts (by column)."""
    header, start = list[str](), 1
    try:
        for line, row in csv_rows(path, source.delimiter):
            place = f"{file}, line {start:,}"
            values = dict(zip(header, row, strict=False))
            fault = _row_fault(source, place, header, row)
            fault = fault or _column_fault(source, place, values, wrong)
            if fault:
                return fault
            header, start = header or row, line + 1
    except csv.Error as error:
        problem = "something stands behind a value in quotes"
        if "end of data" in str(error):
            problem = "a value in quotes does not end"
        return SourceFault(
            source.name,
            f"{file}, line {start:,}: {problem}",
            hint='In quotes, a quote is written as "".',
        )
    return None


def csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file, the header first, each after the number of its last line.

    Blank lines are no rows, except in a file of a single column.
    """
    csv.field_size_limit(sys.maxsize)
    with opened(path) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        single = False
        for number, row in enumerate(reader):
            single = len(row) == 1 if number == 0 else single
            if row or single:
                yield reader.line_num, row


def _row_fault(
    source: Source, place: str, header: Sequence[str], row: Sequence[str]
) -> SourceFault | None:
    """Return the fault of a row as a whole; `header` is empty if the row is the header."""
    broken = next((index for index, value in enumerate(row) if not _is_utf8(value)), None)
    if broken is not None:
        column = f" in column {header[broken]!r}" if broken < len(header) else ""
        problem = f"there is text that is not UTF-8{column}"
        return SourceFault(source.name, f"{place}: {problem}", hint="Save it as UTF-8.")
    size = sum(len(value.encode()) + 1 for value in row)
    if size > LONGEST_LINE:
        return SourceFault(
            source.name,
            f"{place}: it is {size:,} bytes long, and a line may have {LONGEST_LINE:,}",
            hint="Leave out what is so large, or hand it over as Parquet.",
        )
    extra = row[len(header) :] if header else []
    # A delimiter after the last value is allowed.
    if row and (len(row) < len(header) or extra not in ([], [""])):
        values = f"{len(row)} value{'s' * (len(row) != 1)}"
        return SourceFault(
            source.name,
            f"{place}: it has {values}, and the header has {len(header)} columns",
            hint="A value with a delimiter or a line end in it is put in quotes.",
        )
    return None


def _column_fault(
    source: Source, place: str, row: Mapping[str, str | None], wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    for column in source.columns:
        text = row.get(column.name)
        if text is not None and text in wrong.get(column.name, ()):
            return value_fault(source, place, column, text)
    return None


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any(ord(sign) in _NOT_UTF8 for sign in text)


def json_fault(
    source: Source, path: Path, file: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the first fault of JSON lines: of a line, or one of the `wrong` texts (by column)."""
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if fault := _line_fault(source, f"{file}, line {number:,}", line, wrong):
                return fault
    return None


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object, in order, with repeated keys."""


def _line_fault(
    source: Source, place: str, line: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the fault of a line, as a whole or of one of its values."""
    if not _is_utf8(line):
        problem = f"{place}: there is text that is not UTF-8"
        return SourceFault(source.name, problem, hint="Save it as UTF-8.")
    size = len(line.encode())
    if size > LONGEST_OBJECT:
        problem = f"{place}: it is {size:,} bytes long, and a line may have {LONGEST_OBJECT:,}"
        return SourceFault(source.name, problem)
    try:
        pairs = json.loads(line, object_pairs_hook=_Pairs, parse_float=str, parse_int=str)
    except ValueError as error:
        at = f", from letter {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        problem = f"{place}: it is no JSON{at}"
        return SourceFault(source.name, problem, hint="Each line is one JSON object.")
    if not isinstance(pairs, _Pairs):
        problem = f"{place}: it is no JSON object"
        return SourceFault(source.name, problem, hint="Each line is one JSON object.")
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        return SourceFault(source.name, f"{place}: it has {_key(twice, source)} twice")
    if MARK in line or "\\ufdd0" in line.lower():
        problem = f"{place}: it holds U+FDD0, which is no letter and is not read"
        return SourceFault(source.name, problem)
    return _object_fault(source, place, pairs, wrong)


def _object_fault(
    source: Source, place: str, pairs: _Pairs, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the fault of the first value that is among the `wrong` texts of its column."""
    spelled = {
        key: value if isinstance(value, str | None) else json.dumps(value) for key, value in pairs
    }
    values = dict(pairs)
    for column in source.columns:
        # DuckDB and Python spell a list or an object differently, so it is not among the texts.
        is_nested = isinstance(values.get(column.name), list)
        if is_nested and column.name in wrong and column.type != "VARCHAR":
            return value_fault(source, place, column, str(spelled.get(column.name)))
    return _column_fault(source, place, spelled, wrong)


def _key(name: str, source: Source) -> str:
    """Return a key for a message; a key that is not declared is not shown: it may be a value."""
    return f"the key {name!r}" if name in {column.name for column in source.columns} else "a key"


def missing_key(source: Source, file: str, column: Column, keys: Collection[str]) -> SourceFault:
    """Return the fault of a file in which no line has a declared key."""
    has, hint = f"{len(keys)} others", ""
    names = sorted(keys)[:_NAMES]
    alike = [key for key in sorted(keys) if key.lower() == column.name.lower()]
    if alike:
        has, hint = repr(alike[0]), "Keys count with their case."
    elif names_columns(names, [c.name for c in source.columns]):
        has = ", ".join(names)
    return SourceFault(
        source.name, f"{file}: no line has the key {column.name!r}; lines have {has}", hint=hint
    )
