"""Finds the first fault of a text file, and describes it: line, column, what is expected.

A file is read line by line for this only after a query has found that something is wrong with it.
"""

import codecs
import csv
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assay.engines.formats.marks import MARK
from assay.engines.formats.shapes import advice
from assay.engines.formats.textfiles import LONGEST_OBJECT, Lines, is_recoded
from assay.engines.formats.textvalues import hint
from assay.engines.formats.unpacking import Damaged, chunks
from assay.engines.nested import is_nested
from assay.errors import SourceFault
from assay.model import Column, Source
from assay.sensitive import names_columns

LONGEST_LINE = 2_000_000  # bytes of a line of CSV that DuckDB reads
_LONGEST_FIELD = 64 << 20  # letters of a field that are read to find what is wrong
_NAMES = 30  # keys that a message shows
_WRONG_TEXT = "there is text that is not UTF-8"
_ENCODING_HINT = 'Save it as UTF-8, or give its encoding=, such as "cp1252" or "latin-1".'
_SHOWN = 60  # letters of a value that a message shows
_NOT_UTF8 = range(0xDC80, 0xDD00)  # what bytes that are not UTF-8 are read as


class Faults:
    """The faults of several files, which are raised as one."""

    def __init__(self) -> None:
        self.found: list[SourceFault] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep a fault that is raised."""
        try:
            yield
        except SourceFault as fault:
            self.found += [fault, *fault.others]

    def raise_any(self) -> None:
        """Raise the first fault with the others; nothing for none."""
        if self.found:
            first, *others = sorted(self.found, key=lambda fault: fault.what)  # by file
            first.others = tuple(others)
            raise first


def header_fault(
    source: Source, file: str, first: Sequence[str], names: Sequence[str]
) -> SourceFault | None:
    """Return the fault of the first line of a file, with these names for its columns; None for none.

    Each declared column is there once, or, if it is optional, never.
    """
    place, dialect = f"{file}, line {source.dialect.skip_rows + 1:,}", source.dialect
    extra = first[len(names) :]
    is_empty = not dialect.header and not first
    if dialect.names and not is_empty and (len(first) < len(names) or extra not in ((), ("",))):
        which = "names= has" if dialect.header else "columns= (or names=) has"
        problem = f"{place}: it has {len(first)} columns, and {which} {len(names)}"
        if not first:
            problem = f"{file}: it is empty, without a header"
        return SourceFault(source.name, problem, hint="Name each column of the files, in order.")
    for column in source.columns:
        count = names.count(column.name)
        if count > 1:
            hint = f"Declare the second as '{column.name}_1', or name each column in names=."
            problem = f"{place}: it has the column {column.name!r} twice"
            return SourceFault(source.name, problem, hint=hint)
        if count == 0 and column.name not in source.optional:
            return _absent_column(source, place, column, first)
    return None


def _absent_column(
    source: Source, place: str, column: Column, header: Sequence[str]
) -> SourceFault:
    """Return the fault of a header without a declared column."""
    has, hint = _listed(header, source), advice(source, column.name)
    alike = [name for name in header if name.lower() == column.name.lower()]
    if hint:
        pass
    elif alike:
        has, hint = repr(alike[0]), "Names of columns count with their case."
    elif len(header) == 1:
        separator = next((sign for sign in ",;\t|" if sign in header[0]), "")
        if separator:
            hint = f"Give separator={separator!r} if that is what separates its columns."
    elif header and not names_columns(header, [c.name for c in source.columns]):
        hint = "Give header=False if it has no header, or skip_rows= if lines come before it."
    return SourceFault(
        source.name,
        f"{place}: it should have a column {column.name!r}; it has {has}",
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
        hint=hint(source, column, text),
    )


def csv_fault(
    source: Source,
    path: Path,
    file: str,
    wrong: Mapping[str, Collection[str]],
    names: Sequence[str],
) -> SourceFault | None:
    """Return the first fault of a CSV file: of a line, or one of the `wrong` texts (by column).

    `names` are those of its columns, by position.
    """
    place, is_header = file, source.dialect.header
    try:
        for lines, row in csv_rows(source, path):
            place = f"{file}, {lines.place(lines.start)}"
            fault = _row_fault(source, path, place, row, names)
            if not is_header:
                values = dict(zip(names, row, strict=False))
                fault = fault or _column_fault(source, place, values, wrong)
            if fault:
                return fault
            is_header = False
            place = f"{file}, {lines.place(lines.number + 1)}"
    except Damaged as damage:
        return SourceFault(source.name, f"{file} {damage}", hint=damage.hint)
    except csv.Error as error:
        problem = "something stands behind a value in quotes"
        if "end of data" in str(error) or "limit" in str(error):
            problem = "a value in quotes does not end"
        hint = 'In quotes, a quote is written as "", or escape= says how; see also quote_char=.'
        return SourceFault(source.name, f"{place}: {problem}", hint=hint)
    return None


def csv_rows(source: Source, path: Path) -> Iterator[tuple[Lines, list[str]]]:
    """Yield the rows of a CSV file, the header first, each with the lines that it was read from.

    Blank lines are no rows, except in a file of a single column. Raises Damaged and csv.Error.
    """
    dialect = source.dialect
    csv.field_size_limit(_LONGEST_FIELD)
    is_doubled = dialect.escape == dialect.quote_char
    with Lines(source, path) as lines:
        reader = csv.reader(
            lines,
            delimiter=dialect.separator,
            quotechar=dialect.quote_char or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote_char else csv.QUOTE_NONE,
            doublequote=is_doubled,
            escapechar=None if is_doubled else dialect.escape,
            strict=True,
        )
        single, is_first = False, True
        while True:
            lines.start = 0
            row = next(reader, None)
            if row is None:
                return
            single, is_first = len(row) == 1 if is_first else single, False
            if row or single:
                yield lines, row


def _row_fault(
    source: Source, path: Path, place: str, row: Sequence[str], header: Sequence[str]
) -> SourceFault | None:
    """Return the fault of a row as a whole; `header` has the names of its columns."""
    broken = next((index for index, value in enumerate(row) if not _is_utf8(value)), None)
    if broken is not None:
        column = f" in column {header[broken]!r}" if broken < len(header) else ""
        problem = f"there is text that is not UTF-8{column}{_first_wrong_byte(path)}"
        return SourceFault(source.name, f"{place}: {problem}", hint=_ENCODING_HINT)
    size = sum(len(value.encode()) + 1 for value in row)
    if size > LONGEST_LINE:
        return SourceFault(
            source.name,
            f"{place}: it is {size:,} bytes long, and a line may have {LONGEST_LINE:,}",
            hint="Leave out what is so large, or hand it over as Parquet.",
        )
    extra = row[len(header) :]
    # A separator after the last value is allowed.
    if row and (len(row) < len(header) or extra not in ([], [""])):
        values = f"{len(row)} value{'s' * (len(row) != 1)}"
        which = "the header has" if source.dialect.header else "there should be"
        return SourceFault(
            source.name,
            f"{place}: it has {values}, and {which} {len(header)} columns",
            hint="A value with a separator or a line end in it is put in quotes.",
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


def _first_wrong_byte(path: Path) -> str:
    """Return the place of the first byte of a file that is not UTF-8, for messages."""
    decoder, read = codecs.getincrementaldecoder("utf-8")(), 0
    for chunk in chunks(path):
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            return f", at byte {read - waiting + error.start:,}"
        read += len(chunk)
    return ""


def _is_utf8(text: str) -> bool:
    return text.isascii() or not any(ord(sign) in _NOT_UTF8 for sign in text)


def json_fault(
    source: Source, path: Path, file: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the first fault of JSON lines: of a line, or one of the `wrong` texts (by column)."""
    try:
        with Lines(source, path) as lines:
            for line in lines:
                place = f"{file}, {lines.place()}"
                if line.strip() and (fault := _line_fault(source, place, line, wrong)):
                    if _WRONG_TEXT in fault.what and not is_recoded(source, path):
                        fault.what += _first_wrong_byte(path)
                    return fault
    except Damaged as damage:
        return SourceFault(source.name, f"{file} {damage}", hint=damage.hint)
    return None


