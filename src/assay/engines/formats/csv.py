"""Reads CSV files: each declared column, by its name in the header or by its position."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from assay.engines.formats import textvalues as textual
from assay.engines.formats.copies import by_copy, path_of_copy, read_paths
from assay.engines.formats.faults import Faults, csv_rows, header_fault
from assay.engines.formats.shapes import early
from assay.engines.formats.unpacking import Damaged
from assay.engines.quoting import identifier, literal, source_files
from assay.engines.tables import InputFiles, TextTable
from assay.errors import SourceFault
from assay.model import Column, Source
from assay.store.files import stamp_of

_FIRST_ROWS: dict[tuple[str, str, str], tuple[tuple[int, ...], tuple[str, ...]]] = {}
_MOST_REMEMBERED = 4096  # first rows


def select(files: InputFiles) -> str:
    """Return the query that reads the CSV files of a source."""
    return textual.select(files, texts(files, files.paths))


def texts(files: InputFiles, paths: Sequence[Path]) -> list[TextTable]:
    """Return SQL that reads the declared columns as text, and `__file`, each with its files."""
    assert files.source is not None
    known = {column.name for column in files.source.columns} | {*files.source.dialect.names, ""}
    tables = []
    for is_copied, same in by_copy(files, paths):
        for names, group in by_header(files, same).items():
            reads = source_files(read_paths(files, group))
            path = path_of_copy(files) if is_copied else "__file"
            # A line end in quotes would else be taken for how lines end.
            ends = ", new_line = '\\n'" if is_copied else ""
            sql = _texts(files.source, names, f"{reads}{ends}", path)
            undeclared = tuple(dict.fromkeys(name for name in names if name not in known))
            tables.append(TextTable(sql, group, undeclared))
    return tables


def _texts(source: Source, names: tuple[str, ...], reads: str, path: str) -> str:
    dialect, declared = source.dialect, {column.name for column in source.columns}
    lower = {name.lower() for name in declared}
    read_as = []
    for index, name in enumerate(names):
        # A column that is not declared still takes its place: it is read under another name.
        read_as.append(name if name in declared else _new_name(lower, index))
    spec = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in read_as)
    nulls = ("",) if dialect.quoted_nulls else ("", *dialect.null_values)
    table = (
        f"read_csv({reads}, auto_detect = false, header = {str(dialect.header).lower()}, "
        f"delim = {literal(dialect.separator)}, quote = {literal(dialect.quote_char)}, "
        f"escape = {literal(dialect.escape)}, nullstr = [{', '.join(map(literal, nulls))}], "
        f"allow_quoted_nulls = false, filename = '__file', hive_partitioning = false, "
        f"columns = {{{spec}}})"
    )
    columns = ", ".join(
        f"{_or_null(c, source) if c.name in names else 'null::varchar'} as {identifier(c.name)}"
        for c in source.columns
    )
    return f"(select {path} as __file, {columns or 'null'} from {table})"


def _or_null(column: Column, source: Source) -> str:
    """Return the SQL of the text of a column; null for what means null in quotes, too.

    Engines cannot tell an empty field in quotes from one without by type: only a text can be empty.
    """
    name, dialect = identifier(column.name), source.dialect
    nulls = dialect.null_values if dialect.quoted_nulls else ()
    is_text = column.type in {"VARCHAR", "BLOB"} or column.type.startswith("ENUM(")
    if dialect.quoted_nulls and not is_text:
        nulls = tuple(dict.fromkeys(("", *nulls)))
    if not nulls:
        return name
    if len(nulls) == 1:
        return f"nullif({name}, {literal(nulls[0])})"
    return f"(case when {name} not in ({', '.join(map(literal, nulls))}) then {name} end)"


def _new_name(taken: set[str], index: int) -> str:
    name = f"__undeclared_{index}"
    while name in taken:
        name = f"_{name}"
    return name


def by_header(files: InputFiles, paths: Sequence[Path]) -> dict[tuple[str, ...], list[Path]]:
    """Return a source's CSV files grouped by the names of their columns, by position.

    Raises SourceFault for the files that lack a declared column or have it twice.
    """
    source = files.source
    assert source is not None
    groups: dict[tuple[str, ...], list[Path]] = {}
    sound: dict[tuple[str, ...], list[Path]] = {}  # the files of each first row without a fault
    faults = Faults()
    for file in paths:
        with faults.collecting():
            first = _first_row(source, files.path_of(file), file)
            if first in sound:
                sound[first].append(file)
                continue
            names = _names(source, first)
            if fault := header_fault(source, files.path_of(file), first, names):
                raise fault
            if absent := [name for name in first if files.shape and name in files.shape.absent]:
                raise early(source, files.path_of(file), absent[0])
            sound[first] = groups.setdefault(names, [])
            sound[first].append(file)
    faults.raise_any()
    return groups


def _names(source: Source, first: Sequence[str]) -> tuple[str, ...]:
    """Return the name of each column; of equal names, the second is `name_1` if that is declared."""
    if source.dialect.names:
        return source.dialect.names
    declared, seen = {column.name for column in source.columns}, Counter[str]()
    names = []
    for name in first:
        numbered = f"{name}_{seen[name]}"
        is_meant = seen[name] and numbered in declared and numbered not in first
        names.append(numbered if is_meant else name)
        seen[name] += 1
    return tuple(names)


def names_in(files: InputFiles, file: Path) -> tuple[str, ...]:
    """Return the names of the columns of a file, by position."""
    [names] = by_header(files, [file])
    return names


def _first_row(source: Source, name: str, file: Path) -> tuple[str, ...]:
    """Return the values of the first line of a file; () for an empty file.

    They are remembered for as long as the file is the same: it is inspected, and then read.
    """
    key = source.name, source.reading, str(file)
    try:
        stamp = stamp_of(file.stat())
    except OSError as error:
        raise SourceFault(source.name, f"{name} cannot be read: {error}") from error
    known = _FIRST_ROWS.get(key)
    if known is None or known[0] != stamp:
        if len(_FIRST_ROWS) >= _MOST_REMEMBERED:
            _FIRST_ROWS.clear()
        known = _FIRST_ROWS[key] = stamp, _read_first_row(source, name, file)
    return known[1]


def _read_first_row(source: Source, name: str, file: Path) -> tuple[str, ...]:
    try:
        return next((tuple(row) for _, row in csv_rows(source, file)), ())
    except Damaged as damage:
        raise SourceFault(source.name, f"{name} {damage}", hint=damage.hint) from None
    except (OSError, csv.Error) as error:
        raise SourceFault(source.name, f"{name} cannot be read: {error}") from error


def rows(source: Source, file: Path) -> int:
    """Return the number of rows in a file, as Python's parser counts them."""
    return sum(1 for _ in csv_rows(source, file)) - source.dialect.header
