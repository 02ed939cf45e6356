"""Reads JSON lines: each declared column, by its key.

DuckDB reads a JSON number with a decimal point as a double, and writes it in another spelling.
Where that may change a value, numbers are first put in quotes, behind a mark.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from assay.engines.formats import textvalues as textual
from assay.engines.formats.copies import by_copy, path_of_copy, read_paths
from assay.engines.formats.marks import MARK, unmarked
from assay.engines.formats.textfiles import Lines
from assay.engines.nested import is_nested
from assay.engines.quoting import identifier, literal, source_files
from assay.engines.tables import InputFiles, TextTable
from assay.engines.types import DECIMAL
from assay.model import Column, Source

_STRING, _NUMBER = r'"[^"\\]*(?:\\.[^"\\]*)*"', r"-?[0-9][-+.0-9eE]*"
_OPEN, _CLOSE = "\x01", "\x02"  # JSON cannot contain these
# Numbers that reading as a double may change. A double has 15 exact digits, and is written with an
# exponent if it is small.
_LONG = r"-?(?:[0-9][0-9.]{15}|0\.0000|[0-9.]+[eE])"
_MINUS_ZERO = r"-0[,}\]\s]"
# A number with a decimal point, or a list or an object, which may contain one.
_ANY = rf"-?[0-9]+[.eE]|[\[{{]|{_MINUS_ZERO}"


def select(files: InputFiles) -> str:
    """Return the query that reads the JSON lines of a source."""
    return textual.select(files, texts(files, files.paths))


def texts(files: InputFiles, paths: Sequence[Path], *, literally: bool = False) -> list[TextTable]:
    """Return SQL that reads the declared keys as text, `__file` and `__line`, with its files.

    `literally`: every number as it is written in the file, not only where another spelling would
    change a value.
    """
    assert files.source is not None
    columns = files.source.columns
    lines = " union all ".join(
        _lines(files, group, is_copied) for is_copied, group in by_copy(files, paths)
    )
    marked = _marked("__line") if literally else _marked_where_needed(files.source, "__line")
    structure = json.dumps({column.name: "VARCHAR" for column in columns}, ensure_ascii=False)
    keys = f"json_transform({marked}, {literal(structure)}) as __keys"
    named = ", ".join(f"{_text(c)} as {identifier(c.name)}" for c in columns)
    table = (
        f"(with __lines as ({lines}), __read as (select __file, __line, {keys} from __lines)"
        f" select __file, __line, {named} from __read)"
    )
    return [TextTable(table, list(paths))]


def _lines(files: InputFiles, paths: Sequence[Path], is_copied: bool) -> str:
    """Return the query of the lines of files, or of their copies."""
    path = f"{path_of_copy(files)} as __file" if is_copied else "__file"
    objects = (
        f"read_json_objects({source_files(read_paths(files, paths))}, "
        f"format = 'newline_delimited', filename = '__file')"
    )
    return f"select {path}, json::varchar as __line from {objects}"


def _marked(line: str) -> str:
    """Return the SQL of a line with every number in quotes, behind a mark."""
    pattern, both = literal(f"({_STRING})|({_NUMBER})"), literal(rf"\1{_OPEN}\2{_CLOSE}")
    marked = f"regexp_replace({line}, {pattern}, {both}, 'g')"
    for sign, text in ((_OPEN + _CLOSE, ""), (_OPEN, f'"{MARK}'), (_CLOSE, '"')):
        marked = f"replace({marked}, {literal(sign)}, {literal(text)})"
    return marked


def _marked_where_needed(source: Source, line: str) -> str:
    """Return the SQL of a line, its numbers marked if a declared value may change as a double."""
    patterns = []
    for inexact, columns in groupby(sorted(source.columns, key=_inexact), key=_inexact):
        if not inexact:
            continue
        keys: dict[str, None] = {}
        for column in columns:
            for ascii in (True, False):
                keys[json.dumps(column.name, ensure_ascii=ascii)[1:-1]] = None
        # A key may also be written with other escapes.
        spelled = "|".join([*map(_escaped, keys), r'[^"]*\\[^"]*'])
        patterns.append(rf'"(?:{spelled})"\s*:\s*(?:{inexact})')
    if not patterns:
        return line
    matches = f"regexp_matches({line}, {literal('|'.join(patterns))})"
    return f"case when {matches} then {_marked(line)} else {line} end"


def _text(column: Column) -> str:
    """Return the SQL of the text of a key: without marks, unless it is a list or struct."""
    text = f"__keys.{identifier(column.name)}"
    return text if is_nested(column.type) else unmarked(text, column.type)


def _inexact(column: Column) -> str:
    """Return the regular expression of values that may change as doubles; '' for none."""
    if is_nested(column.type):
        return r"[\[{]"
    if DECIMAL.match(column.type):
        return _LONG
    if column.type in {"FLOAT", "DOUBLE"}:
        return _MINUS_ZERO
    return _ANY if column.type == "VARCHAR" or column.type.startswith("ENUM(") else ""


def _escaped(text: str) -> str:
    """Return a regular expression of RE2 that matches a text alone."""
    return "".join(
        sign if sign.isalnum() or sign == "_" else rf"\x{{{ord(sign):x}}}" for sign in text
    )


def ill(line: str) -> str:
    """Return the condition that a line is no row: no object, a key twice, or our mark in it."""
    no_object = f"json_type({line}) <> 'OBJECT'"
    twice = f"len(json_keys({line})) <> list_unique(json_keys({line}))"
    mark = f"contains({line}, '{MARK}') or {line} ilike '%\\ufdd0%'"
    return f"{no_object} or {twice} or {mark}"


def rows(source: Source, file: Path) -> int:
    """Return the number of lines in a file that are not blank."""
    with Lines(source, file) as lines:
        return sum(1 for line in lines if line.strip())
