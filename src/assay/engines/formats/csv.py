"""Reads CSV files: each declared column, by its name in the header."""

import csv
from collections.abc import Sequence
from pathlib import Path

from assay.engines.formats import textvalues as textual
from assay.engines.formats.faults import csv_rows, header_fault
from assay.engines.formats.textfiles import Damaged, opened
from assay.engines.quoting import literal, source_files
from assay.engines.tables import InputFiles
from assay.errors import SourceFault
from assay.model import Source


def select(files: InputFiles) -> str:
    """Return the query that reads the CSV files of a source."""
    return textual.select(files, texts(files, files.paths))


def texts(files: InputFiles, paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Return SQL that reads the declared columns as text, and `__file`, each with its files."""
    assert files.source is not None
    groups = by_header(files, paths)
    return {_texts(files.source, header, group): group for header, group in groups.items()}


def _texts(source: Source, header: tuple[str, ...], paths: Sequence[Path]) -> str:
    declared = {column.name for column in source.columns}
    lower = {name.lower() for name in declared}
    names = []
    for index, name in enumerate(header):
        # A column that is not declared still takes its place: it is read under another name.
        names.append(name if name in declared else _new_name(lower, index))
    spec = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    nulls = ", ".join(literal(value) for value in ("", *source.null_values))
    return (
        f"read_csv({source_files(paths)}, auto_detect = false, header = true, "
        f"delim = {literal(source.delimiter)}, quote = '\"', escape = '\"', nullstr = [{nulls}], "
        f"allow_quoted_nulls = false, filename = '__file', hive_partitioning = false, "
        f"columns = {{{spec}}})"
    )


def _new_name(taken: set[str], index: int) -> str:
    name = f"__undeclared_{index}"
    while name in taken:
        name = f"_{name}"
    return name


def by_header(files: InputFiles, paths: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Return a source's CSV files grouped by header line, so that columns are always read by name.

    Raises SourceFault for a file that lacks a declared column or has it twice.
    """
    source = files.source
    assert source is not None
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file in paths:
        header = _header(source, files.path_of(file), file)
        if fault := header_fault(source, files.path_of(file), header):
            raise fault
        groups.setdefault(header, []).append(file)
    return groups


def _header(source: Source, name: str, file: Path) -> tuple[str, ...]:
    try:
        with opened(file) as lines:
            return tuple(next(csv.reader(lines, delimiter=source.delimiter), ()))
    except (OSError, Damaged, csv.Error) as error:
        raise SourceFault(source.name, f"{name} cannot be read: {error}") from error


def rows(source: Source, file: Path) -> int:
    """Return the number of rows in a file, as Python's parser counts them."""
    return sum(1 for _ in csv_rows(file, source.delimiter)) - 1
