"""The files of a test: sources that are read from the rows that it gives, or from files that it names."""

import re
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec.structs import replace

from assay.engines.types import from_polars
from assay.errors import UsageError
from assay.model import Column, Partition, Product, Source, Where
from assay.plan.digests import digest
from assay.testing.given import with_nulls, write
from assay.testing.pieces import Key

if TYPE_CHECKING:
    import polars as pl

_FILE = "given.parquet"
_SUFFIXES = {
    "csv": (".csv",),
    "parquet": (".parquet",),
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
}


def suffixes(source: Source | None) -> tuple[str, ...]:
    """Return how names of files end that are read as a source declares; ("",) for any file."""
    if source is None:
        return ()
    if source.is_file:
        return ("",)
    plain = _SUFFIXES[source.format]
    packed = (".gz", ".zst", ".zip") if source.is_text else ()
    return (*plain, *(f"{suffix}{pack}" for suffix in plain for pack in packed))


def source_of_rows(source: Source, frame: "pl.DataFrame", folder: Path) -> Source:
    """Return a source as one Parquet file of these rows, also what is in its paths otherwise."""
    file = folder / source.name / _FILE
    columns = (*source.columns, *source.path_columns)
    missing = [column for column in source.path_columns if column.name not in frame.columns]
    write(with_nulls(frame, missing), file)
    moved = _moved(source, escape(str(file)))
    partition = Partition(names=(source.name,))
    return replace(moved, columns=columns, path_columns=(), partition=partition)


def source_with_placeholders(
    source: Source, pieces: "Mapping[Key, pl.DataFrame]", folder: Path
) -> Source:
    """Return a source whose paths have the values that name its parts, each a folder."""
    assert source.partition is not None
    place, names = folder / source.name, source.partition.names
    for key, frame in pieces.items():
        columns = [column.name for column in source.columns]
        write(frame.select(columns), place.joinpath(*map(_folder, key), _FILE))
    pattern = "/".join([escape(str(place)), *["*"] * len(names), _FILE])
    regex = "/".join([re.escape(str(place)), *["([^/]+)"] * len(names), re.escape(_FILE)])
    # The name of a period is no text that would be escaped.
    return _moved(source, pattern, regex, () if source.partition.grain else names)


def source_in_parts(of: Product, pieces: "Mapping[Key, pl.DataFrame]", folder: Path) -> Source:
    """Return a source whose parts have the rows of a product's parts, by the same names."""
    assert of.partition is not None
    place, grain = folder / of.name, of.partition.grain
    for key, frame in pieces.items():
        write(frame, place / _folder(_joined(key)) / _FILE)
    return Source(
        name=f"given.{of.name.replace('.', '_')}",
        where=Where(""),
        pattern=f"{escape(str(place))}/*/{_FILE}",
        format="parquet",
        columns=columns_of(next(iter(pieces.values()))),
        reading=digest([str(place)]),
        partition=Partition(names=("part",), grain=grain),
        path_regex=f"{re.escape(str(place))}/([^/]+)/{re.escape(_FILE)}",
        path_escaped=() if grain else ("part",),
    )


def source_as_declared(source: Source, file: Path, folder: Path) -> Source:
    """Return a source of one file of its own format, which is read as the source declares."""
    place = folder / source.name
    below = file.name
    if source.path_regex:
        below = _placed(source, file)
    copy = place / below
    copy.parent.mkdir(parents=True, exist_ok=True)
    copyfile(file, copy)
    regex = f"{re.escape(str(place))}/{source.path_regex}" if source.path_regex else ""
    moved = _moved(source, escape(str(copy)), regex, source.path_escaped)
    return replace(
        moved,
        format=source.format,
        path_formats=source.path_formats,
        namings=source.namings,
        optional=source.optional,
        layouts=tuple(
            replace(each, path_regex=f"{re.escape(str(place))}/{each.path_regex}")
            if each.path_regex
            else each
            for each in source.layouts
        ),
    )


def _placed(source: Source, file: Path) -> str:
    """Return the end of a file's path that the pattern of a source matches."""
    for start in range(len(file.parts)):
        end = "/".join(file.parts[start:])
        if re.fullmatch(source.path_regex, end):
            return end
    assert source.partition is not None
    raise UsageError(
        f"{source.name}: the path {file} does not say its {', '.join(source.partition.names)}",
        hint=f"Let it end as {source.pattern!r} does, or give rows.",
    )


def _moved(source: Source, pattern: str, regex: str = "", escaped: Sequence[str] = ()) -> Source:
    """Return a source of Parquet files that are somewhere else, without a promise."""
    return replace(
        source,
        pattern=pattern,
        format="parquet",
        path_regex=regex,
        path_escaped=tuple(escaped),
        path_formats=(),
        reading=digest([source.reading, pattern]),
        namings=(),
        optional=(),
        layouts=(),
        freshness=None,
        poll=0.0,
    )


def columns_of(frame: "pl.DataFrame") -> tuple[Column, ...]:
    """Return the columns of a data frame, in the types of DuckDB."""
    return tuple(
        Column(name=name, type=from_polars(dtype) or str(dtype))
        for name, dtype in frame.schema.items()
    )


def _folder(value: str) -> str:
    """Return the name of a folder that stands for a value; never `.` or `..`."""
    return quote(value, safe=" ").replace(".", "%2E")


def _joined(key: Key) -> str:
    """Return the name of a part that several values name, as `plan.parts` writes it."""
    if len(key) == 1:
        return key[0]
    return "/".join(value.replace("%", "%25").replace("/", "%2F") for value in key)
