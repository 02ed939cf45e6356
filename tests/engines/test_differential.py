"""What a source hands over is what it declares, or an error: an SQL query, a function and a reader that is not ours agree.

Every type that a file can hold is declared as every type that a source can have; the values are the odd ones. A value
that is handed over is exactly the one in the file, whoever reads it; otherwise the error names the file and the column.
`ASSAY_DIFFERENTIAL=1` tries every value on its own.
"""

import datetime as dt
import math
import os
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.build.error_text import describe_error
from assay.engines.duckdb import DuckDB
from assay.engines.formats.inspect import inspect
from assay.engines.make import LAZY_FRAME, Recipe, make
from assay.engines.tables import InputFiles, StoredTable
from assay.engines.types import of_column, source_column
from assay.errors import SourceFault
from assay.model import Code, Contract, Kind, Product, Source, Where

LARGE = bool(os.environ.get("ASSAY_DIFFERENTIAL"))
HERE = Where("products/sales.py", 1)

# ------------------------------------------------------------------------------------------- the two engines


class Bench:
    """A DuckDB instance and a folder; reads a source through an SQL product and through a function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = DuckDB([folder], folder / "spill")
        self.handed: dict[str, Any] = {}

    def both(self, source: Source, files: Sequence[Path]) -> list[pa.Table | str]:
        """Return what each engine hands over: a table of what was stored, or the words of the error."""
        return [self._read(source, files, by_function=by_function) for by_function in (False, True)]

    def _read(self, source: Source, files: Sequence[Path], *, by_function: bool) -> pa.Table | str:
        target = self.folder / "result.parquet"
        target.unlink(missing_ok=True)
        product = Product(
            name="d.p",
            where=HERE,
            kind=Kind.FUNCTION if by_function else Kind.SQL,
            code=Code(digest=""),
            contract=Contract(digest=""),
            owner="o",
            sql="select * from s",
        )
        recipe = (
            Recipe(function=self._function, handovers={"s": LAZY_FRAME}) if by_function else None
        )
        source_files = InputFiles(
            alias="s",
            name="d.s",
            table=StoredTable(tuple(files)),
            source=source,
            root=str(self.folder),
        )
        try:
            inspect(source_files, files, self.engine)
            make(product, recipe, [source_files], target, self.engine)
        except SourceFault as error:
            return error.text(shown=True)
        except Exception as error:
            failed = describe_error(error, str(self.folder), product)
            return f"{failed.error}\n{failed.detail}"
        return pl.read_parquet(target).to_arrow()

    def _function(self, s: pl.LazyFrame) -> pl.LazyFrame:
        self.handed = dict(s.collect_schema())
        return s


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = Bench(tmp_path_factory.mktemp("bench"))
    yield made
    made.engine.close()


def source_of(format: str, **columns: Any) -> Source:
    declared = tuple(source_column(name, dtype) for name, dtype in columns.items())
    assert all(declared), columns
    return Source(name="d.s", where=HERE, pattern=f"in.{format}", format=format, columns=declared)


# ------------------------------------------------------------------------------------------- values, plainly


def plain(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column so that equal ones are equal, whatever type they are stored as."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    type = column.type
    if type == pa.date64():
        column, type = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_timestamp(type):
        many = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[type.unit]
        kind = "moment" if type.tz else "time without a zone"
        return [
            None if n is None else (kind, n * many) for n in column.cast(pa.int64()).to_pylist()
        ]
    if pa.types.is_time(type):
        many = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[type.unit]
        whole = column.cast(pa.int32() if type.bit_width == 32 else pa.int64())
        return [None if n is None else ("time of a day", n * many) for n in whole.to_pylist()]
    if pa.types.is_date(type):
        return [None if n is None else ("day", n) for n in column.cast(pa.int32()).to_pylist()]
    return [_plain(value) for value in column.to_pylist()]


def _plain(value: Any) -> Any:
    match value:
        case bool() | None | str() | bytes():
            return value
        case UUID():
            return value.bytes
        case float() if not math.isfinite(value) or repr(value) == "-0.0":
            return repr(value)
        case int() | float() | Decimal():
            return Fraction(value)
    return (type(value).__name__, value)


# ------------------------------------------------------------------------------------------- Parquet

US = [0, -1, 1_704_067_199_999_999, -62_135_596_800_000_000, 253_402_300_799_999_999]
NS = [0, -1000, 1_704_067_199_999_999_000, -(2**62) // 1000 * 1000]
NS_ODD = [1_704_067_199_999_999_999, -1, 2**63 - 1]
MS = [0, -1, 1_704_067_199_999, 253_402_300_799_999]
INTS = [
    0,
    1,
    -1,
    127,
    128,
    -128,
    255,
    256,
    32_768,
    2**31 - 1,
    2**31,
    -(2**31),
    2**53 + 1,
    2**63 - 1,
    -(2**63),
]


def integers(type: pa.DataType, least: int, most: int) -> tuple[pa.DataType, list[int]]:
    return type, [n for n in [*INTS, most, least] if least <= n <= most]


STORED: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int8": integers(pa.int8(), -128, 127),
    "int32": integers(pa.int32(), -(2**31), 2**31 - 1),
    "int64": integers(pa.int64(), -(2**63), 2**63 - 1),
    "uint8": integers(pa.uint8(), 0, 255),
    "uint64": integers(pa.uint64(), 0, 2**64 - 1),
    "bool": (pa.bool_(), [True, False]),
    "float16": (pa.float16(), [1.5, float("nan")]),
    "float": (pa.float32(), [1.5, -0.0, float("nan"), float("inf"), 3.0e38]),
    "double": (
        pa.float64(),
        [1.5, 2.0, 0.1, -0.0, float("nan"), float("inf"), -float("inf"), 1e300, 2.0**53],
    ),
    "decimal": (pa.decimal128(10, 2), [Decimal("1.25"), Decimal("-0.01"), Decimal("99999999.99")]),
    "wide decimal": (pa.decimal128(38, 0), [Decimal(1), Decimal(10**37)]),
    "too wide decimal": (pa.decimal256(50, 2), [Decimal("1.25")]),
    "text": (pa.string(), ["a", "", "A", "b c", "é", "1", "a\0b", "NULL"]),
    "large text": (pa.large_string(), ["a", "b"]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["a", "b", "zz"]),
    "bytes": (pa.binary(), [b"a", b"", b"\xff\0"]),
    "fixed bytes": (pa.binary(2), [b"ab"]),
    "uuid": (pa.uuid(), [b"0123456789abcdef"]),
    "date": (pa.date32(), [dt.date(1, 1, 1), dt.date(2024, 2, 29), dt.date(9999, 12, 31)]),
    "date in ms": (pa.date64(), [dt.date(2024, 2, 29)]),
    "time in us": (pa.time64("us"), [0, 1, 86_399_999_999, 86_400_000_000]),
    "time in ns": (pa.time64("ns"), [0, 1_000, 1_234_567]),
    "time in ms": (pa.time32("ms"), [0, 1]),
    "s": (pa.timestamp("s"), [0, 1_704_067_199]),
    "ms": (pa.timestamp("ms"), [*MS, 2**62]),
    "us": (pa.timestamp("us"), US),
    "ns": (pa.timestamp("ns"), [*NS, *NS_ODD]),
    "ms of UTC": (pa.timestamp("ms", "UTC"), [*MS, -(2**62)]),
    "us of UTC": (pa.timestamp("us", "UTC"), US),
    "us of Berlin": (pa.timestamp("us", "Europe/Berlin"), US),
    "ns of UTC": (pa.timestamp("ns", "UTC"), [*NS, *NS_ODD]),
    "ns of an offset": (pa.timestamp("ns", "+02:00"), NS),
    "duration": (pa.duration("us"), [1]),
    "nothing": (pa.null(), [None]),
}
DECLARED: dict[str, Any] = {
    "tinyint": pl.Int8,
    "integer": pl.Int32,
    "bigint": pl.Int64,
    "utinyint": pl.UInt8,
    "uinteger": pl.UInt32,
    "ubigint": pl.UInt64,
    "boolean": pl.Boolean,
    "float": pl.Float32,
    "double": pl.Float64,
    "decimal(10,2)": pl.Decimal(10, 2),
    "decimal(4,2)": pl.Decimal(4, 2),
    "decimal(38,4)": pl.Decimal(38, 4),
    "decimal(18,1)": pl.Decimal(18, 1),
    "varchar": pl.String,
    "categorical": pl.Categorical,
    "enum": pl.Enum(["b", "a", "", "it's, (so)"]),
    "blob": pl.Binary,
    "date": pl.Date,
    "time": pl.Time,
    "timestamp": pl.Datetime,
    "timestamp_ms": pl.Datetime("ms"),
    "timestamp_ns": pl.Datetime("ns"),
    "timestamptz": pl.Datetime("us", "UTC"),
    "of Berlin": pl.Datetime("us", "Europe/Berlin"),
    "ms of UTC": pl.Datetime("ms", "UTC"),
    "ns of New York": pl.Datetime("ns", "America/New_York"),
}
# What has to be handed over: which stored type is which declared ones, of the values that those can hold.
KIN = {
    "int8": "tinyint|integer|bigint|utinyint|ubigint|decimal(10,2)",
    "int32": "integer|bigint|tinyint|decimal(10,2)",
    "int64": "bigint|integer|ubigint",
    "uint8": "utinyint|integer",
    "uint64": "ubigint|bigint",
    "bool": "boolean",
    "float": "float|double",
    "double": "double",
    "decimal": "decimal(10,2)|decimal(38,4)",
    "text": "varchar|categorical|enum",
    "dictionary": "varchar|categorical|enum",
    "bytes": "blob",
    "date": "date",
    "time in us": "time",
    "time in ns": "time",
    "time in ms": "time",
    "s": "timestamp",
    "ms": "timestamp|timestamp_ms",
    "us": "timestamp",
    "ns": "timestamp|timestamp_ns",
    "us of UTC": "timestamptz",
    "ms of UTC": "timestamptz",
    "us of Berlin": "timestamptz|of Berlin",
    "ns of UTC": "timestamptz|ns of New York",
    "ns of an offset": "of Berlin",
}


def written(
    folder: Path, type: pa.DataType, values: Sequence[Any], *, int96: bool = False
) -> tuple[Path, pa.Table]:
    file = folder / "in.parquet"
    table = pa.table({"x": pa.array([*values, None], type)})
    pq.write_table(table, file, use_deprecated_int96_timestamps=int96, store_schema=not int96)
    return file, table


@pytest.mark.parametrize("stored", STORED)
def test_parquet(bench: Bench, stored: str) -> None:
    type, values = STORED[stored]
    kin, number = KIN.get(stored, "").split("|"), list(STORED).index(stored)
    assert set(kin) <= {"", *DECLARED}
    for index, (declared, dtype) in enumerate(DECLARED.items()):
        if not LARGE and declared not in kin and (index + number) % 5:
            continue
        may_hold = _agree(bench, type, [], dtype)
        assert may_hold or declared not in kin, (stored, declared)
        if not _agree(bench, type, values, dtype) and (LARGE or may_hold):
            good = [value for value in values if _agree(bench, type, [value], dtype)]
            assert len(good) <= 1 or _agree(bench, type, good, dtype), (declared, good)


@pytest.mark.parametrize("declared", ["timestamp", "timestamp_ms", "timestamp_ns"])
def test_times_as_spark_writes_them(bench: Bench, declared: str) -> None:
    """INT96 tells more than nanoseconds can, and Polars takes it for nanoseconds."""
    for values, good in (
        (
            [dt.datetime(9999, 12, 31), dt.datetime(1, 1, 1), dt.datetime(2024, 1, 1)],
            declared != "timestamp_ns",
        ),
        ([dt.datetime(2024, 1, 1, microsecond=7)], declared == "timestamp"),
    ):
        assert _agree(bench, pa.timestamp("us"), values, DECLARED[declared], int96=True) is good, (
            values
        )
    for odd in (2**63 - 1, 1):
        assert not _agree(bench, pa.timestamp("ns"), [odd], DECLARED[declared], int96=True)


def _agree(
    bench: Bench, type: pa.DataType, values: Sequence[Any], dtype: Any, *, int96: bool = False
) -> bool:
    """Say whether both engines hand these values over; fails where they differ, or change one."""
    file, table = written(bench.folder, type, values, int96=int96)
    bench.handed = {}
    by_sql, by_function = bench.both(source_of("parquet", x=dtype), [file])
    about = (str(type), str(dtype), values, by_sql, by_function)
    assert isinstance(by_sql, str) == isinstance(by_function, str), about
    if isinstance(by_sql, str):
        for words in (by_sql, by_function):
            assert "in.parquet" in words, about
            assert "'x'" in words, about
        return False
    [column] = source_of("parquet", x=dtype).columns
    assert bench.handed["x"] == of_column(column), about
    assert plain(by_sql["x"]) == plain(by_function["x"]) == plain(table["x"]), about
    return True
