"""Files of one source that differ in shape: which columns they have, and under which names.

The files are grouped by shape. Each group is read as a source that declares what its files have; a
column that they do not have is null.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from msgspec.structs import replace

from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles, Shape, StoredTable
from assay.errors import SourceFault
from assay.model import Layout, Naming, Source
from assay.plan.digests import digest
from assay.plan.parts import first_day, keys_of


def by_shape(files: InputFiles, paths: Sequence[Path]) -> list[InputFiles]:
    """Return these files of a source by shape, in order; sources of one shape as they are."""
    source = files.source
    assert source is not None
    if files.shape or not (source.namings or source.layouts):
        return [_of_paths(files, paths)]
    day_of, layout_of = _day_of(files), _layout_of(files)
    changes = sorted({day for naming in source.namings for day, _ in naming.names})
    groups: dict[tuple[str, int], list[Path]] = {}
    for path in paths:
        day = day_of(path)
        since = changes[bisect_right(changes, day) - 1] if changes else ""
        groups.setdefault((since, layout_of(path, day)), []).append(path)
    alike = []
    for kind, group in groups.items():
        shape, narrowed = _narrowed(source, *kind)
        alike.append(replace(_of_paths(files, group), source=narrowed, shape=shape))
    return alike


def _of_paths(files: InputFiles, paths: Sequence[Path]) -> InputFiles:
    """Return an input of some of its files."""
    if files.paths == tuple(paths):
        return files
    chosen = {str(path) for path in paths}
    below = f"{files.root}/"
    return replace(
        files,
        table=StoredTable(tuple(paths)),
        observed=tuple(
            file
            for file in files.observed
            if (file.path if file.path.startswith("/") else f"{below}{file.path}") in chosen
        ),
        part_rows=tuple(rows for rows in files.part_rows if str(rows.file) in chosen),
    )


def _day_of(files: InputFiles) -> Callable[[Path], str]:
    """Return a function from the path of a file to its day, `2021-01-15`; '' for none."""
    source = files.source
    assert source is not None and source.partition is not None
    dated, key_of = source.dated, keys_of(source)
    if dated is None:
        return lambda _: ""
    place = source.partition.names.index(dated.names[0])
    below = "" if source.pattern.startswith("/") else f"{files.root}/"

    def day_of(path: Path) -> str:
        key = key_of(str(path).removeprefix(below))
        value = key.split("/")[place] if key else ""
        try:
            return first_day(value, dated.grain).isoformat()
        except ValueError:
            return ""

    return day_of


def _layout_of(files: InputFiles) -> Callable[[Path, str], int]:
    """Return a function from the path and the day of a file to the number of its layout; -1: none."""
    source = files.source
    assert source is not None
    if not source.layouts:
        return lambda _, __: -1
    layouts = [
        (re.compile(layout.path_regex or ".*", re.DOTALL), layout) for layout in source.layouts
    ]
    below = "" if source.pattern.startswith("/") else f"{files.root}/"

    def layout_of(path: Path, day: str) -> int:
        for number, (regex, layout) in enumerate(layouts):
            is_then = layout.since <= day and (not layout.until or day <= layout.until)
            if is_then and regex.fullmatch(str(path).removeprefix(below)):
                return number
        return -1

    return layout_of


def _narrowed(source: Source, day: str, number: int) -> tuple[Shape, Source]:
    """Return the shape of files of a day and a layout, and a source whose files are all of it."""
    layout = source.layouts[number] if number >= 0 else Layout(dialect=source.dialect)
    names = {column.name: column.name for column in source.columns}
    names |= {naming.column: naming.at(day) for naming in source.namings} | dict(layout.renamed)
    names = {c: name for c, name in names.items() if name and c not in layout.missing}
    declared = {column.name: {column.name} for column in source.columns}
    for naming in source.namings:
        declared[naming.column] |= {name for _, name in naming.names if name}
    changing = {naming.column for naming in source.namings} | {
        *layout.missing,
        *dict(layout.renamed),
    }
    known = {name for column in changing for name in declared[column]}
    dialect = layout.dialect
    shape = Shape(digest([names, number])[:16], names, tuple(sorted(known - {*names.values()})))
    return shape, replace(
        source,
        columns=tuple(replace(c, name=names[c.name]) for c in source.columns if c.name in names),
        optional=tuple(names[name] for name in source.optional if name in names),
        event_time=names.get(source.event_time, source.event_time),
        dialect=replace(
            dialect,
            formats=tuple((names[name], text) for name, text in dialect.formats if name in names),
            names=tuple(
                names.get(name, name)
                for name in dialect.names
                if name in names or name not in declared
            ),
        ),
    )


def select(files: InputFiles, read: Callable[[InputFiles], str]) -> str:
    """Return the query of a source, whose files of one shape `read` returns a query of."""
    return " union all ".join(
        _as_declared(files, alike, read(alike)) for alike in by_shape(files, files.paths)
    )


def _as_declared(files: InputFiles, alike: InputFiles, query: str) -> str:
    """Return the query of files of one shape with all declared columns, in order."""
    source, shape = files.source, alike.shape
    assert source is not None
    if shape is None or shape is files.shape:
        return query
    columns = [
        f"{identifier(shape.names[c.name])} as {identifier(c.name)}"
        if c.name in shape.names
        else f"cast(null as {c.type}) as {identifier(c.name)}"
        for c in source.columns
    ]
    columns += [identifier(c.name) for c in source.path_columns]
    columns += ["__part"] if files.part_rows else []
    return f"select {', '.join(columns)} from ({query})"


@contextmanager
def faults_as_declared(alike: InputFiles) -> Iterator[None]:
    """Name the columns of faults as they are declared, which says whether values may be shown."""
    try:
        yield
    except SourceFault as fault:
        declared = (
            {name: column for column, name in alike.shape.names.items()} if alike.shape else {}
        )
        for each in (fault, *fault.others):
            each.column = declared.get(each.column, each.column)
        raise


def advice(source: Source, name: str) -> str:
    """Return what is declared of the days of a column that files call so; '' for nothing."""
    for naming in source.namings:
        if name in {naming.column, *(each for _, each in naming.names)}:
            return (
                f"Column {naming.column!r} is declared {_days(naming)}."
                " Mend the file, or correct the declaration."
            )
    return ""


def _days(naming: Naming) -> str:
    """Return what is declared of a column, as it is declared."""
    told = []
    first, *later = naming.names
    for day, name in later:
        until = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        told.append(f"since {day}" if name else f"until {until}")
    if first[1] not in {"", naming.column}:
        told.append(f"before as {first[1]!r}")
    return ", ".join(told)


def early(source: Source, place: str, name: str) -> SourceFault:
    """Return the fault of a file with a column that it must not have, by its day."""
    problem = f"{place}: it has a column {name!r}, which files like it should not have"
    hint = advice(source, name) or "Mend the file, or correct the layouts of the source."
    return SourceFault(source.name, problem, hint=hint)
