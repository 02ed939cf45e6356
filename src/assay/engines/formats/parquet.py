"""Parquet files that are not ours: each declared column as exactly its declared type, or an error that says why not.

`by_schema` looks at types each time files are read, `inspect` at values, once for each file.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from assay.engines.formats.pathcolumns import by_path
from assay.engines.quoting import identifier, source_files
from assay.engines.tables import InputFiles
from assay.engines.types import exact, from_polars, of_column
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
    """Parquet files of a source that store each declared column (by name) as the same type."""

    files: InputFiles
    paths: tuple[Path, ...]
    stored: Mapping[str, Any]

    @property
    def source(self) -> Source:
        """What is declared of the files."""
        assert self.files.source is not None
        return self.files.source

    def scan(self, types: Mapping[str, Any], file_column: str | None = None) -> "pl.LazyFrame":
        """Return the rows; columns whose `types` are not those stored, which are nanoseconds, as microseconds."""
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

        What Spark writes (INT96) seems to be nanoseconds to Polars, which cannot tell 9999-12-31. Microseconds can.
        """
        import polars as pl

        types = dict(self.stored)
        for column in self.source.columns:
            have, want = types[column.name], of_column(column)
            if (
                isinstance(have, pl.Datetime)
                and isinstance(want, pl.Datetime)
                and have.time_unit == "ns" != want.time_unit
            ):
                types[column.name] = pl.Datetime("us", have.time_zone)
        return types


def select(files: InputFiles) -> str:
    """Return the query that reads Parquet files of a source."""
    source = files.source
    assert source is not None
    named = ", ".join(
        f"cast({identifier(c.name)} as {c.type}) as {identifier(c.name)}" for c in source.columns
    )
    options = "filename = '__file', hive_partitioning = false"
    return " union all ".join(
        f"select {named}{by_path(files)} from read_parquet({source_files(group.paths)}, {options})"
        for group in by_schema(files, files.paths)
    )


def by_schema(files: InputFiles, paths: Sequence[Path]) -> list[Group]:
    """Return the Parquet files of a source in groups of one schema, so that no file's types are taken for another's.

    Raises SourceFault for a file that lacks a declared column, or has it in a type that is not what is declared.
    """
    assert files.source is not None
    of_types: dict[tuple[Any, ...], list[Path]] = {}
    for file in paths:
        of_types.setdefault(_stored_types(files, file), []).append(file)
    names = [column.name for column in files.source.columns]
    return [
        Group(files=files, paths=tuple(same), stored=dict(zip(names, types, strict=True)))
        for types, same in of_types.items()
    ]


def inspect(files: InputFiles, paths: Sequence[Path], cursor: "duckdb.DuckDBPyConnection") -> None:
    """Look at the values of files; raises SourceFault for the first that its declared type does not hold exactly."""
    for group in by_schema(files, paths):
        _check_values(group)
        _check_by_duckdb(group, cursor)


# ---------------------------------------------------------------------------------------------- types


def _stored_types(files: InputFiles, file: Path) -> tuple["pl.DataType", ...]:
    """Return the type of each declared column in a file; SourceFault with all that is wrong with them."""
    import polars as pl

    assert files.source is not None
    try:
        with file.open("rb") as content:  # letters of a path would be taken for wildcards
            schema = pl.read_parquet_schema(content)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceFault(
            files.source.name, f"{files.path_of(file)} cannot be read: {error}"
        ) from error
    if problems := [
        problem for column in files.source.columns if (problem := _problem(schema, column))
    ]:
        raise SourceFault(files.source.name, f"{files.path_of(file)} {'; and '.join(problems)}")
    return tuple(schema[column.name] for column in files.source.columns)


def _problem(schema: Mapping[str, "pl.DataType"], column: Column) -> str:
    """Return what is wrong with a declared column of a file; '' for nothing."""
    same = [name for name in schema if name.lower() == column.name.lower()]
    if len(same) > 1:
        return f"has the columns {' and '.join(map(repr, same))}: they differ by case alone, so SQL sees one column"
    should = f"should have a column {column.name!r} of type {column.logical or column.type}"
    if column.name not in schema:
        return f"{should}; it is not there; it has {', '.join(schema)}"
    stored = schema[column.name]
    return "" if _may_be(stored, column) else f"{should}; it is {from_polars(stored) or stored}"


