"""The arguments of `source.files` that say how text is written, read into a dialect."""

import codecs
import re
from collections.abc import Iterator, Mapping

from assay.declare.words import DialectDeclaration
from assay.engines.nested import is_nested
from assay.model import Column, Dialect
from assay.plan.names import nearest

_OF_CSV = (
    *("separator", "quote_char", "escape", "header", "names", "skip_rows", "comment_prefix"),
    *("null_values", "allow_quoted_nulls", "decimal_separator", "thousands"),
)
_OF_TEXT = ("date_format", "timestamp_format", "encoding")
_DEFAULTS: Mapping[str, object] = {
    "separator": ",",
    "quote_char": '"',
    "escape": None,
    "header": True,
    "skip_rows": 0,
    "comment_prefix": None,
    "allow_quoted_nulls": True,
    "decimal_separator": ".",
    "thousands": None,
    "encoding": "utf-8",
}
_SPECIFIER = re.compile(r"%(-?[A-Za-z%])")
_OF_DAYS = {"d", "-d", "m", "-m", "Y", "y", "b", "B", "a", "A", "j", "-j", "U", "W", "u", "w"}
_OF_TIMES = {"H", "-H", "I", "-I", "M", "-M", "S", "-S", "p", "f", "g"}
_YEARS, _DAYS = {"Y", "y"}, ({"m", "d"}, {"b", "d"}, {"B", "d"}, {"j"})
_FORMAT_HINT = "Write it as strptime does, such as %d.%m.%Y or %Y-%m-%d %H:%M:%S."
_ENCODING_HINT = 'Give one such as "utf-8", "utf-16", "latin-1" or "cp1252".'
# Codecs of Python that decode text with state, or are no encoding of a file.
_NO_ENCODINGS = {"utf-7", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}


def problems(
    declared: DialectDeclaration,
    pattern: str,
    format: str,
    columns: tuple[Column, ...],
    formats: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the options of files of a pattern and format, and a hint."""
    if declared.member and not pattern.endswith(".zip"):
        yield "member= is for .zip files", "Leave it out."
    unused = {"parquet": (*_OF_CSV, *_OF_TEXT, "member"), "jsonl": _OF_CSV, "json": _OF_CSV}
    for option in unused.get(format, ()):
        value = getattr(declared, option)
        if value != _DEFAULTS[option] if option in _DEFAULTS else value:
            yield f"{option}= is not for files of format {format!r}", "Leave it out."
    yield from _signs(declared)
    yield from _positions(declared, columns)
    for column in columns if format == "csv" else ():
        if is_nested(column.type):
            yield (
                f"column {column.name!r} is {column.type}, and CSV has no lists or structs",
                "Declare it as 'varchar', and take the text apart in a product.",
            )
    if _codec(declared.encoding) is None:
        yield f"encoding={declared.encoding!r} is no encoding of text", _ENCODING_HINT
    written = _formats(declared, columns, formats)
    for column in columns:
        text = written.get(column.name, "")
        if text and (problem := _format_problem(text, column)):
            yield f"column {column.name!r}: the format {text!r} {problem}", _FORMAT_HINT


def _signs(declared: DialectDeclaration) -> Iterator[tuple[str, str]]:
    """Yield where one character would mean two things."""
    used: dict[str, str] = {}
    for option in ("separator", "quote_char", "escape"):
        sign = getattr(declared, option)
        if sign is not None and sign in "\r\n\0":
            yield f"{option}={sign!r} cannot separate or enclose values", ""
        if sign is None or (option == "escape" and sign == declared.quote_char):
            continue
        if sign in used:
            yield f"{option}= and {used[sign]}= are both {sign!r}", "Give two characters."
        used[sign] = option
    if declared.escape is not None and declared.quote_char is None:
        yield "escape= is given, and quote_char= is None: no field is quoted", "Leave one out."
    if declared.thousands == declared.decimal_separator:
        message = f"thousands= and decimal_separator= are both {declared.thousands!r}"
        yield message, 'Give decimal_separator="," for 1.234,56.'


def _positions(
    declared: DialectDeclaration, columns: tuple[Column, ...]
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the names of columns by position."""
    for name in sorted({name for name in declared.names if [*declared.names].count(name) > 1}):
        yield f"names= has {name!r} twice", "Give each column a name of its own."
    for column in columns if declared.names else ():
        if column.name not in declared.names:
            hint = nearest(column.name, declared.names) or f"It has {', '.join(declared.names)}."
            yield f"names= does not have the column {column.name!r}", hint


def _codec(encoding: str) -> str | None:
    """Return the name of a codec of text; None if there is none."""
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError, UnicodeError):
        return None
    is_text = getattr(codec, "_is_text_encoding", True)
    return codec.name if is_text and codec.name not in _NO_ENCODINGS else None


def _format_problem(text: str, column: Column) -> str:
    """Return what is wrong with a format for values of a column; '' for nothing."""
    type = column.type
    if not type.startswith(("DATE", "TIMESTAMP")):
        return "is for days and times, and the column is " + type
    specifiers = set(_SPECIFIER.findall(text)) - {"%"}
    if "%" in _SPECIFIER.sub("", text):
        return "ends a % in nothing"
    if type == "TIMESTAMPTZ_NS":
        return "is not for nanoseconds with a zone: declare the column varchar"
    allowed = _OF_DAYS | (set() if type == "DATE" else _OF_TIMES)
    allowed |= {"n"} if type == "TIMESTAMP_NS" else set()
    allowed |= {"z"} if type == "TIMESTAMP WITH TIME ZONE" else set()
    if unknown := sorted(specifiers - allowed):
        return f"has %{unknown[0]}, which a {column.logical or type} cannot have"
    plain = {specifier.lstrip("-") for specifier in specifiers}
    if not plain & _YEARS or not any(day <= plain for day in _DAYS):
        return "does not say year, month and day"
    return ""


def _formats(
    declared: DialectDeclaration, columns: tuple[Column, ...], formats: Mapping[str, str]
) -> dict[str, str]:
    """Return the format of each column that has one: its own, or that of its type."""
    of_types = {"DATE": declared.date_format, "TIMESTAMP": declared.timestamp_format}
    written = {}
    for column in columns:
        general = next((f for type, f in of_types.items() if column.type.startswith(type)), "")
        if text := formats.get(column.name, general):
            written[column.name] = text
    return written


def read_dialect(
    declared: DialectDeclaration, columns: tuple[Column, ...], formats: Mapping[str, str]
) -> Dialect:
    """Return the dialect of options without problems."""
    names = tuple(declared.names)
    if not declared.header and not names:
        names = tuple(column.name for column in columns)
    quote = declared.quote_char or ""
    return Dialect(
        separator=declared.separator,
        quote_char=quote,
        escape=declared.escape or quote,
        header=declared.header,
        names=names,
        skip_rows=declared.skip_rows,
        comment_prefix=declared.comment_prefix or "",
        null_values=tuple(declared.null_values),
        quoted_nulls=declared.allow_quoted_nulls,
        decimal_separator=declared.decimal_separator,
        thousands=declared.thousands or "",
        formats=tuple(_formats(declared, columns, formats).items()),
        encoding=_codec(declared.encoding) or "utf-8",
        member=declared.member,
    )
