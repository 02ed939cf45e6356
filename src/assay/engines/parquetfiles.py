"""Parquet files that are not ours: each declared column as exactly its declared type, or an error that says why not."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.engines.feed import Feed
from assay.engines.pathcolumns import by_path
from assay.engines.quoting import identifier, literal, source_files
from assay.engines.types import exact, from_polars, of_column
from assay.errors import BuildError
from assay.model import Column, Source

if TYPE_CHECKING:
    import polars as pl

_FILE = "__file_of_the_row"
_PER_SECOND = {"ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_LARGEST = 2**63 - 1
_TEXTS = ("String", "Categorical", "Enum")
_DAY = 86_400 * _PER_SECOND["ns"]


def select(feed: Feed) -> str:
    """Return the query that reads Parquet files of a source."""
    source = feed.source
    assert source is not None
    named = ", ".join(f"{_value(source, c)} as {identifier(c.name)}" for c in source.columns)
    options = "filename = '__file', hive_partitioning = false"
    return " union all ".join(
        f"select {named}{by_path(feed)} from read_parquet({source_files(files)}, {options})"
        for files in by_schema(source, feed.files)
    )


def _value(source: Source, column: Column) -> str:
    name = identifier(column.name)
    value = f"cast({name} as {column.type})"
    if column.type != "TIME":
        return value
    # Polars reads what is no time of a day as null, so times are checked here.
    told = f"{source.name}: column {column.name!r} should be TIME, to the microsecond, and a file has "
    wrong = f"error({literal(told)} || {name} || ' (in ' || __file || ')')"
    nanoseconds = f"epoch_ns(cast({name} as TIME_NS))"
    return f"case when {nanoseconds} % 1000 <> 0 or {nanoseconds} >= {_DAY} then {wrong} else {value} end"


def alike(source: Source) -> bool:
    """Say whether Polars reads every value of a source's Parquet files as DuckDB does."""
    return source.format == "parquet" and all(column.type != "TIME" for column in source.columns)


def by_schema(source: Source, files: Sequence[Path]) -> list[list[Path]]:
    """Return the Parquet files of a source in groups of one schema, so that no file's types are taken for another's.

    Raises BuildError for a file that lacks a declared column, has it in a type that is not what is declared, or holds
    a value that the declared type cannot hold exactly.
    """
    groups: dict[tuple[Any, ...], list[Path]] = {}
    for file in files:
        groups.setdefault(_stored_types(source, file), []).append(file)
    for types, group in groups.items():
        kept = {
            c.name: kept for c, have in zip(source.columns, types, strict=True) if (kept := _kept(c, have)) is not None
        }
        if kept:
            _check_values(source, group, kept)
    return list(groups.values())


# ---------------------------------------------------------------------------------------------- types


def _stored_types(source: Source, file: Path) -> tuple["pl.DataType", ...]:
    """Return the type of each declared column in a file; BuildError with all that is wrong with them."""
    import polars as pl

    try:
        with file.open("rb") as content:  # letters of a path would be taken for wildcards
            schema = pl.read_parquet_schema(content)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BuildError(f"{source.name}: cannot read {file.name!r}: {error}") from error
    if problems := [problem for column in source.columns if (problem := _problem(schema, column))]:
        raise BuildError(f"{source.name}: {file.name!r} {'; and '.join(problems)}")
    return tuple(schema[column.name] for column in source.columns)


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
    if isinstance(stored, pl.Decimal) and stored.precision > 38:  # DuckDB would take it for a DOUBLE
        return False
    return have == column.type or exact(have, column.type)


# ---------------------------------------------------------------------------------------------- values


def _kept(column: Column, stored: "pl.DataType") -> "pl.Expr | None":
    """Return what is true of values that the declared type holds exactly; None where that is every value."""
    import polars as pl

    want, value = of_column(column), pl.col(column.name)
    if isinstance(stored, pl.Datetime) and isinstance(want, pl.Datetime):
        return _kept_moment(value.to_physical(), stored.time_unit, want.time_unit)
    if isinstance(want, pl.Enum):
        return value.cast(pl.String).is_in(want.categories.to_list())
    if stored == want or not (stored.is_integer() or stored.is_decimal()) or _is_wider(stored, want):
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


def _check_values(source: Source, files: Sequence[Path], kept: Mapping[str, "pl.Expr"]) -> None:
    """Raise BuildError for the first value that its declared type does not hold exactly."""
    import polars as pl

    wrong = pl.any_horizontal([pl.col(name).is_not_null() & ~expression for name, expression in kept.items()])
    frame = pl.scan_parquet([*files], glob=False, hive_partitioning=False, include_file_paths=_FILE)
    try:
        found = frame.filter(wrong).select(_FILE).head(1).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        if len(files) == 1:
            raise BuildError(f"{source.name}: cannot read {files[0].name!r}: {error}") from error
        for file in files:
            _check_values(source, [file], kept)
        raise
    for path in found.get_column(_FILE):
        raise BuildError(f"{source.name}: {_first_wrong(source, Path(path), kept)}")


def _first_wrong(source: Source, file: Path, kept: Mapping[str, "pl.Expr"]) -> str:
    """Return where in a file the first value is that its declared type does not hold, and what it is."""
    import polars as pl

    frame = pl.scan_parquet(file, glob=False, hive_partitioning=False).select(*kept)
    types = frame.collect_schema()
    for column in source.columns:
        if column.name not in kept:
            continue
        value = pl.col(column.name)
        number = value.to_physical() if types[column.name].is_temporal() else value
        chosen = frame.with_row_index("row", 1).filter(value.is_not_null() & ~kept[column.name])
        for row, wrong in chosen.select("row", number).head(1).collect().rows():
            shown = _moment(wrong, types[column.name]) if types[column.name].is_temporal() else repr(wrong)
            should = f"column {column.name!r} should be {column.logical or column.type}"
            return f"{file.name!r}, row {row}: {should}; it is {shown}"
    return f"{file.name!r} was replaced while it was being read"


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
