"""Inspects files of sources: whether every row and every declared column is as declared.

A query may read only some columns or the first rows of a file. So each text file is read once as a
whole, before any query uses it.
"""

import csv
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines.duckdb import DuckDB
from assay.engines.formats import csv as csvfiles
from assay.engines.formats import jsonlines
from assay.engines.formats import parquet as parquetfiles
from assay.engines.formats.copies import copy_of, is_copied, read_paths
from assay.engines.formats.counting import Counts, counts_of
from assay.engines.formats.events import event_column, event_of
from assay.engines.formats.faults import (
    Faults,
    csv_fault,
    json_fault,
    missing_field,
    missing_key,
    value_fault,
)
from assay.engines.formats.nestedvalues import fields_there
from assay.engines.formats.shapes import by_shape, early, faults_as_declared
from assay.engines.formats.textfiles import Survey, survey
from assay.engines.formats.textvalues import faulty
from assay.engines.formats.unpacking import Damaged
from assay.engines.nested import is_nested, tree_of
from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles, TextTable, Undeclared
from assay.errors import SourceFault, remedy
from assay.model import Source

if TYPE_CHECKING:
    import duckdb

_WRONG_TEXTS = (
    1000  # texts of a column that are searched for in a file, to find the line of the first
)
_ANY_TIME = datetime.max.replace(tzinfo=UTC)
_NO_FAULT_OF_FILES = {
    "InterruptException",
    "OutOfMemoryException",
    "FatalException",
    "InternalException",
}


class _Format(Struct, frozen=True):
    """What differs between text formats.

    `texts` gives SQL that reads columns as text, `rows` counts rows without DuckDB, `fault` finds
    the first fault of a file.
    """

    texts: Callable[[InputFiles, Sequence[Path]], list[TextTable]]
    rows: Callable[[Source, Path], int]
    fault: Callable[[InputFiles, Path, Mapping[str, Collection[str]]], SourceFault | None]


