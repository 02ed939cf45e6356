"""Columns that files have since a day, until a day, by another name, or only some: values and faults."""

import json
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from assay.build import batches
from tests.conftest import Place, mostly_long

SHOP = """
import polars as pl
from assay import Column, product, source, sql_product
raw = source.files("in/{{day:date}}.{suffix}", columns={{
    "id": "bigint",
    "total": Column("bigint", since="2021-02-01", was="positives"),
    "extra": Column("decimal(6, 2)", since="2021-02-01"),
    "old": Column("varchar", until="2021-02-03"),
    "note": Column("date", optional=True{format}),
}})
sql_product("parts", "select * from raw", owner="o", each="raw", on_failed_part="hold_part")
sql_product("whole", "select * from raw", owner="o")
@product(owner="o")
def frame(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw
@product(owner="o", each="raw", on_failed_part="hold_part")
def frames(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw
"""
FIRST, RENAMED, LAST = date(2020, 12, 1), date(2021, 2, 1), date(2021, 2, 3)
NAMES = ("id", "total", "extra", "old", "note")


def rows_of(day: date) -> list[dict[str, object]]:
    """Return the rows of a file, by the names that the files of its day have."""
    n = day.toordinal() % 1000
    new = day >= RENAMED
    rows: list[dict[str, object]] = []
    for id in (n, n + 1):
        row: dict[str, object] = {"id": id, "total" if new else "positives": id * 10}
        row |= {"extra": f"{id}.50"} if new else {}
        row |= {"old": f"o{id}"} if day <= LAST else {}
        row |= {"note": f"2021-01-0{1 + id % 9}"} if n % 3 == 0 else {}
        rows.append(row)
    return rows


def expected(day: date) -> list[tuple[object, ...]]:
    called = {"total": "total" if day >= RENAMED else "positives"}
    return [tuple(row.get(called.get(n, n)) for n in NAMES) for row in rows_of(day)]


def write(shop: Place, suffix: str, day: date, rows: list[dict[str, object]]) -> None:
    file = shop.root / f"in/{day}.{suffix}"
    file.parent.mkdir(exist_ok=True)
    if suffix == "parquet":
        types = {
            "id": pl.Int32,
            "total": pl.Int64,
            "positives": pl.Int16,
            "extra": pl.Decimal(5, 2),
            "note": pl.Date,
        }
        frame = pl.DataFrame(rows).with_columns(
            pl.col("^note$").str.to_date(), pl.col("^extra$").str.to_decimal(scale=2)
        )
        frame.cast({n: t for n, t in types.items() if n in frame.columns}).write_parquet(file)
    elif suffix == "csv":
        lines = [list(rows[0]), *(list(row.values()) for row in rows)]
        file.write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    elif suffix == "json":
        file.write_text(json.dumps(rows))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    return place


def declare(shop: Place, suffix: str) -> None:
    format = ', format="%Y-%m-%d"' if suffix != "parquet" else ""
    shop.write("products/shop.py", SHOP.format(suffix=suffix, format=format))


