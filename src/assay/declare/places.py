"""Where a place in the SQL of a declaration is in the project's files."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct

from assay.engines.sql.dialects import place_in_source
from assay.engines.sql.reader import place
from assay.errors import UsageError
from assay.model import Where

_SQL = ".sql"


class FilePlace(Struct, frozen=True):
    """A file, relative to the project, with line and column, from 1; 0 where not known.

    `line_of_text` is the line of the SQL itself, where its place in the file is not known; else 0.
    """

    file: str
    line: int = 0
    column: int = 0
    line_of_text: int = 0


class SqlPlaces:
    """Finds places in the project at `root`; reads its files as text, and runs nothing of them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._strings = cache(self._read_strings)

    def place_of(self, where: Where, sql: str, offset: int, dialect: str = "") -> FilePlace:
        """Return the place at an offset (in bytes) of SQL that is declared at `where`.

        The SQL is in a literal of the call that begins there, or in the file which that names; if
        it was translated from a `dialect`, what it was translated from is there. For an offset of
        -1 the place is that file, or `where`.
        """
        if not sql:
            return FilePlace(where.file, where.line)
        line = place(sql, max(offset, 0))[0]
        for literal in self._strings(where.file):
            if not literal.call <= where.line <= literal.end:
                continue
            name = literal.text.strip()
            if name.endswith(_SQL) and len(name.split()) == 1:
                file = Path(where.file).parent / name
                if offset < 0:
                    return FilePlace(str(file))
                text = self._text(str(file))
                if (at := _offset_in(text, sql, offset, dialect)) >= 0:
                    return FilePlace(str(file), *place(text, at)[:2])
            elif offset >= 0 and (at := _offset_in(literal.text, sql, offset, dialect)) >= 0:
                return _in_literal(literal, where, at)
        return FilePlace(where.file, where.line, line_of_text=line if offset >= 0 else 0)

    def _text(self, file: str) -> str:
        try:
            return (self._root / file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _read_strings(self, file: str) -> "list[_Literal]":
        """Return the texts among the arguments of the calls in a module, innermost calls first."""
        try:
            source = self._text(file)
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            return []
        literals = _literals(tree, source.splitlines())
        return sorted(literals, key=lambda literal: literal.end - literal.call)


def _offset_in(text: str, sql: str, offset: int, dialect: str) -> int:
    """Return the place in a text, in bytes, of what is at an offset of `sql`; -1 if it is not there."""
    if (start := text.find(sql)) >= 0:
        return len(text[:start].encode()) + offset
    if dialect:
        with suppress(UsageError):
            return place_in_source(text, dialect, sql, offset)
    return -1


class _Literal(Struct, frozen=True):
    """A text in a module; `call` and `end` are the lines of the call that it is an argument of.

    `lines` are the lines of the module that it is on, of which the first is `line`; it begins
    there after `column` characters, quotes and prefix included.
    """

    text: str
    call: int
    end: int
    line: int
    column: int
    lines: list[str]


def _in_literal(literal: _Literal, where: Where, offset: int) -> FilePlace:
    line, column, text = place(literal.text, offset)
    on_own_lines = literal.text.count("\n") == len(literal.lines) - 1
    if not on_own_lines:
        return FilePlace(where.file, where.line, line_of_text=line)
    written = literal.lines[line - 1]
    start = written.find(text, literal.column if line == 1 else 0)
    return FilePlace(where.file, literal.line + line - 1, start + column if start >= 0 else 0)


def _literals(tree: ast.Module, lines: list[str]) -> Iterator[_Literal]:
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
            value = constants.get(argument.id) if isinstance(argument, ast.Name) else argument
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield _Literal(
                    text=value.value,
                    call=node.lineno,
                    end=node.end_lineno or node.lineno,
                    line=value.lineno,
                    column=len(lines[value.lineno - 1].encode()[: value.col_offset].decode()),
                    lines=lines[value.lineno - 1 : value.end_lineno],
                )
