"""What engines read and leave behind: an input's files and how to read them; what a staged file holds."""

import csv
import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from assay.errors import BuildError
from assay.model import Column, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """One input as files: `alias` is what the code calls it, `source` how to read files that are not ours."""

    alias: str
    name: str
    files: tuple[Path, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a staged file holds: rows, columns as stored, content digest, and the last event time."""

    rows: int
    columns: tuple[Column, ...]
    digest: str
    data_as_of: datetime | None = None


def by_header(source: Source, files: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Return the CSV files of a source by their header line, so that columns are always read by name.

    Raises BuildError for a file that lacks a declared column or has it twice.
    """
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        header = _header(source, file)
        for column in source.columns:
            if header.count(column.name) != 1:
                has = "has it twice" if column.name in header else f"has {', '.join(header) or 'nothing'}"
                raise BuildError(f"{source.name}: {file.name!r} should have a column {column.name!r}; it {has}")
        groups.setdefault(header, []).append(file)
    return groups


def _header(source: Source, file: Path) -> tuple[str, ...]:
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig", newline="") as lines:
            return tuple(next(csv.reader(lines, delimiter=source.delimiter), ()))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BuildError(f"{source.name}: cannot read {file.name!r}: {error}") from error
