"""Numbers, moments and rows as people read them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from assay.facts import Version
from assay.text import clean

_LARGE = 1e6  # smaller numbers are rounded to six digits, larger ones to hundredths


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: "1 row", "2,000 rows"."""
    return f"{number:,} {noun}{'s' if number != 1 else ''}"


def size(version: Version) -> str:
    """Return how much a version holds: rows of a table, bytes of a file."""
    return count_of(version.rows, "row") if version.columns else f"{version.bytes:,} bytes"


def memory(size: int) -> str:
    """Return an amount of memory: "350 MB", "1.2 GB"."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def number(value: float, *, percent: bool) -> str:
    """Return a measured value with up to four decimals, or as a percentage."""
    return f"{value:.2%}" if percent else f"{value:,.4f}".rstrip("0").rstrip(".")


def day(moment: datetime | None) -> str:
    """Return a moment to the minute, or its date alone when it is midnight; '' for None."""
    if moment is None:
        return ""
    text = moment.isoformat()
    if text[10:].startswith("T00:00:00"):
        return text[:10]
    return text[:16].replace("T", " ")


def second(moment: datetime) -> str:
    """Return a moment to the second."""
    return moment.isoformat()[:19].replace("T", " ")


def row(sample: Mapping[str, Any], columns: int = 8) -> str:
    """Return the first columns of a row on one line, safe to show on a terminal."""
    cells = [
        f"{clean(name)} {clean(_cell(value))[:60]}"
        for name, value in list(sample.items())[:columns]
    ]
    return "  ".join(cells) + ("  …" if len(sample) > columns else "")


def _cell(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}" if abs(value) < _LARGE else f"{value:,.2f}"
    return str(value).lower() if isinstance(value, bool) else str(value)
