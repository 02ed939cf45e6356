"""Prints tables, CSV and JSON: plain when piped, drawn on a terminal."""

import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any, TextIO

from msgspec import Struct
from msgspec.structs import asdict

from assay.text import clean
from assay.views.view import View

# What JSON may hold as it is and a terminal should not see: control and direction characters, lone surrogates.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO | None = None) -> None:
    """Print a table: drawn on a terminal, aligned plain lines when piped."""
    out = out or sys.stdout
    headers = [clean(header) for header in headers]
    cells = [[_cell(value) for value in row] for row in rows]
    if out.isatty():
        _rich_table(headers, cells, out)
        return
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    for row in [list(headers), *cells]:
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        out.write(f"{line.rstrip()}\n")


def _rich_table(headers: Sequence[str], cells: Iterable[Sequence[str]], out: TextIO) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, show_edge=False)
    for index, header in enumerate(headers):
        drawn.add_column(Text(header), overflow="fold", no_wrap=index == 0)
    for row in cells:
        drawn.add_row(*(Text(value) for value in row))
    Console(file=out, highlight=False).print(drawn)


def _cell(value: Any) -> str:
    return "" if value is None else clean(str(value))


def rounded(value: Any) -> Any:
    """Return a number as people read it: four digits of a fraction's worth."""
    return f"{value:,.4g}" if isinstance(value, float) else value


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    """Write rows as CSV, with a header: every value as it is, but on a terminal, which would obey some of them."""
    # A cell with a carriage return is only put into quotes where lines end with one.
    lines = SimpleNamespace(write=lambda line: out.write(line.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines, lineterminator="\r\n")
    for row in chain([names], rows):
        writer.writerow([_cell(value) for value in row] if out.isatty() else row)


def write_json(rows: Iterable[Any], out: TextIO) -> None:
    """Write a list as JSON, as its items come: each on a line, as only that is quick and leaves no garbage."""
    before = "["
    for row in rows:
        out.write(f"{before}\n  {to_json(row)}")
        before = ","
    out.write("[]\n" if before == "[" else "\n]\n")


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return JSON; what JSON has no type for (dates, decimals) as text."""
    told = json.dumps(
        _plain(value), ensure_ascii=False, default=str, indent=indent, allow_nan=False
    )
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", told)


def _plain(value: Any) -> Any:
    """Return a value with what JSON has no number or key for as text."""
    match value:
        case View():
            return _plain(value.as_json())
        case Struct():
            return _plain(asdict(value))
        case dict():
            return {str(key): _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value
