"""Reads Parquet files of sources: each column as exactly its declared type, or an error.

`by_schema` checks types each time that files are read; `inspect` checks values, once for each file.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.formats.events import event_column, event_of, event_value, last_event
from assay.engines.formats.pathcolumns import by_path
from assay.engines.formats.shapes import advice, early
from assay.engines.nested import is_nested, tree_of, unfit
from assay.engines.quoting import identifier, source_files
from assay.engines.tables import InputFiles, Undeclared
from assay.engines.types import exact, from_polars, of_column, to_polars
from assay.errors import SourceFault
from assay.model import Column, Source

if TYPE_CHECKING:
    import duckdb
    import polars as pl

_FILE = "__file_of_the_row"
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_LARGEST = 2**63 - 1
_TEXTS = ("String", "Categorical", "Enum")
_DAY = 86_400 * _PER_SECOND["ns"]


class Group(Struct, frozen=True, kw_only=True):
    """Parquet files of a source that store each declared column (by name) as the same type.

    The source of `files` declares the columns that these files have; `declared` those of all files.
    """

    files: InputFiles
    declared: tuple[Column, ...]
    paths: tuple[Path, ...]
    stored: Mapping[str, Any]

    @property
    def source(self) -> Source:
        """The declaration of the files."""
        assert self.files.source is not None
        return self.files.source

    def scan(self, types: Mapping[str, Any], file_column: str | None = None) -> "pl.LazyFrame":
        """Return the rows; nanoseconds become microseconds where `types` are not the stored."""
        import polars as pl

        options: dict[str, Any] = {}
        if types != self.stored:
            cast = pl.ScanCastOptions(datetime_cast="nanosecond-downcast")
            options = {"schema": types, "extra_columns": "ignore", "cast_options": cast}
        return pl.scan_parquet(
            [*self.paths],
            glob=False,
            hive_partitioning=False,
            include_file_paths=file_column,
            **options,
        )

    @property
    def read_as(self) -> dict[str, Any]:
        """The types that Polars reads columns as.

        Polars takes what Spark writes (INT96) for nanoseconds, which cannot hold 9999-12-31;
        microseconds can.
        """
        import polars as pl

        types = dict(self.stored)
        for column in self.source.columns:
            have, want = types[column.name], of_column(column)
            if not isinstance(have, pl.Datetime) or not isinstance(want, pl.Datetime):
                continue
            if have.time_unit == "ns" != want.time_unit:
                types[column.name] = pl.Datetime("us", have.time_zone)
        return types


def select(files: InputFiles) -> str:
    """Return the query that reads Parquet files of a source."""
    source = files.source
    assert source is not None
    options, by_paths = "filename = '__file', hive_partitioning = false", by_path(files)
    return " union all ".join(
        f"select {_named(group)}{by_paths} from read_parquet({source_files(group.paths)}, {options})"
        for group in by_schema(files, files.paths)
    )


def _named(group: Group) -> str:
    """Return the declared columns, as a select list; null for those that the files do not have."""
    values = ((identifier(c.name) if c.name in group.stored else "null", c) for c in group.declared)
    return ", ".join(f"cast({value} as {c.type}) as {identifier(c.name)}" for value, c in values)


def by_schema(
    files: InputFiles, paths: Sequence[Path], undeclared: Undeclared | None = None
) -> list[Group]:
    """Return a source's files grouped by schema, so that every file is read by its own types.

    Raises SourceFault for a file that lacks a declared column, or stores it as an unfit type.
    """
    assert files.source is not None
    declared = files.source.columns
    by_types: dict[tuple[Any, ...], list[Path]] = {}
    for file in paths:
        schema = _schema(files, file)
        by_types.setdefault(_stored_types(files, file, schema), []).append(file)
        if undeclared is not None:
            others = tuple(schema.keys() - {column.name for column in declared})
            undeclared.setdefault(tuple(sorted(others)), []).append(file)
    groups = []
    for types, group in by_types.items():
        stored = {
            column.name: type
            for column, type in zip(declared, types, strict=True)
            if type is not None
        }
        present = tuple(column for column in declared if column.name in stored)
        own = replace(files, source=replace(files.source, columns=present))
        groups.append(Group(files=own, declared=declared, paths=tuple(group), stored=stored))
    return groups


def inspect(
    files: InputFiles,
    paths: Sequence[Path],
    cursor: "duckdb.DuckDBPyConnection",
    until: datetime,
    undeclared: Undeclared,
) -> dict[Path, datetime | None]:
    """Return the last event of each file that is not after a moment.

    Columns that the source does not declare are added to `undeclared`. Raises SourceFault for the
    first value that its declared type cannot hold exactly.
    """
    events: dict[Path, datetime | None] = dict.fromkeys(paths)
    for group in by_schema(files, paths, undeclared):
        _check_values(group)
        _check_by_duckdb(group, cursor)
        events |= _last_events(group, cursor, until)
    return events


def _last_events(
    group: Group, cursor: "duckdb.DuckDBPyConnection", until: datetime
) -> dict[Path, datetime | None]:
    column = event_column(group.source)
    if column is None:
        return {}
    event = last_event(column, event_value(column), until)
    options = "filename = '__file', hive_partitioning = false"
    query = (
        f"select __file, {event} from read_parquet({source_files(group.paths)}, {options})"
        " group by __file"
    )
    rows = cursor.execute(query).fetchall()
    return {Path(file): event_of(microseconds, column) for file, microseconds in rows}


# -------------------------------------------------------------------------------------- types


def _schema(files: InputFiles, file: Path) -> Mapping[str, "pl.DataType"]:
    """Return the columns of a file and their stored types."""
    import polars as pl

    assert files.source is not None
    try:
        with file.open("rb") as content:  # Polars would read wildcards in a path
            return pl.read_parquet_schema(content)
    except (OSError, pl.exceptions.PolarsError) as error:
        problem = f"{files.path_of(file)} cannot be read: {error}"
        raise SourceFault(files.source.name, problem) from error


def _stored_types(
    files: InputFiles, file: Path, schema: Mapping[str, "pl.DataType"]
) -> tuple["pl.DataType | None", ...]:
    """Return the stored type of each declared column; SourceFault with all unfit types.

    None stands for an optional column that is not there.
    """
    source, name = files.source, files.path_of(file)
    assert source is not None
    problems = [_problem(schema, column, source.optional) for column in source.columns]
    if any(problems):
        lacking = (c.name for c in source.columns if c.name not in schema)
        hint = next((text for each in lacking if (text := advice(source, each))), "")
        problem = f"{name} {'; and '.join(filter(None, problems))}"
        raise SourceFault(source.name, problem, hint=hint)
    if absent := [column for column in schema if files.shape and column in files.shape.absent]:
        raise early(source, name, absent[0])
    return tuple(schema.get(column.name) for column in source.columns)


def _problem(schema: Mapping[str, "pl.DataType"], column: Column, optional: Sequence[str]) -> str:
    """Return the problem of a declared column in a file; '' for none."""
    same = [name for name in schema if name.lower() == column.name.lower()]
    if len(same) > 1:
        names = " and ".join(map(repr, same))
        return f"has the columns {names}: they differ by case alone, so SQL sees one column"
    should = f"should have a column {column.name!r} of type {column.logical or column.type}"
    if column.name not in schema and not same and column.name in optional:
        return ""
    if column.name not in schema:
        return f"{should}; it is not there; it has {', '.join(schema)}"
    stored = schema[column.name]
    if is_nested(column.type):
        place = f"has a column {column.name!r} that does not fit: {column.name}"
        return unfit(stored, tree_of(column.type), place, _always_fits)
    return "" if _may_be(stored, column) else f"{should}; it is {from_polars(stored) or stored}"


def _may_be(stored: "pl.DataType", column: Column) -> bool:
    """Return whether a declared column can hold all or some values of a stored type exactly."""
    import polars as pl

    want, have = of_column(column), from_polars(stored) or ""
    if isinstance(stored, pl.Datetime) and isinstance(want, pl.Datetime):
        return bool(stored.time_zone) == bool(want.time_zone)
    if isinstance(want, pl.Enum) or column.type == "VARCHAR":
        return type(stored).__name__ in (*_TEXTS, "Null")
    if isinstance(stored, pl.Decimal) and stored.precision > 38:  # DuckDB reads it as DOUBLE
        return False
    return have == column.type or exact(have, column.type)


def _always_fits(stored: "pl.DataType", leaf: str) -> bool:
    """Return whether a type inside of lists and structs holds all values of a stored type."""
    import polars as pl

    if leaf == "VARCHAR" or isinstance(stored, pl.Null):
        return type(stored).__name__ in (*_TEXTS, "Null")
    want, have = to_polars(leaf), from_polars(stored)
    if isinstance(stored, pl.Datetime) and isinstance(want, pl.Datetime):
        zoned = bool(stored.time_zone) == bool(want.time_zone)
        return zoned and stored.time_unit == want.time_unit
    if isinstance(stored, pl.Decimal) and stored.precision > 38:
        return False
    is_number = stored.is_integer() or stored.is_decimal()
    if is_number and (want.is_integer() or want.is_decimal()):
        return stored == want or _is_wider(stored, want)
    return have == leaf or exact(have or "", leaf)


# -------------------------------------------------------------------------------------- values


def _check_values(group: Group) -> None:
    """Raise SourceFault for the first value that its declared type cannot hold exactly."""
    file = _file_of_wrong(group, group.stored)
    if not file:
        return
    if group.read_as == group.stored:
        raise _first_wrong(group, file, group.stored)
    # Polars reads a time that nanoseconds cannot hold as the largest number of nanoseconds. So
    # those values are checked as microseconds, all others as nanoseconds.
    for types in (group.stored, group.read_as):
        if file := _file_of_wrong(group, types, but_largest=True):
            raise _first_wrong(group, file, types, but_largest=True)


def _wrong(
    group: Group, types: Mapping[str, Any], *, but_largest: bool = False
) -> dict[str, "pl.Expr"]:
    """Return, by column, the condition of a value that the declared type cannot hold exactly.

    Columns that cannot have such a value are left out. With `but_largest`, one condition covers
    the largest number of nanoseconds, and the other all the rest: see `_check_values`.
    """
    import polars as pl

    wrong = {}
    for column in group.source.columns:
        value, have = pl.col(column.name), types[column.name]
        is_exact = _is_exact(column, have)
        if but_largest and have != group.read_as[column.name]:
            assert is_exact is not None
            is_exact |= value.to_physical() == _LARGEST
        elif but_largest and have != group.stored[column.name]:
            in_range = value.to_physical() != _LARGEST // 1000
            is_exact = in_range if is_exact is None else is_exact & in_range
        if is_exact is not None:
            wrong[column.name] = value.is_not_null() & ~is_exact
    return wrong


def _file_of_wrong(
    group: Group, types: Mapping[str, Any], *, but_largest: bool = False
) -> Path | None:
    """Return the first file with a value that its declared type cannot hold exactly."""
    import polars as pl

    wrong = _wrong(group, types, but_largest=but_largest)
    if not wrong:
        return None
    is_wrong = pl.any_horizontal([*wrong.values()])
    frame = group.scan(types, _FILE).filter(is_wrong).select(_FILE).head(1)
    try:
        for (path,) in frame.collect(engine="streaming").rows():
            return Path(path)
    except pl.exceptions.PolarsError as error:
        _raise_unreadable(group, str(error))
        for file in group.paths:
            _file_of_wrong(replace(group, paths=(file,)), types, but_largest=but_largest)
        raise
    return None


def _raise_unreadable(group: Group, error: str) -> None:
    """Raise SourceFault if the group is a single file; of several, any may be at fault."""
    if len(group.paths) == 1:
        name = group.files.path_of(group.paths[0])
        raise SourceFault(group.source.name, f"{name} cannot be read: {error}")


def _first_wrong(
    group: Group, file: Path, types: Mapping[str, Any], *, but_largest: bool = False
) -> SourceFault:
    """Return the fault of the first value in a file that its declared type cannot hold exactly."""
    import polars as pl

    frame = replace(group, paths=(file,)).scan(types).with_row_index(_FILE, 1)
    declared = {column.name: column for column in group.source.columns}
    for name, is_wrong in _wrong(group, types, but_largest=but_largest).items():
        is_time = types[name].is_temporal()
        column = pl.col(name).to_physical() if is_time else pl.col(name)
        for row, value in frame.filter(is_wrong).select(_FILE, column).head(1).collect().rows():
            text = _moment(value, types[name]) if is_time else repr(value)
            return _fault(group, file, row, declared[name], text)
    return SourceFault(
        group.source.name, f"{group.files.path_of(file)} was replaced while it was being read"
    )


def _fault(group: Group, file: Path, row: int, column: Column, value: str) -> SourceFault:
    place = f"{group.files.path_of(file)}, row {row}"
    should = f"column {column.name!r} should be {column.logical or column.type}"
    return SourceFault(group.source.name, f"{place}: {should}", quoted=value, column=column.name)


def _check_by_duckdb(group: Group, cursor: "duckdb.DuckDBPyConnection") -> None:
    """Raise SourceFault for the first inexact value that Polars reads as another, exact one."""
    import duckdb

    options = "filename = '__file', file_row_number = true, hive_partitioning = false"
    for column in group.source.columns:
        if not (wrong := _wrong_to_duckdb(column, group.stored[column.name])):
            continue
        value = f"cast({identifier(column.name)} as varchar)"
        query = (
            f"select __file, file_row_number, {value} "
            f"from read_parquet({source_files(group.paths)}, {options}) where {wrong} limit 1"
        )
        try:
            rows = cursor.execute(query).fetchall()
        except duckdb.Error as error:
            _raise_unreadable(group, str(error).partition("\n")[0])
            for file in group.paths:
                _check_by_duckdb(replace(group, paths=(file,)), cursor)
            raise
        for file, index, text in rows:
            raise _fault(group, Path(file), index + 1, column, text)


def _wrong_to_duckdb(column: Column, stored: "pl.DataType") -> str:
    """Return the condition in DuckDB of a value that the declared type cannot hold exactly.

    Returns '' for columns of which Polars finds such values.
    """
    name = identifier(column.name)
    if column.type == "TIME":
        # Polars reads 24:00:00 as null, and nanoseconds of another type as microseconds.
        nanoseconds = f"epoch_ns(cast({name} as TIME_NS))"
        return f"{nanoseconds} % 1000 <> 0 or {nanoseconds} >= {_DAY}"
    if column.type == "TIMESTAMP_NS" and getattr(stored, "time_unit", "") == "ns":
        # INT96, which DuckDB reads as microseconds.
        return f"{name} is not null and typeof({name}) <> 'TIMESTAMP_NS'"
    return ""


def _is_exact(column: Column, stored: "pl.DataType") -> "pl.Expr | None":
    """Return the condition that the declared type holds a value exactly; None if it holds all."""
    import polars as pl

    want, value = of_column(column), pl.col(column.name)
    if isinstance(stored, pl.Datetime) and isinstance(want, pl.Datetime):
        return _is_exact_time(value.to_physical(), stored.time_unit, want.time_unit)
    if isinstance(want, pl.Enum):
        return value.cast(pl.String).is_in(want.categories.to_list())
    is_number = stored.is_integer() or stored.is_decimal()
    if stored == want or not is_number or _is_wider(stored, want):
        return None
    return value.cast(want, strict=False).is_not_null()


def _is_exact_time(number: "pl.Expr", have: str, want: str) -> "pl.Expr | None":
    """Return the condition that a number of one unit is exact in another, and in DuckDB's `us`.

    Returns None if every number has.
    """
    if _PER_SECOND[have] > _PER_SECOND[want]:
        return number % (_PER_SECOND[have] // _PER_SECOND[want]) == 0
    finest = max(_PER_SECOND[want], _PER_SECOND["us"])
    most = _LARGEST // (finest // _PER_SECOND[have])
    return None if most == _LARGEST or have == want == "ns" else number.is_between(-most, most)


def _is_wider(stored: "pl.DataType", want: Any) -> bool:
    import polars as pl

    if isinstance(stored, pl.Decimal):
        fits = want.precision - want.scale >= stored.precision - stored.scale
        return bool(fits and want.scale >= stored.scale)
    if want.is_decimal():
        return False
    (stored_least, stored_most), (least, most) = _bounds(stored), _bounds(want)
    return least <= stored_least and stored_most <= most


def _bounds(integer: Any) -> tuple[int, int]:
    """Return the least and the largest number of an integer type."""
    import polars as pl

    row = pl.select(low=integer.min(), high=integer.max()).row(0)
    return int(row[0]), int(row[1])


def _moment(number: int, stored: Any) -> str:
    """Return the text of a time, with all digits of its unit."""
    seconds, fraction = divmod(number, _PER_SECOND[stored.time_unit])
    zone = " UTC" if stored.time_zone else ""
    try:
        second = datetime(1970, 1, 1) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{number} {stored.time_unit} after 1970{zone}"
    digits = len(str(_PER_SECOND[stored.time_unit])) - 1
    return f"{second}.{fraction:0{digits}d}{zone}"
