"""Writes rows as the CSV text of a test file."""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from assay.errors import UsageError

_WIDEST = 40  # letters to which cells are aligned


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV text with aligned columns; UsageError for a value that it cannot hold."""
    lines = [[_quoted(name) for name in columns]]
    lines += [
        [_cell(name, value) for name, value in zip(columns, row, strict=True)] for row in rows
    ]
    widths = [min(max(map(len, cells)), _WIDEST) for cells in zip(*lines, strict=True)]
    texts = []
    for cells in lines:
        padded = [f"{cell},".ljust(width + 1) for cell, width in zip(cells, widths, strict=True)]
        texts.append(" ".join(padded).rstrip().removesuffix(",").rstrip(" "))
    if "" in texts:
        raise UsageError(
            f"rows of {columns[0]} alone, of which some are null, cannot be written as CSV",
            hint="Write the test by hand.",
        )
    return "".join(f"{text}\n" for text in texts)


def _cell(column: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str():
            return _quoted(value)
        case datetime():
            return value.isoformat(sep=" ")
        case date() | time():
            return value.isoformat()
        case Decimal():
            return f"{value:f}"
        case int() | float():
            return repr(value)
        case list() | tuple() | dict():
            return _quoted(json.dumps(value, ensure_ascii=False, default=_inner))
    raise UsageError(
        f"a value of {column} cannot be written in a test ({type(value).__name__})",
        hint="Write the test by hand, with a Parquet file.",
    )


def _inner(value: Any) -> Any:
    """Return a value inside of a list or a struct as JSON has it."""
    return str(value) if isinstance(value, Decimal) else value.isoformat()


def _quoted(text: str) -> str:
    plain = text and text == text.strip() and not set(text) & set('",\n\r')
    return text if plain else '"' + text.replace('"', '""') + '"'


def toml_text(text: str) -> str:
    """Return a text of several lines as TOML."""
    escaped = "".join(
        f"\\u{ord(sign):04x}"
        if (ord(sign) < 32 and sign not in "\n\t") or ord(sign) == 127
        else sign
        for sign in text.replace("\\", "\\\\")
    )
    return '"""\n' + escaped.replace('"""', '""\\"') + '"""'


def toml_name(name: str) -> str:
    """Return a key, or a text of one line, in quotes."""
    return json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
