"""Reads a file of text once, whole, and says whether every row and every declared column of it is as declared.

What a query asks for later may be little of it: a part of the columns, the first rows. So this is asked first, of each
file once, and not left to what happens to be read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assay.engines.duckdb import DuckDB
from assay.engines.formats import csv as csvfiles
from assay.engines.formats import jsonlines
from assay.engines.formats import parquet as parquetfiles
from assay.engines.formats.faults import csv_fault, json_fault, missing_key, value_fault
from assay.engines.formats.textfiles import Damaged, Survey, survey
from assay.engines.formats.textvalues import faulty
from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles
from assay.errors import SourceFault, remedy
from assay.model import Source

if TYPE_CHECKING:
    import duckdb

_WRONG_TEXTS = 1000  # that are looked for in a file, to tell the line of the first
_ABOUT_OURSELVES = {
    "InterruptException",
    "OutOfMemoryException",
    "FatalException",
    "InternalException",
}


class _Format(Struct, frozen=True):
    """What differs between formats of text: the tables to read, the rows as Python counts them, the first fault."""

    texts: Callable[[InputFiles, Sequence[Path]], dict[str, list[Path]]]
    rows: Callable[[Source, Path], int]
    fault: Callable[[Source, Path, str, Mapping[str, Collection[str]]], SourceFault | None]
    header: bool


_FORMATS = {
    "csv": _Format(csvfiles.texts, csvfiles.rows, csv_fault, header=True),
    "jsonl": _Format(jsonlines.texts, jsonlines.rows, json_fault, header=False),
}


class _Found(Struct, frozen=True):
    """What a query found in one file: its rows, those that are ill as a whole, and of each column, wrong and there."""

    rows: int = 0
    ill: int = 0
    wrong: tuple[int, ...] = ()
    there: tuple[int, ...] = ()


def inspect(files: InputFiles, paths: Sequence[Path], engine: DuckDB) -> None:
    """Read files of a source, text whole; raises SourceFault for the first that is not what the source declares."""
    assert files.source is not None
    if files.source.format == "parquet":
        with engine.cursor() as cursor:
            parquetfiles.inspect(files, paths, cursor)
        return
    surveys = {file: _surveyed(files, file) for file in paths}
    for file, found in _found(files, paths, engine):
        _check(files, file, found, surveys[file], engine)


def _surveyed(files: InputFiles, file: Path) -> Survey:
    source = files.source
    assert source is not None
    try:
        return survey(file, quoted=source.format == "csv")
    except Damaged as damage:
        raise SourceFault(
            source.name, f"{files.path_of(file)} {damage}", hint="Fetch the file again."
        ) from None


def _found(
    files: InputFiles, paths: Sequence[Path], engine: DuckDB
) -> Iterator[tuple[Path, _Found]]:
    """Yield what is in each file; those that DuckDB cannot read are looked at one by one, to say which it is."""
    import duckdb

    source = files.source
    assert source is not None
    for table, group in _FORMATS[source.format].texts(files, paths).items():
        try:
            counted = _counted(source, table, engine)
        except duckdb.Error as error:
            if type(error).__name__ in _ABOUT_OURSELVES or remedy(error):
                raise
            if len(group) == 1:
                raise _unreadable(files, group[0], error) from None
            for file in group:
                yield from _found(files, [file], engine)
            continue
        yield from ((file, counted.get(str(file), _Found())) for file in group)


def _counted(source: Source, table: str, engine: DuckDB) -> Mapping[str, _Found]:
    names = [identifier(column.name) for column in source.columns]
    wrong = [
        f"count(*) filter (where {faulty(c, n)})"
        for c, n in zip(source.columns, names, strict=True)
    ]
    ill = f"count(*) filter (where {jsonlines.ill('__line')})" if source.format == "jsonl" else "0"
    asked = ", ".join(["__file", "count(*)", ill, *wrong, *(f"count({name})" for name in names)])
    with engine.cursor() as cursor:
        rows = cursor.execute(f"select {asked} from {table} group by __file").fetchall()
    many = len(names)
    return {
        row[0]: _Found(row[1], row[2], tuple(row[3 : 3 + many]), tuple(row[3 + many :]))
        for row in rows
    }


def _unreadable(files: InputFiles, file: Path, error: "duckdb.Error") -> SourceFault:
    source = files.source
    assert source is not None
    fault = _FORMATS[source.format].fault(source, file, files.path_of(file), {})
    return fault or SourceFault(
        source.name,
        f"{files.path_of(file)}: it cannot be read as {source.format.upper()} ({type(error).__name__})",
        hint="Lines should all end in the same way, and have as many values as the first.",
    )


def _check(files: InputFiles, file: Path, found: _Found, surveyed: Survey, engine: DuckDB) -> None:
    source, name = files.source, files.path_of(file)
    assert source is not None
    format = _FORMATS[source.format]
    wrong = [column for column, count in zip(source.columns, found.wrong, strict=False) if count]
    if wrong or found.ill:
        texts = _wrong_texts(files, file, [column.name for column in wrong], engine)
        fault = format.fault(source, file, name, texts)
        if not fault and wrong:
            fault = value_fault(source, name, wrong[0], next(iter(texts[wrong[0].name]), ""))
        raise fault or SourceFault(source.name, f"{name}: a line of it is not as declared")
    # What Python reads row by row, which takes long, counts only where a count of line ends does not settle it.
    if found.rows != surveyed.lines - format.header and found.rows != (
        rows := format.rows(source, file)
    ):
        told = f"{name}: it has {rows:,} rows, and {found.rows:,} of them could be read"
        raise format.fault(source, file, name, {}) or SourceFault(source.name, told)
    if source.format == "jsonl" and found.rows:
        _check_keys(files, file, found, engine)


def _wrong_texts(
    files: InputFiles, file: Path, names: Sequence[str], engine: DuckDB
) -> Mapping[str, set[str]]:
    """Return texts of a file, by column, that are no values of the declared type."""
    source = files.source
    assert source is not None
    tables = (
        jsonlines.texts(files, [file], literally=True)
        if source.format == "jsonl"
        else csvfiles.texts(files, [file])
    )
    [table] = tables
    with engine.cursor() as cursor:
        return {
            column.name: {
                row[0]
                for row in cursor.execute(
                    f"select distinct {identifier(column.name)} from {table} "
                    f"where {faulty(column, identifier(column.name))} limit {_WRONG_TEXTS}"
                ).fetchall()
            }
            for column in source.columns
            if column.name in names
        }


def _check_keys(files: InputFiles, file: Path, found: _Found, engine: DuckDB) -> None:
    """Raise SourceFault for a declared key that no line of a file has; it may be null in all."""
    source = files.source
    assert source is not None
    absent = [
        column for column, count in zip(source.columns, found.there, strict=True) if not count
    ]
    if not absent:
        return
    [table] = jsonlines.texts(files, [file])
    with engine.cursor() as cursor:
        keys = {
            row[0]
            for row in cursor.execute(
                f"select distinct unnest(json_keys(__line)) from {table}"
            ).fetchall()
        }
    for column in absent:
        if column.name not in keys:
            raise missing_key(source, files.path_of(file), column, keys)
