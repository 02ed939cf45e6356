"""Declared sources to sources: where the files are, and how they are read."""

from glob import escape
from pathlib import PurePath

from msgspec import to_builtins
from msgspec.structs import replace

from assay.declare.as_stored import stored_columns
from assay.declare.calendars import Calendars
from assay.declare.columns import read_columns
from assay.declare.landing import FILES
from assay.declare.layouts import LayoutReader
from assay.declare.names import Names
from assay.declare.namings import dated_by, read_namings
from assay.declare.promises import read_freshness
from assay.declare.text_options import problems, read_dialect
from assay.declare.words import FileDeclaration, SourceDeclaration
from assay.model import Access, Column, Dialect, Partition, Source, Where
from assay.plan.digests import digest
from assay.plan.names import nearest
from assay.plan.parts import Template, template
from assay.times import seconds_of

_FORMATS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
}
_PACKED = {".gz", ".zst", ".zip"}
_FORMAT_HINT = 'Give format="csv", "parquet", "jsonl" or "json".'
_EVENT_TIME_HINT = "Declare the column as 'date' or 'timestamp', or name a placeholder {day:date}."
# The rules by which text becomes a value of a type: what was read by other rules is read again.
_TEXT_RULES = "text, 3"


def read_source(
    name: str, declared: SourceDeclaration, partition: Partition | None, calendars: Calendars
) -> Source:
    """Return a declared source; its problems are reported."""
    names = calendars.names
    where = names.relative(declared.where)
    source = _read(name, declared, where, names)
    freshness = read_freshness(name, declared.freshness, where, calendars, names)
    poll = seconds_of(declared.poll or 0)
    access = Access(declared.access)
    return replace(source, partition=partition, freshness=freshness, poll=poll, access=access)


def _read(name: str, declared: SourceDeclaration, where: Where, names: Names) -> Source:
    """Return where the files of a source are, and how they are read."""
    if isinstance(declared, FileDeclaration):
        return _file(name, declared, where, names)
    path = _path(name, declared, where, names)
    format = _format(name, declared, where, names)
    given, is_stored = declared.columns, isinstance(declared.columns, str)
    if isinstance(given, str):
        full = name.removesuffix(f"__{FILES}")
        given = stored_columns(full, declared.pattern, format, where, names)
    read = read_columns(name, given, where, names)
    columns, formats = read.columns, read.formats
    assert declared.dialect is not None
    wrong = [*problems(declared.dialect, declared.pattern, format, columns, formats)]
    for message, hint in wrong:
        names.report(f"{name}: {message}", where, hint)
    layouts = LayoutReader(declared, format, columns, formats, path).read(name, where, names)
    dialect = Dialect() if wrong else read_dialect(declared.dialect, columns, formats)
    path_columns = _path_columns(path, columns)
    _check_event_time(name, declared, path, columns, names)
    namings = read_namings(name, read, path, where, names)
    reading = _reading_digest(dialect, format, columns, path, path_columns)
    if namings or read.optional or layouts:
        varying = [to_builtins(namings), read.optional, to_builtins(layouts, enc_hook=str)]
        reading = digest([reading, *varying])
    return Source(
        name=name,
        where=where,
        pattern=path.glob,
        format=format,
        columns=columns,
        dialect=dialect,
        owner=declared.owner,
        purpose=declared.purpose,
        reading=reading,
        path_regex=path.regex if path.names else "",
        path_columns=path_columns,
        path_escaped=path.escaped,
        path_formats=path.formats,
        event_time=declared.event_time,
        namings=namings,
        optional=read.optional,
        sensitive=read.sensitive,
        layouts=layouts,
        is_frozen=is_stored,
        dated=dated_by(path) if namings or layouts else None,
    )


def _file(name: str, declared: FileDeclaration, where: Where, names: Names) -> Source:
    path = str(PurePath(declared.pattern))
    if wildcards := sorted(set(path) & set("*?{}")):
        hint = "source.file() is one file. source.files() reads tables from many."
        names.report(f"{name}: {declared.pattern!r} has {wildcards[0]!r} in it", where, hint)
    return Source(
        name=name,
        where=where,
        pattern=escape(path),
        format="file",
        columns=(),
        owner=declared.owner,
        purpose=declared.purpose,
        reading=digest(["file"]),
    )


def _path(name: str, declared: SourceDeclaration, where: Where, names: Names) -> Template:
    try:
        return template(declared.pattern)
    except ValueError as error:
        names.report(f"{name}: {error}", where)
        return template("")


def _format(name: str, declared: SourceDeclaration, where: Where, names: Names) -> str:
    """Return the format that is declared or follows from the suffix."""
    suffixes = [suffix for suffix in PurePath(declared.pattern).suffixes if suffix not in _PACKED]
    format = declared.format or _FORMATS.get(suffixes[-1] if suffixes else "", "")
    if format not in _FORMATS.values():
        message = f"{name}: no format follows from {declared.pattern!r}"
        names.report(message, where, _FORMAT_HINT)
    return format


def _path_columns(path: Template, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the columns that placeholders in the pattern become: those that files do not have."""
    in_files = {column.name.lower() for column in columns}
    placeholders = zip(path.names, path.types, strict=True)
    return tuple(
        Column(name=name, type=type) for name, type in placeholders if name.lower() not in in_files
    )


def _check_event_time(
    name: str,
    declared: SourceDeclaration,
    path: Template,
    columns: tuple[Column, ...],
    names: Names,
) -> None:
    """Report an event time that is neither a column of days or moments, nor such a placeholder."""
    wanted, where = declared.event_time, names.relative(declared.where)
    types = {**dict(zip(path.names, path.types, strict=True)), **{c.name: c.type for c in columns}}
    if not wanted or (wanted in path.names and path.grain):
        return
    if wanted not in types:
        message = f"{name}: event_time {wanted!r} is neither a column nor a placeholder"
        hint = nearest(wanted, types) or f"It has: {', '.join(types)}."
        names.report(message, where, hint)
    elif not types[wanted].startswith(("DATE", "TIMESTAMP")):
        message = f"{name}: event_time {wanted!r} is of type {types[wanted]}, not a day or moment"
        names.report(message, where, _EVENT_TIME_HINT)


def _reading_digest(
    dialect: Dialect,
    format: str,
    columns: tuple[Column, ...],
    path: Template,
    path_columns: tuple[Column, ...],
) -> str:
    """Return the digest of everything that decides which values are read from the same files."""
    types = [[c.name, c.type, *([c.logical] if c.logical else [])] for c in columns]
    reading = [types, format, to_builtins(dialect, enc_hook=str)]
    if format != "parquet":
        reading.append(_TEXT_RULES)
    if path.names:
        reading.append([path.regex, [column.name for column in path_columns], *path.escaped])
    if path.formats:
        reading.append([list(pair) for pair in path.formats])
    return digest(reading)