def _may_be(stored: "pl.DataType", column: Column) -> bool:
    """Say whether values stored as one type can be those of a declared column, each of them exactly."""
    import polars as pl

    want, have = of_column(column), from_polars(stored) or ""
    if isinstance(stored, pl.Datetime) and isinstance(want, pl.Datetime):
        return bool(stored.time_zone) == bool(want.time_zone)
    if isinstance(want, pl.Enum) or column.type == "VARCHAR":
        return type(stored).__name__ in (*_TEXTS, "Null")
    if (
        isinstance(stored, pl.Decimal) and stored.precision > 38
    ):  # DuckDB would take it for a DOUBLE
        return False
    return have == column.type or exact(have, column.type)


# ---------------------------------------------------------------------------------------------- values


def _check_values(group: Group) -> None:
    """Raise SourceFault for the first value that its declared type does not hold exactly."""
    if not (file := _file_of_wrong(group, group.stored)):
        return
    if group.read_as == group.stored:
        raise _first_wrong(group, file, group.stored)
    # To Polars, what nanoseconds cannot tell is the largest number of them: it is looked at in microseconds.
    for types in (group.stored, group.read_as):
        if file := _file_of_wrong(group, types, but_largest=True):
            raise _first_wrong(group, file, types, but_largest=True)


def _wrong(
    group: Group, types: Mapping[str, Any], *, but_largest: bool = False
) -> dict[str, "pl.Expr"]:
    """Return, by column, what is true of values that are not exactly of the declared type; only where some may be."""
    import polars as pl

    found = {}
    for column in group.source.columns:
        value, have = pl.col(column.name), types[column.name]
        kept = _kept(column, have)
        if but_largest and have != group.read_as[column.name]:
            assert kept is not None
            kept |= value.to_physical() == _LARGEST
        elif but_largest and have != group.stored[column.name]:
            in_time = value.to_physical() != _LARGEST // 1000
            kept = in_time if kept is None else kept & in_time
        if kept is not None:
            found[column.name] = value.is_not_null() & ~kept
    return found


def _file_of_wrong(
    group: Group, types: Mapping[str, Any], *, but_largest: bool = False
) -> Path | None:
    """Return the first file with a value that its declared type does not hold exactly."""
    import polars as pl

    wrong = _wrong(group, types, but_largest=but_largest)
    if not wrong:
        return None
    frame = (
        group.scan(types, _FILE).filter(pl.any_horizontal([*wrong.values()])).select(_FILE).head(1)
    )
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
    """Raise SourceFault for a file that cannot be read; where there are several, it is not known yet which it is."""
    if len(group.paths) == 1:
        raise SourceFault(
            group.source.name, f"{group.files.path_of(group.paths[0])} cannot be read: {error}"
        )


def _first_wrong(
    group: Group, file: Path, types: Mapping[str, Any], *, but_largest: bool = False
) -> SourceFault:
    """Return what to say of the first value in a file that its declared type does not hold exactly."""
    import polars as pl

    frame = replace(group, paths=(file,)).scan(types).with_row_index(_FILE, 1)
    declared = {column.name: column for column in group.source.columns}
    for name, wrong in _wrong(group, types, but_largest=but_largest).items():
        is_time = types[name].is_temporal()
        value = pl.col(name).to_physical() if is_time else pl.col(name)
        for row, found in frame.filter(wrong).select(_FILE, value).head(1).collect().rows():
            return _fault(
                group,
                file,
                row,
                declared[name],
                _moment(found, types[name]) if is_time else repr(found),
            )
    return SourceFault(
        group.source.name, f"{group.files.path_of(file)} was replaced while it was being read"
    )


def _fault(group: Group, file: Path, row: int, column: Column, value: str) -> SourceFault:
    place = f"{group.files.path_of(file)}, row {row}"
    should = f"column {column.name!r} should be {column.logical or column.type}"
    return SourceFault(group.source.name, f"{place}: {should}", quoted=value, column=column.name)


