"""CSV files, as queries read them: each declared column, by the name in the header, as exactly its declared type."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path

from assay.engines.feed import Feed
from assay.engines.quoting import literal, source_files
from assay.engines.textual import read_as, typed
from assay.errors import BuildError
from assay.model import Source
from assay.secrecy import names_columns


def select(feed: Feed) -> str:
    """Return the query that reads CSV files of a source."""
    assert feed.source is not None
    groups = by_header(feed.source, feed.files).items()
    return " union all ".join(_select(feed, header, files) for header, files in groups)


def _select(feed: Feed, header: tuple[str, ...], files: Sequence[Path]) -> str:
    source = feed.source
    assert source is not None
    types = {c.name: read_as(c) for c in source.columns}
    # A column that is not declared still takes its place in the line: it is read as text under a name of ours.
    lower = {name.lower() for name in types}
    places = [
        (name, types[name]) if name in types else (_unlike(lower, index), "VARCHAR")
        for index, name in enumerate(header)
    ]
    spec = ", ".join(f"{literal(name)}: {literal(type)}" for name, type in places)
    nulls = ", ".join(literal(value) for value in ("", *source.null_values))
    return (
        f"select {typed(feed)} from read_csv({source_files(files)}, auto_detect = false, header = true, "
        f"delim = {literal(source.delimiter)}, quote = '\"', escape = '\"', nullstr = [{nulls}], "
        f"allow_quoted_nulls = false, filename = '__file', hive_partitioning = false, columns = {{{spec}}})"
    )


def _unlike(taken: set[str], index: int) -> str:
    name = f"__undeclared_{index}"
    while name in taken:
        name = f"_{name}"
    return name


def by_header(source: Source, files: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Return the CSV files of a source by their header line, so that columns are always read by name.

    Raises BuildError for a file that lacks a declared column or has it twice.
    """
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        header = _header(source, file)
        for column in source.columns:
            if header.count(column.name) != 1:
                has = "has it twice" if column.name in header else f"has {_listed(header, source)}"
                raise BuildError(f"{source.name}: {file.name!r} should have a column {column.name!r}; it {has}")
        groups.setdefault(header, []).append(file)
    return groups


def _listed(header: Sequence[str], source: Source) -> str:
    """Return the names of columns in a first line; where it holds a row of values, only how many."""
    if names_columns(header, [column.name for column in source.columns]):
        return ", ".join(header)
    many = f"{len(header)} column{'s' if len(header) != 1 else ''}, and no names of columns in its first line"
    return many if header else "nothing"


def _header(source: Source, file: Path) -> tuple[str, ...]:
    try:
        with (gzip.open if file.suffix == ".gz" else open)(file, "rt", encoding="utf-8-sig", newline="") as lines:
            return tuple(next(csv.reader(lines, delimiter=source.delimiter), ()))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BuildError(f"{source.name}: cannot read {file.name!r}: {error}") from error