class _Pairs(list[tuple[str, Any]]):
    """The keys and values of a JSON object, in order, with repeated keys."""


def _line_fault(
    source: Source, place: str, line: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the fault of a line, as a whole or of one of its values."""
    if not _is_utf8(line):
        return SourceFault(source.name, f"{place}: {_WRONG_TEXT}", hint=_ENCODING_HINT)
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
    return _nested_fault(source, place, line, wrong) or _object_fault(source, place, pairs, wrong)


def _nested_fault(
    source: Source, place: str, line: str, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    """Return the fault of a list or struct: of these columns, the `wrong` texts are whole lines."""
    for column in source.columns:
        if is_nested(column.type) and line.strip() in wrong.get(column.name, ()):
            value = json.dumps(json.loads(line).get(column.name), ensure_ascii=False)
            return value_fault(source, place, column, value)
    return None


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
        may_be = column.type == "VARCHAR" or is_nested(column.type)
        if isinstance(values.get(column.name), list) and column.name in wrong and not may_be:
            return value_fault(source, place, column, str(spelled.get(column.name)))
    return _column_fault(source, place, spelled, wrong)


def _key(name: str, source: Source) -> str:
    """Return a key for a message; a key that is not declared is not shown: it may be a value."""
    return f"the key {name!r}" if name in {column.name for column in source.columns} else "a key"


def missing_field(source: Source, file: str, place: str) -> SourceFault:
    """Return the fault of a file in which no object has a declared field, such as `address.zip`."""
    parent, _, name = place.rpartition(".")
    return SourceFault(
        source.name,
        f"{file}: no object in {parent!r} has the key {name!r}, not even as null",
        hint="Keys count with their case. Mend the file, or leave the field out of columns=.",
    )


def missing_key(source: Source, file: str, column: Column, keys: Collection[str]) -> SourceFault:
    """Return the fault of a file in which no line has a declared key."""
    has, hint = f"{len(keys)} others", advice(source, column.name)
    names = sorted(keys)[:_NAMES]
    alike = [key for key in sorted(keys) if key.lower() == column.name.lower()]
    if alike:
        has, hint = repr(alike[0]), hint or "Keys count with their case."
    elif names_columns(names, [c.name for c in source.columns]):
        has = ", ".join(names)
    return SourceFault(
        source.name, f"{file}: no line has the key {column.name!r}; lines have {has}", hint=hint
    )