def _csv_fault(
    files: InputFiles, file: Path, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    assert files.source is not None
    names = csvfiles.names_in(files, file)
    return csv_fault(files.source, file, files.path_of(file), wrong, names)


def _json_fault(
    files: InputFiles, file: Path, wrong: Mapping[str, Collection[str]]
) -> SourceFault | None:
    assert files.source is not None
    return json_fault(files.source, file, files.path_of(file), wrong)


_JSON = _Format(jsonlines.texts, jsonlines.rows, _json_fault)
_FORMATS = {
    "csv": _Format(csvfiles.texts, csvfiles.rows, _csv_fault),
    "jsonl": _JSON,
    "json": _JSON,
}


def inspect(
    files: InputFiles,
    paths: Sequence[Path],
    engine: DuckDB,
    *,
    until: datetime = _ANY_TIME,
    undeclared: Undeclared | None = None,
) -> Mapping[Path, datetime | None]:
    """Return the last event of each file that is not after a moment; text is read as a whole.

    Columns that the source does not declare are added to `undeclared`. Raises SourceFault for the
    first file that is not as declared.
    """
    undeclared = {} if undeclared is None else undeclared
    faults, events = Faults(), dict[Path, datetime | None]()
    for alike in by_shape(files, paths):
        with faults.collecting(), faults_as_declared(alike):
            events |= _inspect(alike, engine, until, undeclared)
    faults.raise_any()
    return events


def _inspect(
    files: InputFiles, engine: DuckDB, until: datetime, undeclared: Undeclared
) -> Mapping[Path, datetime | None]:
    """Return the last event of each file, all of one shape, as `inspect` does."""
    assert files.source is not None
    paths = files.paths
    if files.source.format == "parquet":
        with engine.cursor() as cursor:
            return parquetfiles.inspect(files, paths, cursor, until, undeclared)
    faults, surveys, events = Faults(), dict[Path, Survey](), {}
    for file in paths:
        with faults.collecting():
            surveys[file] = _surveyed(files, file)
    tables, column = _tables(files, [*surveys], faults), event_column(files.source)
    looked = _Inspection(files=files, engine=engine, until=until, faults=faults, surveys=surveys)
    for table in tables if files.source.format == "csv" else ():
        undeclared.setdefault(table.undeclared, []).extend(table.files)
    for file, counts in _counted(looked, tables):
        with faults.collecting():
            _check(files, file, counts, surveys[file], engine)
            events[file] = event_of(counts.event, column) if column else None
            if files.source.format != "csv":
                undeclared.setdefault(_undeclared_keys(files, counts), []).append(file)
    faults.raise_any()
    return events


def _undeclared_keys(files: InputFiles, counts: "Counts") -> tuple[str, ...]:
    """Return the keys of JSON objects that their source does not declare, sorted."""
    assert files.source is not None
    return tuple(sorted(counts.keys - {column.name for column in files.source.columns}))


def _tables(files: InputFiles, paths: Sequence[Path], faults: Faults) -> list[TextTable]:
    """Return the tables of text of files that have the declared columns.

    The faults of the others are kept.
    """
    assert files.source is not None
    texts = _FORMATS[files.source.format].texts
    try:
        return texts(files, paths) if paths else []
    except SourceFault:
        good = []
        for file in paths:
            with faults.collecting():
                texts(files, [file])
                good.append(file)
        return texts(files, good) if good else []


def _surveyed(files: InputFiles, file: Path) -> Survey:
    source = files.source
    assert source is not None
    try:
        quote = source.dialect.quote_char if source.format == "csv" else ""
        return survey(*read_paths(files, [file]), quote=quote)
    except Damaged as damage:
        problem = f"{files.path_of(file)} {damage}"
        raise SourceFault(source.name, problem, hint=damage.hint) from None


class _Inspection(Struct, frozen=True, kw_only=True):
    """The files that are inspected, with what, and what is found."""

    files: InputFiles
    engine: DuckDB
    until: datetime
    faults: Faults
    surveys: Mapping[Path, Survey]


def _counted(looked: _Inspection, tables: Iterable[TextTable]) -> Iterator[tuple[Path, Counts]]:
    """Yield the counts of each file; after an error, files are read one by one to name the faulty."""
    import duckdb

    files, source = looked.files, looked.files.source
    assert source is not None
    texts = _FORMATS[source.format].texts
    for table in tables:
        group = table.files
        try:
            by_file = counts_of(files, table.sql, looked.engine, looked.until)
        except duckdb.Error as error:
            if type(error).__name__ in _NO_FAULT_OF_FILES or remedy(error):
                raise
            if len(group) > 1:
                for file in group:
                    yield from _counted(looked, texts(files, [file]))
                continue
            with looked.faults.collecting():
                is_mixed = source.format == "csv" and looked.surveys[group[0]].mixed
                if not is_mixed or is_copied(files, group[0]):
                    raise _unreadable(files, group[0], error) from None
                # DuckDB reads lines that end in the same way only.
                copy_of(files, group[0])
                yield from _counted(looked, texts(files, group))
            continue
        for file in group:
            yield file, by_file.get(str(file), Counts())


def _unreadable(files: InputFiles, file: Path, error: "duckdb.Error") -> SourceFault:
    source = files.source
    assert source is not None
    fault = _FORMATS[source.format].fault(files, file, {})
    return fault or SourceFault(
        source.name,
        f"{files.path_of(file)}: it cannot be read "
        f"as {source.format.upper()} ({type(error).__name__})",
        hint="Lines should have as many values as the first, and no space before a quote.",
    )


def _check(files: InputFiles, file: Path, counts: Counts, surveyed: Survey, engine: DuckDB) -> None:
    """Raise SourceFault if the counts of a file show that it is not as declared."""
    source, name = files.source, files.path_of(file)
    assert source is not None
    format = _FORMATS[source.format]
    wrong = [column for column, count in zip(source.columns, counts.wrong, strict=False) if count]
    if wrong or counts.ill:
        texts = _wrong_texts(files, file, [column.name for column in wrong], engine)
        wrong = [column for column in wrong if texts[column.name]] or wrong
        fault = format.fault(files, file, texts)
        if not fault and wrong:
            fault = value_fault(source, name, wrong[0], next(iter(texts[wrong[0].name]), ""))
        raise fault or SourceFault(source.name, f"{name}: a line of it is not as declared")
    # Counting line ends is quick; Python's parser is slow, so it is used only if counts differ.
    if counts.rows != surveyed.lines - (source.format == "csv" and source.dialect.header):
        rows = _rows_to_python(source, file)
        if counts.rows != rows:
            problem = f"{name}: it has {rows:,} rows, and {counts.rows:,} of them could be read"
            raise format.fault(files, file, {}) or SourceFault(source.name, problem)
    if source.format != "csv" and counts.rows:
        _check_keys(files, file, counts, engine)
        _check_fields(files, file, engine)
    if counts.early:
        assert files.shape
        raise _early_key(files, file, files.shape.absent, engine)


def _rows_to_python(source: Source, file: Path) -> int:
    """Return the number of rows in a file; -1 if Python cannot read it."""
    try:
        return _FORMATS[source.format].rows(source, file)
    except (csv.Error, Damaged):
        return -1


def _wrong_texts(
    files: InputFiles, file: Path, names: Sequence[str], engine: DuckDB
) -> Mapping[str, set[str]]:
    """Return texts of these columns of a file that are no values of the declared type.

    Of lists and structs, these are the whole lines.
    """
    source = files.source
    assert source is not None
    if source.format != "csv":
        [table] = jsonlines.texts(files, [file], literally=True)
    else:
        [table] = csvfiles.texts(files, [file])
    texts = {}
    with engine.cursor() as cursor:
        for column in source.columns:
            if column.name in names:
                name = identifier(column.name)
                text = "trim(__line)" if is_nested(column.type) else name
                rows = cursor.execute(
                    f"select distinct {text} from {table.sql} "
                    f"where {faulty(column, name, source.dialect)} limit {_WRONG_TEXTS}"
                ).fetchall()
                texts[column.name] = {row[0] for row in rows}
    return texts


def _check_keys(files: InputFiles, file: Path, counts: Counts, engine: DuckDB) -> None:
    """Raise SourceFault for a declared key that no line has; in all lines, it may be null."""
    source = files.source
    assert source is not None
    counted = zip(source.columns, counts.present, strict=True)
    empty = [c for c, count in counted if not count and c.name not in source.optional]
    if not empty:
        return
    keys = _keys(files, file, engine)
    for column in empty:
        if column.name not in keys:
            raise missing_key(source, files.path_of(file), column, keys)


def _early_key(files: InputFiles, file: Path, absent: Sequence[str], engine: DuckDB) -> SourceFault:
    """Return the fault of a file with a key that it must not have, by its day."""
    assert files.source is not None
    keys = _keys(files, file, engine)
    return early(files.source, files.path_of(file), next(key for key in absent if key in keys))


def _keys(files: InputFiles, file: Path, engine: DuckDB) -> set[str]:
    """Return the keys of the objects in a file."""
    [table] = jsonlines.texts(files, [file])
    query = f"select distinct unnest(json_keys(__line)) from {table.sql}"
    with engine.cursor() as cursor:
        return {row[0] for row in cursor.execute(query).fetchall()}


def _check_fields(files: InputFiles, file: Path, engine: DuckDB) -> None:
    """Raise SourceFault for a field of a struct that every object lacks."""
    source = files.source
    assert source is not None
    fields = [
        field
        for c in source.columns
        if is_nested(c.type)
        for field in fields_there(tree_of(c.type), identifier(c.name), c.name)
    ]
    if not fields:
        return
    [table] = jsonlines.texts(files, [file])
    seen = ", ".join(f"bool_or({wants}), bool_or({has})" for _, wants, has in fields)
    with engine.cursor() as cursor:
        [row] = cursor.execute(f"select {seen} from {table.sql}").fetchall()
    for (place, _, _), wanted, had in zip(fields, row[::2], row[1::2], strict=True):
        if wanted and not had:
            raise missing_field(source, files.path_of(file), place)