@pytest.mark.parametrize(
    "suffix", mostly_long(["csv", "jsonl", "json", "parquet"], "csv", "parquet")
)
def test_all_days_have_the_declared_columns_and_their_values(
    shop: Place, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batched: list[int] = []
    build = batches.Batches.build
    monkeypatch.setattr(
        batches.Batches, "build", lambda s, group: batched.append(len(group)) or build(s, group)
    )
    declare(shop, suffix)
    days = [FIRST + timedelta(days=n) for n in range(70)]
    for day in days:
        write(shop, suffix, day, rows_of(day))
    told = shop.materialize()
    assert told[""]["exit_code"] == 0, told
    assert sum(batched) >= 70  # several layouts in one query
    names = ", ".join(f"{n}::varchar as {n}" for n in NAMES)
    wanted = [tuple(None if v is None else str(v) for v in r) for d in days for r in expected(d)]
    for product in ("parts", "whole", "frame", "frames"):
        rows = shop.query(
            f"select {names} from {product} order by day, raw.id".replace("raw", product)
        )
        assert [tuple(row.values()) for row in rows] == wanted, product


# What a file of a day has: its names of columns, changed; the column and the advice that are named.
FAULTS: dict[date, tuple[dict[str, str], str, str]] = {
    date(2021, 2, 5): (
        {"total": "positives"},
        "'total'",
        "since 2021-02-01, before as 'positives'",
    ),
    date(2021, 1, 5): ({"positives": "total"}, "'positives'", "before as 'positives'"),
    date(2021, 2, 6): ({"extra": ""}, "'extra'", "since 2021-02-01"),
    date(2021, 2, 7): ({"id": "id old"}, "'old'", "until 2021-02-03"),
    date(2021, 1, 7): ({"id": "id extra"}, "'extra'", "since 2021-02-01"),
}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_files_that_are_not_as_their_day_says_are_held_alone(shop: Place, suffix: str) -> None:
    declare(shop, suffix)
    for day in (date(2021, 1, 31), date(2021, 2, 1)):
        write(shop, suffix, day, rows_of(day))
    for day, (renamed, _, _) in FAULTS.items():
        changed = [
            {
                name: "1.00" if name == "extra" else value
                for own, value in row.items()
                for name in renamed.get(own, own).split()
            }
            for row in rows_of(day)
        ]
        write(shop, suffix, day, changed)
    told = shop.materialize("shop.parts")
    failed = {part["part"]: part["error"] for part in told["shop.parts"]["failed_parts"]}
    assert failed.keys() == {str(day) for day in FAULTS}
    for day, (_, column, advice) in FAULTS.items():
        error = failed[str(day)]
        assert f"in/{day}.{suffix}" in error and column in error and advice in error
        assert "Mend the file, or correct the" in error
    rows = shop.query("select distinct day::varchar as day from parts order by 1")
    assert [row["day"] for row in rows] == ["2021-01-31", "2021-02-01"]


def test_a_wrong_value_names_the_column_as_the_file_does_and_hides_what_is_sensitive(
    shop: Place,
) -> None:
    shop.write(
        "products/shop.py",
        """
import pandera.polars as pa
import polars as pl
from assay import Column, source, sql_product
raw = source.files("in/{day:date}.csv", columns={
    "tax_number": Column("bigint", since="2021-02-01", was="number")})
class Hidden(pa.DataFrameModel):
    tax_number: int = pa.Field(nullable=True, metadata={"sensitive": True})
sql_product("parts", "select tax_number from raw", owner="o", contract=Hidden)
""",
    )
    shop.write("in/2021-01-01.csv", "number\nSECRET\n")
    error = shop.materialize()["shop.parts"]["error"]
    assert "line 2: column 'number' should be BIGINT" in error
    assert "declare 'tax_number' as" in error and "SECRET" not in error


def test_the_same_content_is_good_on_one_day_and_not_on_another(shop: Place) -> None:
    declare(shop, "jsonl")
    old = date(2021, 1, 31)
    write(shop, "jsonl", old, rows_of(old))
    assert shop.materialize("shop.whole")[""]["exit_code"] == 0
    write(shop, "jsonl", date(2021, 2, 1), rows_of(old))  # once more, as the file of another day
    assert "no line has the key 'total'" in shop.materialize("shop.whole")["shop.whole"]["error"]


def test_layouts_by_day_and_by_pattern_are_one_source(shop: Place) -> None:
    shop.write(
        "products/shop.py",
        """
import polars as pl
from assay import Column, product, source, sql_product
raw = source.files("in/**/{day:date}.csv", columns={
    "id": "bigint", "net": "decimal(9, 2)", "text": "varchar", "note": "varchar", "at": Column("date", format="%d.%m.%Y"),
}, layouts=[
    source.layout("in/old/*", names=["id", "net", "text"], header=False, missing=["note", "at"], null_values=["-"]),
    source.layout(since="2021-02-01", until="2021-02-02", separator=";", decimal_separator=",",
                  renamed={"note": "remark", "text": "note", "at": "on"}, encoding="latin-1"),
])
sql_product("whole", "select * from raw", owner="o")
sql_product("parts", "select * from raw", owner="o", each="raw")
@product(owner="o")
def frame(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw
""",
    )
    shop.write("in/old/2021-02-01.csv", "1,1.50,-\n")  # the first layout that fits
    coded = shop.root / "in/2021-02-02.csv"
    coded.write_bytes("remark;id;net;note;on\nr;2;2,50;né;01.02.2021\n".encode("latin-1"))
    shop.write("in/2021-02-03.csv", "id,net,text,note,at\n3,3.50,-,n,02.02.2021\n")
    assert shop.materialize()[""]["exit_code"] == 0
    for name in ("whole", "parts", "frame"):
        rows = shop.query(f"select * from {name} order by id")
        assert [tuple(row.values()) for row in rows] == [
            (1, "1.50", None, None, None, "2021-02-01"),
            (2, "2.50", "né", "r", "2021-02-01", "2021-02-02"),
            (3, "3.50", "-", "n", "2021-02-02", "2021-02-03"),
        ]
    shop.write("in/2021-02-01.csv", "id;net;text;remark;on\n")
    error = shop.materialize("whole")["shop.whole"]["error"]
    assert "in/2021-02-01.csv, line 1: it should have a column 'note'" in error


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_rows_of_files_that_have_no_declared_column_are_rows(shop: Place, suffix: str) -> None:
    shop.write(
        "products/shop.py",
        f"""
import polars as pl
from assay import Column, product, source, sql_product
raw = source.files("in/*.{suffix}", columns={{"x": Column("bigint", optional=True)}})
sql_product("whole", "select x from raw", owner="o")
@product(owner="o")
def frame(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw
@product(owner="o")
def count(raw: pl.LazyFrame) -> pl.LazyFrame:
    return raw.select(pl.len().cast(pl.Int64).alias("n"), pl.col("x").sum())
""",
    )
    for number, rows in enumerate([[{"y": 1}, {"y": 2}], [{"y": 3, "x": 7}]]):
        file = shop.root / f"in/{number}.{suffix}"
        file.parent.mkdir(exist_ok=True)
        if suffix == "parquet":
            pl.DataFrame(rows).write_parquet(file)
        elif suffix == "csv":
            pl.DataFrame(rows).write_csv(file)
        else:
            pl.DataFrame(rows).write_ndjson(file)
    assert shop.materialize()[""]["exit_code"] == 0
    for name in ("whole", "frame"):
        assert [row["x"] for row in shop.query(f"from {name} order by x nulls first")] == [
            None,
            None,
            7,
        ]
    assert shop.query("from count") == [{"n": 3, "x": 7}]


def test_mistakes_in_layouts_are_told_at_once(shop: Place) -> None:
    layouts = {
        'separator=";"': "layout 1: it is of all files",
        '"a/*", since="2021-01-01"': "layout 2: since= and until= are by the day of a file",
        '"a/*", missing=["y"]': "layout 3: there is no column 'y'",
        '"a/*", missing=["x"], renamed={"x": "y"}': "layout 4: column 'x' is both missing and",
        '"a/*", renamed={"x": "z"}': "layout 5: two columns are called 'z'",
        '"a/*", separator=";", quote_char=";"': "layout 6: quote_char= and separator= are both",
    }
    given = ", ".join(f"source.layout({each})" for each in layouts)
    declared = (
        f"raw = source.files('*.csv', columns={{'x': 'bigint', 'z': 'bigint'}}, layouts=[{given}])"
    )
    shop.write("products/shop.py", f"from assay import source\n{declared}\n")
    told = " ".join(shop.run("ls").err.split())
    for words in layouts.values():
        assert words in told
    wrong = "layouts=[source.layout('a/*', separator='ab')]"
    declared = f"raw = source.files('*.csv', columns={{'x': 'bigint'}}, {wrong})"
    shop.write("products/shop.py", f"from assay import source\n{declared}\n")
    assert "separator= should be one character" in shop.run("ls").err


MISTAKES = {
    ('"in/*.csv"', 'Column("bigint", since="2021-01-01")'): "the pattern has no day",
    ('"in/{day:date}.csv"', 'Column("bigint", was="y")'): "Give since= the first day",
    ('"in/{day:date}.csv"', 'Column("bigint", since="2021-13-01")'): "is no day",
    ('"in/{day:date}.csv"', 'Column("bigint", since="2021-02-01", until="2021-01-01")'): "before",
    (
        '"in/{m:month}.csv"',
        'Column("bigint", since="2021-02-05")',
    ): "Give its first day, 2021-02-01",
    (
        '"in/{day:date}.csv"',
        'Column("bigint", since="2021-02-01", was="z")',
    ): "are both 'z' in files before",
    ('"in/{day:date}.csv"', 'Column("bigint", since="2021-02-01", was="day")'): "placeholder",
    (
        '"in/{day:date}.csv"',
        'Column("bigint", optional=1)',
    ): "optional= and sensitive= are True or False",
}


@pytest.mark.parametrize(("pattern", "column"), MISTAKES)
def test_a_mistake_is_told_with_what_to_do(shop: Place, pattern: str, column: str) -> None:
    shop.write(
        "products/shop.py",
        f"""
from assay import Column, source, sql_product
raw = source.files({pattern}, columns={{"z": "bigint", "x": {column}}})
sql_product("whole", "select * from raw", owner="o")
""",
    )
    ran = shop.run("ls")
    assert ran.code == 2 and "products/shop.py:3" in ran.err and "column" in ran.err
    assert MISTAKES[pattern, column] in " ".join(ran.err.split())


def test_days_are_those_of_months_and_of_several_placeholders(shop: Place) -> None:
    shop.write(
        "products/shop.py",
        """
from assay import Column, source, sql_product
x = Column("bigint", since="2021-02-01", was="y")
by_month = source.files("months/{m:month}.csv", columns={"x": x})
by_both = source.files("both/{shop}/{day:date:%Y%m%d}.csv", columns={"x": x})
sql_product("whole", "select x from by_month union all select x from by_both order by 1", owner="o")
""",
    )
    shop.write("months/2021-01.csv", "y\n1\n")
    shop.write("months/2021-02.csv", "x\n2\n")
    shop.write("both/a/20210131.csv", "y\n3\n")
    shop.write("both/b/20210201.csv", "x\n4\n")
    assert shop.materialize()[""]["exit_code"] == 0
    assert [row["x"] for row in shop.query("select x from whole")] == [1, 2, 3, 4]
