"""Sources in folders called `key=value`, as Hive, Spark, DuckDB and Polars write them."""

import duckdb
import polars as pl
import pytest

from assay.plan.parts import NULL
from tests.conftest import Place

HEADER = "from assay import product, source, sql_product\n"
ODD = ["A B", "C/D", "ü=ß", "50%", "a+b", "%20", "x'y", "*?[]", ".", "2024-01-01", "NULL", "{x}"]


@pytest.mark.parametrize(
    ("writer", "format"), [("duckdb", "parquet"), ("duckdb", "csv"), ("polars", "parquet")]
)
def test_folders_are_read_as_they_were_written_null_too(
    place: Place, writer: str, format: str
) -> None:
    rows = pl.DataFrame(
        {"shop": [*ODD, None], "n": [None, *range(len(ODD))], "v": range(len(ODD) + 1)}
    )
    if writer == "duckdb":
        options = f"format {format}, partition_by (shop, n)"
        rows.write_parquet(place.root / "rows.parquet")
        duckdb.connect().execute(
            f"copy (from '{place.root}/rows.parquet') to '{place.root}/in' ({options})"
        )
    else:
        rows.write_parquet(place.root / "in", partition_by=["shop", "n"])
    place.write(
        "products/shop.py",
        HEADER
        + f"""
raw = source.files("in/shop={{shop}}/n={{n:int}}/*.{format}", columns={{"v": "bigint"}})
by_shop = source.files("in/shop={{shop}}/*/*.{format}", columns={{"v": "bigint"}})
plain = source.files("in/{{folder}}/*/*.{format}", columns={{"v": "bigint"}})
sql = sql_product("sql", "select shop, n, v from raw", owner="o", each="raw")
split = sql_product("split", "select shop, v from by_shop where shop is not null", owner="o", partition_by="shop")
names = sql_product("names", "select folder, v from plain", owner="o")

@product(owner="o")
def frame(raw): return raw
""",
    )
    told = place.materialize("-s", "domain:shop")
    assert told[""]["exit_code"] == 0, told
    assert place.query("select shop, n, v from sql order by v") == rows.to_dicts()
    assert place.query("select shop, n, v from frame order by v") == rows.to_dicts()
    assert (
        place.query("select shop, v from split order by v")
        == rows.filter(pl.col("shop").is_not_null())["shop", "v"].to_dicts()
    )
    assert set(place.parts("shop.split")) == {*ODD, NULL}
    assert set(place.parts("shop.sql")) >= {
        f"A B/{NULL}",
        "C%2FD/0",
        f"{NULL}/{len(ODD) - 1}",
        "50%25/2",
    }
    folders = {f.name for f in (place.root / "in").iterdir()}
    assert {r["folder"] for r in place.query("from names")} == folders, (
        "elsewhere a name is what it is"
    )


def test_a_row_without_a_shop_is_of_no_part_by_shop(place: Place) -> None:
    place.write(f"in/shop={NULL}/a.csv", "x\n1\n")
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/shop={shop}/*.csv", columns={"x": "bigint"})
sql_product("p", "select shop, x from raw", owner="o", partition_by="shop")
""",
    )
    told = place.run("materialize", "-s", "shop.p")
    assert told.code == 1 and "Rows whose shop is null are of no part: leave them out" in told.out
    place.edit("products/shop.py", "from raw", "from raw where shop is not null")
    assert place.materialize("-s", "shop.p")[""]["exit_code"] == 0


@pytest.mark.parametrize(
    ("pattern", "folder"),
    [("day={day:date}", f"day={NULL}"), ("shop={shop}", "shop=%FF"), ("shop={shop}", "shop=a%00b")],
)
def test_a_folder_that_says_no_value_is_told(place: Place, pattern: str, folder: str) -> None:
    place.write(f"in/{folder}/a.csv", "x\n1\n")
    place.write(
        "products/shop.py",
        HEADER
        + f"""
raw = source.files("in/{pattern}/*.csv", columns={{"x": "bigint"}})
sql_product("p", "from raw", owner="o")
""",
    )
    assert f"in/{folder}/a.csv does not say its" in place.run("materialize", "-s", "shop.p").out


def test_a_day_in_the_paths_of_parquet_files_is_a_day_to_polars(place: Place) -> None:
    for day in ("2024-01-01", "2024-01-02"):
        (place.root / f"days/{day}").mkdir(parents=True)
        pl.DataFrame({"v": [1]}).write_parquet(place.root / f"days/{day}/rows.parquet")
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("days/{day:date}/*.parquet", columns={"v": "bigint"})

@product(owner="o")
def frame(raw): return raw
""",
    )
    assert place.materialize("-s", "domain:shop")[""]["exit_code"] == 0
    rows = place.query("select day, v, typeof(day) as type from frame order by day")
    assert rows == [{"day": f"2024-01-0{n}", "v": 1, "type": "DATE"} for n in (1, 2)]
