"""Declared sources to sources."""

from collections.abc import Callable, Iterator
from glob import escape
from pathlib import PurePath

from assay.declare.words import FileDeclaration, SourceDeclaration
from assay.engines.types import source_column
from assay.model import Column, Partition, Source, Where
from assay.plan.digests import digest
from assay.plan.parts import template

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_TEXT_RULES = (
    "text, 2"  # which texts are a value of a type; what was read by other rules is read again
)
Problems = Callable[[str, Where, str], None]  # is told what is wrong, where, and what to do


def read_source(
    name: str,
    declared: SourceDeclaration,
    where: Where,
    partition: Partition | None,
    problem: Problems,
) -> Source:
    """Return a declared source; what is wrong with it is told to `problem`."""
    if isinstance(declared, FileDeclaration):
        return _file(name, declared, where, problem)
    suffixes = [s for s in PurePath(declared.pattern).suffixes if s != ".gz"]
    try:
        path = template(declared.pattern)
    except ValueError as error:
        problem(f"{name}: {error}", where, "")
        path = template("")
    format = declared.format or _FORMATS.get(suffixes[-1] if suffixes else "", "")
    if format not in _FORMATS.values():
        problem(
            f"{name}: no format follows from {declared.pattern!r}",
            where,
            'Give format="csv", "parquet" or "jsonl".',
        )
    columns = tuple(_columns(name, declared, where, problem))
    there = {c.name.lower() for c in columns}
    told = zip(path.names, path.types, strict=True)
    from_path = tuple(Column(name=n, type=type) for n, type in told if n.lower() not in there)
    reading = [
        [[c.name, c.type, *([c.logical] if c.logical else [])] for c in columns],
        format,
        list(declared.null_values),
        declared.delimiter,
    ]
    if format != "parquet":
        reading.append(_TEXT_RULES)
    if path.names:
        reading.append([path.regex, [c.name for c in from_path], *path.escaped])
    return Source(
        name=name,
        where=where,
        pattern=path.glob,
        format=format,
        columns=columns,
        null_values=tuple(declared.null_values),
        delimiter=declared.delimiter,
        owner=declared.owner,
        purpose=declared.purpose,
        reading=digest(reading),
        partition=partition,
        path_regex=path.regex if path.names else "",
        path_columns=from_path,
        path_escaped=path.escaped,
    )


def _file(name: str, declared: FileDeclaration, where: Where, problem: Problems) -> Source:
    path = str(PurePath(declared.pattern))
    if odd := sorted(set(path) & set("*?{}")):
        hint = "source.file() is one file. source.files() reads tables from many."
        problem(f"{name}: {declared.pattern!r} has {odd[0]!r} in it", where, hint)
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


def _columns(
    name: str, declared: SourceDeclaration, where: Where, problem: Problems
) -> Iterator[Column]:
    lower = [str(column).lower() for column in declared.columns]
    if twice := [
        str(column) for column in declared.columns if lower.count(str(column).lower()) > 1
    ]:
        told = f"{name}: the columns {' and '.join(map(repr, twice))} differ by case alone: they are one to SQL"
        problem(told, where, "Declare one of them.")
    for column, dtype in declared.columns.items():
        try:
            made = source_column(str(column), dtype)
        except (AttributeError, TypeError):
            made = None
        if made:
            yield made
        else:
            hint = "Give a type as in SQL, such as 'bigint' or 'decimal(18, 2)', or of Polars, such as pl.Int64."
            problem(f"{name}: column {column!r} cannot be read as {dtype!r}", where, hint)
