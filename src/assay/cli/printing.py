"""Prints tables, CSV and JSON: plain when piped, drawn on a terminal."""

import csv
import os
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from textwrap import wrap
from types import SimpleNamespace
from typing import Any, TextIO

import click

from assay.text import clean
from assay.views.json_text import to_json


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Any]],
    out: TextIO | None = None,
    *,
    less: Sequence[str] = (),
) -> None:
    """Print a table: drawn on a terminal, aligned plain lines when piped.

    On a terminal that is too narrow, the columns named in `less` are left out, in that order.
    """
    out = out or sys.stdout
    cells = [[_cell(value) for value in row] for row in rows]
    if out.isatty():
        _rich_table(headers, cells, out, less)
        return
    headers = [clean(header) for header in headers]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        out.write(f"{line.rstrip()}\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; on a terminal, those that are too long go on below, indented."""
    width = columns_of(sys.stdout) if sys.stdout.isatty() else 0
    for line in lines:
        for piece in wrapped(clean(line).rstrip(), width):
            click.echo(piece)


def wrapped(line: str, width: int) -> list[str]:
    """Return a line as lines of up to `width` characters, broken between words (0: not broken).

    No name, date or number is broken, and no line with a command that people copy.
    """
    if not width or len(line) <= width or _COMMAND in line:
        return [line]
    text = line.lstrip()
    margin = line[: len(line) - len(text)]
    return wrap(
        text,
        width,
        initial_indent=margin,
        subsequent_indent=f"{margin}{_HANGING}" if len(margin) < width // 2 else "",
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    ) or [line]


_COMMAND = "products "  # begins a command
_HANGING = "  "  # before what goes on below
_WHOLE = 19  # characters: a column as narrow as a date and time is never broken into lines
_LONGEST_WORD = 40  # a longer one is broken
_GAP = 3  # between two columns


def _rich_table(
    headers: Sequence[str], cells: Sequence[Sequence[str]], out: TextIO, less: Sequence[str]
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # rich would ask the standard streams, and none of them may be this terminal.
    console = Console(file=out, highlight=False, width=_width(out))
    columns = {
        header: [header, *(row[index] for row in cells)] for index, header in enumerate(headers)
    }
    widths = {header: max(map(len, texts)) for header, texts in columns.items()}
    whole = {header for header in headers if header == headers[0] or widths[header] <= _WHOLE}
    least = {
        header: widths[header]
        if header in whole
        else min(_LONGEST_WORD, max(len(word) for text in texts for word in text.split() or [""]))
        for header, texts in columns.items()
    }
    shown = list(headers)
    for header in less:
        if sum(least[each] + _GAP for each in shown) <= console.width:
            break
        shown.remove(header)
    drawn = Table(box=SIMPLE_HEAD, show_edge=False)
    for header in shown:
        drawn.add_column(Text(clean(header)), overflow="fold", no_wrap=header in whole)
    indices = [headers.index(header) for header in shown]
    for row in cells:
        drawn.add_row(*(Text(row[index]) for index in indices))
    console.print(drawn)


def columns_of(out: TextIO) -> int:
    """Return the columns of a terminal: those of COLUMNS, or its own; 80 if nothing says."""
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) else _width(out) or 80


def _width(out: TextIO) -> int | None:
    """Return the columns of a terminal; None if COLUMNS says, or nothing does."""
    if "COLUMNS" in os.environ:
        return None
    try:
        return os.get_terminal_size(out.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _cell(value: Any) -> str:
    return "" if value is None else clean(str(value))


def rounded(value: Any) -> Any:
    """Return a float as text with four significant digits; any other value as it is."""
    return f"{value:,.4g}" if isinstance(value, float) else value


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    """Write rows as CSV, with a header; on a terminal, control characters are made visible."""
    # csv.writer quotes a cell with a carriage return only if the line terminator has one.
    lines = SimpleNamespace(write=lambda line: out.write(line.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    for row in chain([names], rows):
        writer.writerow([_cell(value) for value in row] if out.isatty() else row)


def write_json(rows: Iterable[Any], out: TextIO) -> None:
    """Write a JSON list, one item on each line, without holding all items in memory."""
    before = "["
    for row in rows:
        out.write(f"{before}\n  {to_json(row)}")
        before = ","
    out.write("[]\n" if before == "[" else "\n]\n")


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    click.echo(to_json(value, indent=2))
