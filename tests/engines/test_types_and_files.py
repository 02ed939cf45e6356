"""Reading and storing exactly: one value for all engines, nothing lost or changed on the way."""

import datetime as dt
import errno
import os
from pathlib import Path

import duckdb as library
import polars as pl
import pytest

from assay.engines import damage as blame
from assay.engines import duckdb, polars
from assay.engines.duckdb import DuckDB
from assay.engines.measure import measure
from assay.engines.sql import reader as sql
from assay.engines.sql.parser import PARSER
from assay.engines.tables import InputFiles, Origin, StoredTable
from assay.engines.types import (
    casts,
    exact,
    from_polars,
    from_sql,
    has_same_type_in_duckdb,
    storable,
    to_polars,
)
from assay.errors import TypeRefused
from tests.conftest import Place

ENGINES = {
    "sql": "sql_product('p', 'from s', owner='o')",
    "polars": "@product(owner='o')\ndef p(s): return s",
}

TEXTS = {
    "whole number with a fraction": ("pl.Int64", "1.5", None),
    "whole number in the manner of science": ("pl.Int64", "1e3", None),
    "whole number with a sign": ("pl.Int64", "+7", 7),
    "whole number too large": ("pl.Int8", "300", None),
    "decimal": ("pl.Decimal(18, 2)", "1.25", "1.25"),
    "decimal with zeros": ("pl.Decimal(18, 2)", "1.2500", "1.25"),
    "decimal that would be rounded": ("pl.Decimal(18, 2)", "1.255", None),
    "decimal without a whole part": ("pl.Decimal(18, 2)", "-.5", "-0.50"),
    "date": ("pl.Date", "2011-12-09", "2011-12-09"),
    "date the other way round": ("pl.Date", "13/12/2011", None),
    "moment": ("pl.Datetime", "2011-12-09 09:15:00", "2011-12-09 09:15:00"),
    "yes": ("pl.Boolean", "true", True),
    "text in quotes": ("pl.String", '" x"', " x"),
    "text of nothing, in quotes": ("pl.String", '""', ""),
    "text that says null, in quotes": ("pl.String", '"NA"', None.__class__),
    "text that says null": ("pl.String", "NA", None.__class__),
    "number that is not there": ("pl.Int64", "", None.__class__),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", TEXTS)
def test_text_is_read_to_one_value(place: Place, case: str, engine: str) -> None:
    dtype, text, expected = TEXTS[case]
    place.write("in/1.csv", f"k,x\n1,{text}\n")
    declared = f"columns={{'k': pl.Int64, 'x': {dtype}}}, null_values=['NA']"
    place.write(
        "products/sales.py",
        f"s = source.files('in/1.csv', {declared})\n{ENGINES[engine]}",
        header=True,
    )
    told = place.materialize()["sales.p"]
    if expected is None:
        assert told["result"] == "failed", place.query("from p")
    else:
        assert told["result"] == "published", told
        assert place.query("select x from p") == [
            {"x": None if expected is None.__class__ else expected}
        ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("stored", "dtype", "good"),
    [
        ([1.5, 2.5], "pl.Int64", False),
        ([1, 2], "pl.Float64", False),
        (["3"], "pl.Int64", False),
        ([1, 2], "pl.Int8", True),
        ([1, 300], "pl.Int8", False),
        ([dt.datetime(2011, 12, 9)], "pl.Datetime", True),
        ([dt.datetime(2011, 12, 9)], "pl.Date", False),
    ],
)
def test_parquet_is_read_exactly_or_not_at_all(
    place: Place, stored: list, dtype: str, good: bool, engine: str
) -> None:
    pl.DataFrame({"x": stored}).write_parquet(place.root / "data/1.parquet")
    place.write(
        "products/sales.py",
        f"s = source.files('data/*.parquet', columns={{'x': {dtype}}})\n{ENGINES[engine]}",
        header=True,
    )
    told = place.materialize()["sales.p"]
    assert told["result"] == ("published" if good else "failed"), told


@pytest.mark.parametrize("engine", ENGINES)
def test_files_of_different_types_are_not_taken_for_each_other(place: Place, engine: str) -> None:
    pl.DataFrame({"a": [1], "b": ["x"]}).write_parquet(place.root / "data/1.parquet")
    pl.DataFrame({"c": [9], "a": pl.Series([2], dtype=pl.Int8)}).write_parquet(
        place.root / "data/2.parquet"
    )
    place.write(
        "products/sales.py",
        f"s = source.files('data/*.parquet', columns={{'a': pl.Int64}})\n{ENGINES[engine]}",
        header=True,
    )
    assert place.materialize()["sales.p"]["result"] == "published"
    assert place.query("from p order by a") == [{"a": 1}, {"a": 2}]
    pl.DataFrame({"a": [2.6]}).write_parquet(place.root / "data/2.parquet")
    assert (
        "should have a column 'a' of type BIGINT; it is DOUBLE"
        in place.materialize()["sales.p"]["error"]
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_folders_mean_nothing(tmp_path: Path, engine: str) -> None:
    place = Place(tmp_path / "env=prod")
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("data/k=zzz/1.csv", "k\nreal\n")
    place.write(
        "products/sales.py",
        f"s = source.files('data/*/*.csv', columns={{'k': pl.String}})\n{ENGINES[engine]}",
        header=True,
    )
    place.materialize()
    assert place.query("from p") == [{"k": "real"}]


@pytest.mark.parametrize(
    "sql",
    [
        "select 1 as x, 2 as x",
        'select 1 as a, 2 as "A"',
        "select a.*, b.* from (select 1 as i) a, (select 2 as i) b",
    ],
)
def test_columns_that_cannot_be_told_apart_are_refused(place: Place, sql: str) -> None:
    place.write("products/sales.py", f"sql_product('p', '''{sql}''', owner='o')", header=True)
    assert "has more than one column" in place.materialize()["sales.p"]["error"]


@pytest.mark.parametrize(
    "made", ["pl.DataFrame({'a': [1], 'A': [2]})", "pl.DataFrame({'': [1]})", "pl.DataFrame()"]
)
def test_frames_that_cannot_be_stored_are_refused(place: Place, made: str) -> None:
    place.write(
        "products/sales.py", f"@product(owner='o')\ndef p(numbers): return {made}", header=True
    )
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "column" in told["error"]


CONTENTS = [
    pl.DataFrame({"x": [1, 2]}),
    pl.DataFrame({"x": [1, 2, 2]}),
    pl.DataFrame({"x": [1, None]}),
    pl.DataFrame({"x": [1, 0]}),
    pl.DataFrame({"x": [0.0, 1.0]}),
    pl.DataFrame({"x": [-0.0, 1.0]}),
    pl.DataFrame({"x": ["1", "2"]}),
    pl.DataFrame({"y": [1, 2]}),
    pl.DataFrame({"x": [1, 2], "y": [2, 1]}),
    pl.DataFrame({"x": [2, 1], "y": [2, 1]}),
    pl.DataFrame({"x": [[1], [2]]}),
    pl.DataFrame({"x": [[1, 2], []]}),
    pl.DataFrame({"x": [[1, 2], None]}),
    pl.DataFrame({"x": [{"a": None}]}, schema={"x": pl.Struct({"a": pl.Int64})}),
    pl.DataFrame({"x": [None]}, schema={"x": pl.Struct({"a": pl.Int64})}),
    pl.DataFrame({"x": [["a, b"]]}),
    pl.DataFrame({"x": [["a", "b"]]}),
    pl.DataFrame({"x": [dt.datetime(2020, 1, 1)]}, schema={"x": pl.Datetime("us", "UTC")}),
    pl.DataFrame({"x": [dt.datetime(2020, 1, 1)]}).select(
        pl.col("x").dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/London")
    ),
    pl.DataFrame({"x": ["a"]}, schema={"x": pl.Enum(["a", "b"])}),
    pl.DataFrame({"x": ["a"]}, schema={"x": pl.Enum(["b", "a"])}),
    pl.DataFrame({"x": ["a"]}),
]


def test_a_digest_tells_contents_apart_and_orders_alike(tmp_path: Path) -> None:
    from assay.engines.polars import stage

    engine = DuckDB([tmp_path], tmp_path / "spill")

    def digest(frame: pl.DataFrame) -> str:
        file = tmp_path / "f.parquet"
        types = stage(frame.lazy(), file, {})
        return measure(engine, file, types=types).digest

    digests = [digest(frame) for frame in CONTENTS]
    assert len(set(digests)) == len(CONTENTS)
    assert digest(CONTENTS[0].reverse()) == digests[0]
    big = pl.DataFrame({"x": range(100_000), "y": [str(n) for n in range(100_000)]})
    assert digest(big) == digest(big.sample(fraction=1, shuffle=True, seed=1))
    engine.close()


def test_the_digest_does_not_depend_on_the_layout_of_the_file(tmp_path: Path) -> None:
    engine = DuckDB([tmp_path], tmp_path / "spill")
    frame = pl.DataFrame({"x": range(10_000)})
    digests = set()
    for size, compression in ((100, "snappy"), (5_000, "zstd"), (20_000, "uncompressed")):
        frame.write_parquet(tmp_path / "f.parquet", row_group_size=size, compression=compression)
        digests.add(measure(engine, tmp_path / "f.parquet").digest)
    assert len(digests) == 1
    engine.close()


SPELLED = [
    pl.Int8,
    pl.UInt64,
    pl.Float32,
    pl.String,
    pl.Binary,
    pl.Date,
    pl.Time,
    pl.Boolean,
    pl.Decimal(18, 2),
    pl.Datetime("us"),
    pl.Datetime("ns"),
    pl.Datetime("us", "UTC"),
    pl.List(pl.Int64),
    pl.List(pl.List(pl.String)),
    pl.Struct({"a": pl.Int64, 'b "c", (d': pl.List(pl.Date)}),
]


@pytest.mark.parametrize("dtype", SPELLED, ids=str)
def test_types_are_spelled_there_and_back(dtype) -> None:
    spelled = from_polars(dtype)
    assert spelled is not None
    assert storable(spelled)
    assert to_polars(spelled) == dtype
    assert has_same_type_in_duckdb(dtype)


@pytest.mark.parametrize(
    "text",
    [
        "bool",
        "int1",
        "int2",
        "short",
        "int",
        "int4",
        "signed",
        "int8",
        "long",
        "float4",
        "real",
        "float8",
        "text",
        "double precision",
        "string",
        "char",
        "bytea",
        "binary",
        "varbinary",
        "datetime",
        "timestamptz",
        "timestamp_ms",
        "timestamp_ns",
        "time",
        "date",
        "ubigint",
        "Timestamp  with time zone",
        "NUMERIC( 18 ,2)",
        "decimal(5)",
    ],
)
def test_types_of_sql_are_spelled_as_duckdb_does_and_polars_has_them(text: str) -> None:
    spelled = from_sql(text)
    engine = DuckDB([], Path())
    with engine.cursor() as cursor:
        assert spelled == str(cursor.sql(f"select null::{text} as x").types[0])
    engine.close()
    assert from_polars(to_polars(spelled)) == spelled


@pytest.mark.parametrize(
    "text", ["", "hugeint", "decimal", "decimal(39,2)", "decimal(2,3)", "varchar(9)", "a; b", "x[]"]
)
def test_texts_that_are_no_types(text: str) -> None:
    assert from_sql(text) is None


@pytest.mark.parametrize(
    "dtype",
    [pl.Enum(["a"]), pl.Categorical(), pl.Datetime("us", "Europe/London"), pl.Array(pl.Int64, 2)],
)
def test_types_that_are_not_told_in_full(dtype) -> None:
    assert not has_same_type_in_duckdb(dtype)


def test_casts() -> None:
    assert casts(
        {"a": "HUGEINT", "b": "INTEGER", "c": "VARCHAR"}, {"a": "BIGINT", "b": "BIGINT"}
    ) == {
        "a": "BIGINT",
        "b": "BIGINT",
    }
    assert casts({"a": "DOUBLE"}, {"a": "BIGINT"}) == {}, "it is left to the rule to say so"
    assert exact("DECIMAL(18,2)", "DECIMAL(18,4)")
    assert not exact("DECIMAL(18,4)", "DECIMAL(18,2)")
    assert not storable("STRUCT(t TIME WITH TIME ZONE)")
    assert not storable("MAP(VARCHAR, HUGEINT)")
    assert not storable("INTEGER[3]")
    assert storable('STRUCT("UUID" VARCHAR, "a, b" DECIMAL(18,2)[])')
    with pytest.raises(TypeRefused, match=r"column a is UUID; column b|column a is UUID"):
        casts({"a": "UUID", "b": "BIT"}, {})


def test_moments_with_a_zone(place: Place) -> None:
    place.write(
        "products/sales.py",
        "@product(owner='o', event_time='t', rules=[rule.sql('r', 'select t from this', severity='warning')])\n"
        "def p(numbers): return pl.LazyFrame({'t': ['2011-12-09 09:15']}).select(pl.col('t').str.to_datetime().dt.replace_time_zone('UTC'))",
        header=True,
    )
    told = place.materialize()["sales.p"]
    assert told["result"] == "published", told
    assert told["data_as_of"].startswith("2011-12-09T09:15")
    assert place.run("show", "p").code == 0
    assert place.run("query", "select t, now() from p").code == 0


WRITTEN = {
    "BOOLEAN": True,
    "TINYINT": 1,
    "SMALLINT": 1,
    "INTEGER": 1,
    "BIGINT": 1,
    "UTINYINT": 1,
    "USMALLINT": 1,
    "UINTEGER": 1,
    "UBIGINT": 1,
    "FLOAT": 1.5,
    "DOUBLE": 1.5,
    "VARCHAR": "a",
    "BLOB": b"a",
    "DATE": dt.date(2020, 1, 1),
    "TIMESTAMP": dt.datetime(2020, 1, 1),
    "TIMESTAMP WITH TIME ZONE": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    "DECIMAL(4,2)": 1,
    "DECIMAL(9,2)": 1,
    "DECIMAL(18,2)": 1,
    "DECIMAL(38,3)": 1,
    "TIME": dt.time(1),
    "TIMESTAMP_MS": dt.datetime(2020, 1, 1),
    "TIMESTAMP_NS": dt.datetime(2020, 1, 1),
    "BIGINT[]": [1],
}


@pytest.mark.parametrize("writer", ["duckdb", "polars"])
@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("type", WRITTEN)
def test_columns_are_recorded_as_they_are_read(
    tmp_path: Path, type: str, rows: int, writer: str
) -> None:
    file = tmp_path / "f.parquet"
    engine = DuckDB([tmp_path], tmp_path / "spill")
    if writer == "polars":
        frame = pl.DataFrame({"x": [WRITTEN[type]] * rows}, schema={"x": to_polars(type)})
        types = polars.stage(frame.lazy(), file, {})
    else:
        with engine.cursor() as cursor:
            types = duckdb.stage(cursor, f"select null::{type} as x from range({rows})", file, {})
    with engine.cursor() as cursor:
        read = cursor.execute(f"describe {duckdb.parquet([file])}").fetchall()
    assert [(c.name, c.type) for c in measure(engine, file, types=types).columns] == [
        (row[0], row[1]) for row in read
    ]
    engine.close()


def test_a_bench_shows_what_is_read_and_nothing_else(tmp_path: Path) -> None:
    engine = DuckDB([tmp_path], tmp_path / "spill")
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "f.parquet")
    for number in range(3):
        source_files = InputFiles(
            alias=f"t{number}", name=f"d.t{number}", table=StoredTable((tmp_path / "f.parquet",))
        )
        with engine.bench([source_files], "d") as bench:
            found = bench.execute(
                "select view_name from duckdb_views() where not internal"
            ).fetchall()
            assert found == [(f"t{number}",)]
    with engine.cursor() as cursor:
        rooms = "select count(*) from duckdb_databases() where database_name like 'room%'"
        assert cursor.execute(rooms).fetchall() == [(0,)]
    engine.close()


# How a query may name what it reads; `p` holds 1, 2 and 3.
NAMED = {
    "plainly": ("select x from p", [1, 2, 3]),
    "in other case, quoted": ('select "P".X from "P"', [1, 2, 3]),
    "in full": ("select x from sales.p", [1, 2, 3]),
    "a column in full": ("select sales.p.x from p", [1, 2, 3]),
    "twice": ("select a.x from p a join p b on a.x = b.x + 1", [2, 3]),
    "shadowed": ("with p as (select x + 1 as x from p) select x from p", [2, 3, 4]),
    "shadowed by what does not read it": (
        "with p as (select 7 as x) select p.x from p, sales.p as q",
        [7, 7, 7],
    ),
    "below itself": (
        "with recursive r as (select min(x) as x from p union all select x + 1 from r where x < 3) from r",
        [1, 2, 3],
    ),
    "in a condition": (
        "select x from (values (1), (9)) v(x) where exists (from p where p.x = v.x)",
        [1],
    ),
    "beside": (
        "select p.x from p, lateral (select max(x) as m from p q where q.x <= p.x) where m > 1",
        [2, 3],
    ),
    "with a comment at its end": ("select x from p -- all of it", [1, 2, 3]),
    "turned": ("select x from (pivot p on x in (1, 2) using count(*)) t(x, y)", [1]),
}


@pytest.mark.parametrize("case", NAMED)
def test_a_query_reads_by_whatever_name(place: Place, case: str) -> None:
    query, rows = NAMED[case]
    declared = "sql_product('p', 'select x from numbers', owner='o')\n"
    place.write(
        "products/sales.py", f"{declared}sql_product('q', {query!r}, owner='o')\n", header=True
    )
    assert place.materialize()["sales.q"]["result"] == "published"
    assert place.query("select list(x order by x) as l from q") == [{"l": rows}]


def test_a_seed_is_not_left_for_the_next_query(place: Place) -> None:
    place.write("in/1.csv", "x\n1\n")
    seeds = "sql_product('a', 'select setseed(0.5) is null as s, x from raw', owner='o', changes_with='never')"
    chance = "sql_product('b', 'select random() as r, x from raw', owner='o', changes_with='never')"
    declared = f"raw = source.files('in/1.csv', columns={{'x': pl.Int64}})\n{seeds}\n{chance}"
    place.write("products/sales.py", declared, header=True)
    found = set()
    for _ in range(3):
        place.materialize("--force", "--jobs", "1")
        found.add(place.query("select r from b")[0]["r"])
    assert len(found) == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_the_name_of_a_parquet_source_stands_for_itself(place: Place, engine: str) -> None:
    (place.root / "in").mkdir()
    pl.DataFrame({"x": [1]}).write_parquet(place.root / "in/a[1].parquet")
    pl.DataFrame({"y": [2]}).write_parquet(place.root / "in/a1.parquet")
    declared = f"s = source.files('in/a[[]*.parquet', columns={{'x': pl.Int64}})\n{ENGINES[engine]}"
    place.write("products/sales.py", declared, header=True)
    assert place.materialize()["sales.p"]["result"] == "published"
    assert place.query("from p") == [{"x": 1}]


@pytest.mark.parametrize(
    ("lack", "told"),
    [("EMFILE", None), ("EACCES", "Permission denied"), ("ENOENT", "No such file")],
)
def test_want_of_open_files_is_no_damage(
    monkeypatch: pytest.MonkeyPatch, lack: str, told: str | None
) -> None:
    def refuse(file: Path) -> str:
        raise OSError(getattr(errno, lack), os.strerror(getattr(errno, lack)), str(file))

    monkeypatch.setattr(blame, "file_digest", refuse)
    file = Path("data.parquet")
    found = blame.damaged([StoredTable((file,), origin=Origin("d.p", "v1", {file: "c"}))])
    assert (found is None) if told is None else (told in str(found)), found


def test_queries_are_parsed_on_an_instance_that_reads_no_files_and_cannot_be_unlocked(
    tmp_path: Path,
) -> None:
    engine = DuckDB([tmp_path], tmp_path / "spill", {"threads": "3"})
    query = "select count(*) from duckdb_settings() where name = 'threads' and value = '3'"
    assert PARSER.ask(query) == [(0,)], "engines have instances of their own"
    with pytest.raises(library.PermissionException):
        PARSER.ask("select * from read_csv('/etc/passwd')")
    with pytest.raises(library.Error, match="locked"):
        PARSER.ask("set enable_external_access = true")
    engine.close()
    assert sql.parse("select 1 as x").tables == ()
    with pytest.raises(library.Error, match="nonsense"):
        DuckDB([tmp_path], tmp_path / "spill", {"threads": "nonsense"})
