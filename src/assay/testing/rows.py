"""Rows that a test gives or expects: inline, as CSV text, in a file, or as a data frame."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assay.errors import UsageError
from assay.testing.cells import FileNumber, Text, shown

if TYPE_CHECKING:
    import polars as pl

# A cell, and what ends it. Spaces around cells do not count, unless they are in quotes.
_CELL = re.compile(r'[ \t]*(?:"((?:[^"]|"")*)"[ \t]*|([^",\n]*))(,|\n|$)')
_SUFFIXES = (".csv", ".json", ".jsonl", ".ndjson", ".parquet")


class Table(Struct, frozen=True, kw_only=True):
    """Rows that a test gives: `columns` are those of any row; a row that lacks one has null there.

    `file` is the file that was named, of something that is no table, or is read as its source says.
    `types` are types of Polars by column, of rows that come from a data frame.
    """

    rows: Sequence[Mapping[str, Any]] = ()
    columns: tuple[str, ...] = ()
    file: Path | None = None
    types: Mapping[str, Any] = {}


def table_of(value: Any, folder: Path, *, raw: Collection[str] = ()) -> Table:
    """Return the rows of a value that a test gives, or expects; paths are from a folder.

    Of a file whose name ends as one of `raw`, only the path is returned.

    A value is a list of rows, CSV text of several lines, the path of a CSV, JSON, JSON lines or
    Parquet file, a data frame of Polars, or an Arrow table. Raises UsageError for another.
    """
    if isinstance(value, Table):
        return value
    if isinstance(value, str) and "\n" in value:
        return of_csv(value)
    if isinstance(value, str | Path):
        path = path_of(value, folder)
        return Table(file=path) if path.name.lower().endswith((*raw,)) else of_file(path)
    if isinstance(value, list | tuple):
        return _of_rows(value)
    if frame := _frame_of(value):
        return _of_frame(frame[0])
    raise UsageError(
        f"rows should be a list, CSV text of several lines, or the path of a file; this is {type(value).__name__}"
    )


def path_of(value: str | Path, folder: Path) -> Path:
    """Return the file that a test names, from a folder; UsageError when there is none."""
    text = str(value)
    if "\0" in text or not text.strip():
        raise UsageError(f"{text!a} is no path")
    path = folder / text
    try:
        is_file = path.is_file()
    except OSError:  # a name that is too long
        is_file = False
    if not is_file:
        raise UsageError(
            f"there is no file {shown(text)} in {folder}",
            hint="Rows as CSV text have a line of column names, and a line for each row.",
        )
    return path


def of_file(path: Path) -> Table:
    """Return the rows of a file, and the file; no rows for a file that is no table."""
    if path.suffix.lower() not in _SUFFIXES:
        return Table(file=path)
    try:
        with suppress(_Unread):
            return _READERS[path.suffix.lower()](path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    raise UsageError(f"{path} should be a list of rows, each with its columns by name")


class _Unread(Exception):
    """A file that is JSON, and no list of rows."""


def _read_json(path: Path) -> Table:
    rows = json.loads(path.read_text(encoding="utf-8"), parse_float=FileNumber)
    return _in_file(rows, path)


def _read_lines(path: Path) -> Table:
    lines = path.read_text(encoding="utf-8").splitlines()
    return _in_file(
        [json.loads(line, parse_float=FileNumber) for line in lines if line.strip()], path
    )


def _in_file(rows: Any, path: Path) -> Table:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _Unread
    table = _of_rows(rows)
    return Table(rows=table.rows, columns=table.columns, file=path)


def _read_csv(path: Path) -> Table:
    try:
        table = of_csv(path.read_text(encoding="utf-8-sig"))
    except UsageError as error:
        raise UsageError(f"{path}: {error.what}") from None
    return Table(rows=table.rows, columns=table.columns, file=path)


def _read_parquet(path: Path) -> Table:
    import polars as pl

    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    table = _of_frame(frame)
    return Table(rows=table.rows, columns=table.columns, file=path, types=table.types)


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".parquet": _read_parquet,
}


def of_csv(text: str) -> Table:
    """Return the rows of CSV text: an empty cell is null, `""` is the empty text.

    Raises UsageError for a row that has more or fewer cells than there are columns.
    """
    cells_of = _cells(text.replace("\r\n", "\n"))
    lines = [(line, cells) for line, cells in cells_of if cells != [None]]
    if not lines:
        raise UsageError("the text has no line with the names of the columns")
    (_, header), *rows = lines
    names = [name or "" for name in header]
    if twice := sorted({name for name in names if names.count(name) > 1 or not name}):
        raise UsageError(
            f"the columns should have names of their own: {', '.join(map(repr, twice))}"
        )
    for number, cells in rows:
        if len(cells) != len(names):
            raise UsageError(f"line {number} has {len(cells)} cells for {len(names)} columns")
    return Table(
        rows=[dict(zip(names, cells, strict=True)) for _, cells in rows], columns=tuple(names)
    )


def _cells(text: str) -> Iterator[tuple[int, list[Text | None]]]:
    """Yield the cells of each line, with the number of the line (from 1)."""
    cells: list[Text | None] = []
    at = 0
    while at < len(text):
        match = _CELL.match(text, at)
        line = text.count("\n", 0, at) + 1
        if match is None or match.end() == at:
            raise UsageError(f"line {line} has a quote that does not end, or is inside a cell")
        quoted, plain, end = match.groups()
        plain = (plain or "").strip()
        cells.append(
            Text(quoted.replace('""', '"'))
            if quoted is not None
            else Text(plain)
            if plain
            else None
        )
        at = match.end()
        if end == "," and at == len(text):
            cells.append(None)
        if end != "," or at == len(text):
            yield line, cells
            cells = []


def _of_rows(rows: Sequence[Any]) -> Table:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise UsageError(
                f"row {number} should be its columns with their values; it is {shown(row)}"
            )
        if wrong := [name for name in row if not isinstance(name, str) or not name]:
            raise UsageError(f"row {number} has a column that is no name: {shown(wrong[0])}")
    return Table(
        rows=[dict(row) for row in rows],
        columns=tuple(dict.fromkeys(name for row in rows for name in row)),
    )


def _frame_of(value: Any) -> "tuple[pl.DataFrame] | None":
    """Return a data frame of Polars or an Arrow table as a data frame; None for another value."""
    module = type(value).__module__.partition(".")[0]
    if module not in {"polars", "pyarrow"}:
        return None
    import polars as pl

    if module == "pyarrow":
        value = pl.from_arrow(value)
    if isinstance(value, pl.LazyFrame):
        value = value.collect()
    return (value,) if isinstance(value, pl.DataFrame) else None


def _of_frame(frame: "pl.DataFrame") -> Table:
    return Table(rows=frame.to_dicts(), columns=tuple(frame.columns), types=dict(frame.schema))
