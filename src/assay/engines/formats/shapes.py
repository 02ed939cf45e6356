"""Files of one source that differ in shape: which columns they have, and under which names.

The files are grouped by shape. Each group is read as a source that declares what its files have; a
column that they do not have is null.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from msgspec.structs import replace

from assay.engines.quoting import identifier
from assay.engines.tables import InputFiles, Shape, StoredTable
from assay.errors import SourceFault
from assay.model import Naming, Source
from assay.plan.digests import digest
from assay.plan.parts import first_day, keys_of


def by_shape(files: InputFiles, paths: Sequence[Path]) -> list[InputFiles]:
    """Return these files of a source by shape, in order; sources of one shape as they are."""
    source = files.source
    assert source is not None
    if files.shape or not source.namings:
        return [_of_paths(files, paths)]
    day_of = _day_of(files)
    shapes: dict[str, Shape] = {}
    groups: dict[str, list[Path]] = {}
    for path in paths:
        day = day_of(path)
        if day not in shapes:
            shapes[day] = _shape(source, day)
        groups.setdefault(shapes[day].key, []).append(path)
    by_key = {shape.key: shape for shape in shapes.values()}
    return [
        replace(_of_paths(files, group), source=_narrowed(source, by_key[key]), shape=by_key[key])
        for key, group in groups.items()
    ]


def _of_paths(files: InputFiles, paths: Sequence[Path]) -> InputFiles:
    """Return an input of some of its files."""
    if files.paths == tuple(paths):
        return files
    chosen = {str(path) for path in paths}
    return replace(
        files,
        table=StoredTable(tuple(paths)),
        observed=tuple(f for f in files.observed if str(Path(files.root, f.path)) in chosen),
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


def _shape(source: Source, day: str) -> Shape:
    """Return the shape of the files of a day."""
    names, absent = {column.name: column.name for column in source.columns}, list[str]()
    for naming in source.namings:
        if name := naming.at(day):
            names[naming.column] = name
        else:
            del names[naming.column]
    for naming in source.namings:
        absent += {name for _, name in naming.names if name} - {*names.values(), *absent}
    return Shape(digest([names, absent])[:16], names, tuple(sorted(absent)))


def _narrowed(source: Source, shape: Shape) -> Source:
    """Return a source as it would be declared if all of its files were of one shape."""
    names, dialect = shape.names, source.dialect
    declared = {column.name for column in source.columns}
    return replace(
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
    problem = f"{place}: it has a column {name!r}, which files of its day should not have"
    return SourceFault(source.name, problem, hint=advice(source, name))
