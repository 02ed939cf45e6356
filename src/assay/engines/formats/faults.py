"""Where in a file of a source something is wrong, in words: found by reading it line by line, once it is known."""

import csv
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.engines.formats.textfiles import opened
from assay.engines.formats.textvalues import hint
from assay.errors import SourceFault
from assay.model import Column, Source
from assay.sensitive import names_columns

LONGEST_LINE, LONGEST_OBJECT = (
    2_000_000,
    16_777_216,
)  # bytes of a line of CSV, and of JSON, that DuckDB reads
_NAMES = 30  # of keys that are shown
_SHOWN = 60  # letters of a value
_NOT_UTF8 = range(0xDC80, 0xDD00)  # what bytes that are not UTF-8 are read as


def header_fault(source: Source, file: str, header: Sequence[str]) -> SourceFault | None:
    """Return what is wrong with the names in a header line; None when each declared column is there once."""
    for column in source.columns:
        if header.count(column.name) == 1:
            continue
        if column.name in header:
            return SourceFault(
                source.name, f"{file}, line 1: it has the column {column.name!r} twice"
            )
        has, hint = _listed(header, source), ""
        if alike := [name for name in header if name.lower() == column.name.lower()]:
            has, hint = repr(alike[0]), "Names of columns count with their case."
        elif other := next(
            (sign for sign in ",;\t|" if len(header) == 1 and sign in header[0]), ""
        ):
            hint = f"Give delimiter={other!r} if that is what separates its columns."
        return SourceFault(
            source.name,
            f"{file}, line 1: it should have a column {column.name!r}; it has {has}",
            hint=hint,
        )
    return None


def _listed(header: Sequence[str], source: Source) -> str:
    """Return the names of columns in a first line; where it holds a row of values, only how many."""
    if names_columns(header, [column.name for column in source.columns]):
        return ", ".join(header)
    many = f"{len(header)} column{'s' if len(header) != 1 else ''}, and no names of columns in its first line"
    return many if header else "nothing"


def value_fault(source: Source, place: str, column: Column, text: str) -> SourceFault:
    """Return what to say of a text that is no value of a column's declared type."""
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
    """Return the first fault of a CSV file: of its lines, or one of the `wrong` texts, by column; None for none."""
    header, start = list[str](), 1
    try:
        for line, row in csv_rows(path, source.delimiter):
            place = f"{file}, line {start:,}"
            if fault := _row_fault(source, place, header, row) or _column_fault(
                source, place, dict(zip(header, row, strict=False)), wrong
            ):
                return fault
            header, start = header or row, line + 1
    except csv.Error as error:
        end = "end of data" in str(error)
        what = (
            "a value in quotes does not end" if end else "something stands behind a value in quotes"
        )
        return SourceFault(
            source.name,
            f"{file}, line {start:,}: {what}",
            hint='In quotes, a quote is written as "".',
        )
    return None


def csv_rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV file, the header first, each with the line that it ends in; blank lines are none."""
    csv.field_size_limit(sys.maxsize)
    with opened(path) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        single = False
        for number, row in enumerate(reader):
            single = len(row) == 1 if number == 0 else single
            if row or single:  # of a single column, a blank line is a row
                yield reader.line_num, row


def _row_fault(
    source: Source, place: str, header: Sequence[str], row: Sequence[str]
) -> SourceFault | None:
    """Return what is wrong with a row as a whole; `header` is empty while it is the row."""
    if (at := next((n for n, value in enumerate(row) if not _is_utf8(value)), None)) is not None:
        column = f" in column {header[at]!r}" if at < len(header) else ""
        return SourceFault(
            source.name,
            f"{place}: there is text that is not UTF-8{column}",
            hint="Save it as UTF-8.",
        )
    if (size := sum(len(value.encode()) + 1 for value in row)) > LONGEST_LINE:
        what = f"{place}: it is {size:,} bytes long, and a line may have {LONGEST_LINE:,}"
        return SourceFault(
            source.name, what, hint="Leave out what is so large, or hand it over as Parquet."
        )
    extra = row[len(header) :] if header else []
    if row and (
        len(row) < len(header) or extra not in ([], [""])
    ):  # a delimiter behind the last value is let be
        what = f"{place}: it has {len(row)} value{'s' * (len(row) != 1)}, and the header has {len(header)} columns"
        return SourceFault(
            source.name, what, hint="A value with a delimiter or a line end in it is put in quotes."
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
    """Return the first fault of a file of JSON lines: of its lines, or one of the `wrong` texts, by column."""
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip() and (
                fault := _line_fault(source, f"{file}, line {number:,}", line, wrong)
            ):
                return fault
    return None


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of an object of JSON, in order."""


def _line_fault(
    source: Source, place: str, line: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    if not _is_utf8(line):
        return SourceFault(
            source.name, f"{place}: there is text that is not UTF-8", hint="Save it as UTF-8."
        )
    if (size := len(line.encode())) > LONGEST_OBJECT:
        return SourceFault(
            source.name,
            f"{place}: it is {size:,} bytes long, and a line may have {LONGEST_OBJECT:,}",
        )
    try:
        pairs = json.loads(line, object_pairs_hook=_Pairs, parse_float=str, parse_int=str)
    except ValueError as error:
        at = f", from letter {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        return SourceFault(
            source.name, f"{place}: it is no JSON{at}", hint="Each line is one JSON object."
        )
    if not isinstance(pairs, _Pairs):
        return SourceFault(
            source.name, f"{place}: it is no JSON object", hint="Each line is one JSON object."
        )
    keys = [key for key, _ in pairs]
    if twice := [key for key in dict.fromkeys(keys) if keys.count(key) > 1]:
        return SourceFault(source.name, f"{place}: it has {_key(twice[0], source)} twice")
    if "\ufdd0" in line or "\\ufdd0" in line.lower():
        return SourceFault(
            source.name, f"{place}: it holds U+FDD0, which is no letter and is not read"
        )
    spelled = {
        key: value if isinstance(value, str | None) else json.dumps(value) for key, value in pairs
    }
    for column in source.columns:  # a list or an object is spelled by each in another way
        text = spelled.get(column.name)
        if (
            column.name in wrong
            and column.type != "VARCHAR"
            and isinstance(dict(pairs).get(column.name), list)
        ):
            return value_fault(source, place, column, str(text))
    return _column_fault(source, place, spelled, wrong)


def _key(name: str, source: Source) -> str:
    """Return a key as it is shown; one that is not declared may be a value."""
    return f"the key {name!r}" if name in {column.name for column in source.columns} else "a key"


def missing_key(source: Source, file: str, column: Column, keys: Collection[str]) -> SourceFault:
    """Return what to say of a file in which no line has a declared key."""
    alike = [key for key in sorted(keys) if key.lower() == column.name.lower()]
    names = sorted(keys)[:_NAMES]
    shown = (
        ", ".join(names)
        if names_columns(names, [c.name for c in source.columns])
        else f"{len(keys)} others"
    )
    has, hint = (repr(alike[0]), "Keys count with their case.") if alike else (shown, "")
    return SourceFault(
        source.name, f"{file}: no line has the key {column.name!r}; lines have {has}", hint=hint
    )