def _check_by_duckdb(group: Group, cursor: "duckdb.DuckDBPyConnection") -> None:
    """Raise SourceFault for the first value that Polars does not read as it is, so that it cannot be asked."""
    import duckdb

    options = "filename = '__file', file_row_number = true, hive_partitioning = false"
    for column in group.source.columns:
        if not (wrong := _wrong_to_duckdb(column, group.stored[column.name])):
            continue
        read = f"read_parquet({source_files(group.paths)}, {options})"
        value = f"cast({identifier(column.name)} as varchar)"
        try:
            rows = cursor.execute(
                f"select __file, file_row_number, {value} from {read} where {wrong} limit 1"
            ).fetchall()
        except duckdb.Error as error:
            _raise_unreadable(group, str(error).partition("\n")[0])
            for file in group.paths:
                _check_by_duckdb(replace(group, paths=(file,)), cursor)
            raise
        for file, before, found in rows:
            raise _fault(group, Path(file), before + 1, column, found)


def _wrong_to_duckdb(column: Column, stored: "pl.DataType") -> str:
    """Return what is true in DuckDB of values that are not exactly of the declared type; '' where Polars can tell."""
    name = identifier(column.name)
    if (
        column.type == "TIME"
    ):  # Polars reads 24:00:00 as null, and nanoseconds as microseconds of another type
        nanoseconds = f"epoch_ns(cast({name} as TIME_NS))"
        return f"{nanoseconds} % 1000 <> 0 or {nanoseconds} >= {_DAY}"
    if column.type == "TIMESTAMP_NS" and getattr(stored, "time_unit", "") == "ns":
        return f"{name} is not null and typeof({name}) <> 'TIMESTAMP_NS'"  # INT96, of which DuckDB reads microseconds
    return ""


def _kept(column: Column, stored: "pl.DataType") -> "pl.Expr | None":
    """Return what is true of values that the declared type holds exactly; None where that is every value."""
    import polars as pl

    want, value = of_column(column), pl.col(column.name)
    if isinstance(stored, pl.Datetime) and isinstance(want, pl.Datetime):
        return _kept_moment(value.to_physical(), stored.time_unit, want.time_unit)
    if isinstance(want, pl.Enum):
        return value.cast(pl.String).is_in(want.categories.to_list())
    if (
        stored == want
        or not (stored.is_integer() or stored.is_decimal())
        or _is_wider(stored, want)
    ):
        return None
    return value.cast(want, strict=False).is_not_null()


def _kept_moment(number: "pl.Expr", have: str, want: str) -> "pl.Expr | None":
    """Return what is true of the numbers of a unit that are moments in another one, and to DuckDB (`us`), too."""
    if _PER_SECOND[have] > _PER_SECOND[want]:
        return number % (_PER_SECOND[have] // _PER_SECOND[want]) == 0
    finest = max(_PER_SECOND[want], _PER_SECOND["us"])
    most = _LARGEST // (finest // _PER_SECOND[have])
    return None if most == _LARGEST or have == want == "ns" else number.is_between(-most, most)


def _is_wider(stored: "pl.DataType", want: Any) -> bool:
    import polars as pl

    if isinstance(stored, pl.Decimal):
        whole = want.precision - want.scale >= stored.precision - stored.scale
        return bool(whole and want.scale >= stored.scale)
    if want.is_decimal():
        return False
    (low, high), (least, most) = _bounds(stored), _bounds(want)
    return least <= low and high <= most


def _bounds(integer: Any) -> tuple[int, int]:
    """Return the least and the largest number of a type of whole numbers."""
    import polars as pl

    row = pl.select(low=integer.min(), high=integer.max()).row(0)
    return int(row[0]), int(row[1])


def _moment(number: int, stored: Any) -> str:
    """Return a moment with all its digits, however many there are."""
    seconds, rest = divmod(number, _PER_SECOND[stored.time_unit])
    zone = " UTC" if stored.time_zone else ""
    try:
        whole = datetime(1970, 1, 1) + timedelta(seconds=seconds)
    except OverflowError:
        return f"{number} {stored.time_unit} after 1970{zone}"
    digits = len(str(_PER_SECOND[stored.time_unit])) - 1
    return f"{whole}.{rest:0{digits}d}{zone}"
