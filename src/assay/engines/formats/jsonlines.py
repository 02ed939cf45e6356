"""JSON lines, as queries read them: each declared column, by its key.

DuckDB reads a number of JSON with a point as a double, and spells it anew. Where that may lose something, numbers are
put in quotes first, behind a mark, so that they come out as they are written.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from assay.engines.formats import textvalues as textual
from assay.engines.formats.textfiles import opened
from assay.engines.quoting import identifier, literal, source_files
from assay.engines.tables import InputFiles
from assay.engines.types import DECIMAL
from assay.model import Column, Source

MARK = "\ufdd0"  # Unicode keeps it for uses such as this; a file that has it is refused
_STRING, _NUMBER = r'"[^"\\]*(?:\\.[^"\\]*)*"', r"-?[0-9][-+.0-9eE]*"
_MARKED = f'"{MARK}([^"]*)"'
_OPEN, _CLOSE = "\x01", "\x02"  # which no JSON has
# What a double, or a whole number of DuckDB's, would be spelled as in another way, by what it is declared to be.
_LONG = r"-?(?:[0-9][0-9.]{15}|0\.0000|[0-9.]+[eE])"  # doubles have 15 digits, and an exponent where they are small
_MINUS_ZERO = r"-0[,}\]\s]"
_ANY = rf"-?[0-9]+[.eE]|[\[{{]|{_MINUS_ZERO}"  # a number with a point, or what may hold one: a list, an object


def select(files: InputFiles) -> str:
    """Return the query that reads the JSON lines of a source."""
    return textual.select(files, texts(files, files.paths))


def texts(
    files: InputFiles, paths: Sequence[Path], *, literally: bool = False
) -> dict[str, list[Path]]:
    """Return what reads the declared keys of files as text (SQL of a table, with `__file`, `__line`); the files of it.

    `literally`: every number as it is written, also where spelling it anew loses nothing.
    """
    assert files.source is not None
    lines = f"read_json_objects({source_files(paths)}, format = 'newline_delimited', filename = '__file')"
    structure = json.dumps(
        {column.name: "VARCHAR" for column in files.source.columns}, ensure_ascii=False
    )
    marked = _marked("__line") if literally else _marked_where_needed(files.source, "__line")
    read = f"select __file, __line, json_transform({marked}, {literal(structure)}) as __keys from __lines"
    named = ", ".join(
        f"{_unmarked(c.name, c.type)} as {identifier(c.name)}" for c in files.source.columns
    )
    lined = f"select __file, json::varchar as __line from {lines}"
    return {
        f"(with __lines as ({lined}), __read as ({read}) select __file, __line, {named} from __read)": list(
            paths
        )
    }


def _marked(line: str) -> str:
    """Return the SQL of a line with every number in quotes, behind a mark; strings stay as they are."""
    pattern, both = literal(f"({_STRING})|({_NUMBER})"), literal(rf"\1{_OPEN}\2{_CLOSE}")
    every = f"regexp_replace({line}, {pattern}, {both}, 'g')"
    for sign, put in ((_OPEN + _CLOSE, ""), (_OPEN, f'"{MARK}'), (_CLOSE, '"')):
        every = f"replace({every}, {literal(sign)}, {literal(put)})"
    return every


def _marked_where_needed(source: Source, line: str) -> str:
    """Return the SQL of a line, with its numbers marked where reading them as doubles may change what is declared."""
    patterns = []
    for loses, columns in groupby(sorted(source.columns, key=_loses), key=_loses):
        names = [column.name for column in columns]
        keys = dict.fromkeys(
            json.dumps(name, ensure_ascii=ascii)[1:-1] for name in names for ascii in (True, False)
        )
        spelled = "|".join(
            [*map(_escaped, keys), r'[^"]*\\[^"]*']
        )  # or a key that is spelled in another way
        if loses:
            patterns.append(rf'"(?:{spelled})"\s*:\s*(?:{loses})')
    if not patterns:
        return line
    return f"case when regexp_matches({line}, {literal('|'.join(patterns))}) then {_marked(line)} else {line} end"


def _loses(column: Column) -> str:
    """Return the regular expression of what reading as a double may change in a column; '' for nothing."""
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


def _unmarked(name: str, type: str) -> str:
    """Return the SQL of the text of a key, without marks."""
    text = f"__keys.{identifier(name)}"
    if type == "VARCHAR":  # it may be an object or a list, with numbers in it
        inside = f"regexp_replace({text}, {literal(_MARKED)}, '\\1', 'g')"
        return f"case when contains({text}, '{MARK}') then replace({inside}, '{MARK}', '') else {text} end"
    return f"replace({text}, '{MARK}', '')"


def ill(line: str) -> str:
    """Return the condition that a line is JSON and yet cannot be handed over: no object, or with a key twice."""
    twice = f"len(json_keys({line})) <> list_unique(json_keys({line}))"
    return f"json_type({line}) <> 'OBJECT' or {twice} or contains({line}, '{MARK}') or {line} ilike '%\\ufdd0%'"


def rows(source: Source, file: Path) -> int:
    """Return how many lines a file has that are not blank."""
    with opened(file) as lines:
        return sum(1 for line in lines if line.strip())
