"""`columns="as stored"`: types of Parquet files, frozen in a lock file that `check` compares."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import Place

SHOP = """
from assay import source, sql_product
raw = source.files("in/{day:date}.parquet", columns="as stored")
sql_product("lines", "select * from raw", owner="o", each="raw", on_failed_part="hold_part")
"""
ROW = {
    "id": 1,
    "net": Decimal("1.50"),
    "at": datetime(2021, 1, 1, tzinfo=UTC),
    "on": date(2021, 1, 1),
    "kind": "a",
}


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    place.write("products/shop.py", SHOP)
    return place


def test_lists_structs_and_nanoseconds_are_as_stored_too(shop: Place) -> None:
    row = {"s": {"a": 1, "b": ["x"]}, "l": [1, 2], "t": datetime(2021, 1, 1), "n": None}
    frame = pl.DataFrame([row]).with_columns(pl.col("t").dt.cast_time_unit("ns"))
    (shop.root / "in").mkdir()
    frame.write_parquet(shop.root / "in/2021-01-01.parquet")
    assert shop.materialize()[""]["exit_code"] == 0
    [types] = lock(shop).values()
    assert types["l"] == {"type": "BIGINT[]"} and types["t"] == {"type": "TIMESTAMP_NS"}
    assert types["s"]["type"].startswith("STRUCT(") and types["n"] == {"type": "VARCHAR"}
    assert shop.run("check").code == 0
    assert shop.query("select s.a as a, len(s.b) as b, l[2] as l, n from lines") == [
        {"a": 1, "b": 1, "l": 2, "n": None}
    ]


def put(shop: Place, day: str, **more: object) -> None:
    row = {name: value for name, value in (ROW | more).items() if value is not None}
    frame = pl.DataFrame([row]).cast({"kind": pl.Categorical})
    (shop.root / "in").mkdir(exist_ok=True)
    frame.write_parquet(shop.root / f"in/{day}.parquet")


def lock(shop: Place) -> dict[str, dict[str, dict[str, object]]]:
    return json.loads((shop.root / "columns.lock").read_text())


def test_types_are_frozen_once_and_read_from_the_lock_file_then(shop: Place) -> None:
    put(shop, "2021-01-01", note="n")
    put(shop, "2021-01-02")
    assert shop.materialize()[""]["exit_code"] == 0
    types = {name: each["type"] for name, each in lock(shop)["shop.raw"].items()}
    assert types == {
        "id": "BIGINT",
        "net": "DECIMAL(38,2)",
        "at": "TIMESTAMP WITH TIME ZONE",
        "on": "DATE",
        "kind": "VARCHAR",
        "note": "VARCHAR",
    }
    assert lock(shop)["shop.raw"]["note"]["optional"] is True
    rows = shop.query("select id, net::varchar as net, kind, note from lines order by day")
    assert [tuple(row.values()) for row in rows] == [(1, "1.50", "a", "n"), (1, "1.50", "a", None)]
    before = (shop.root / "columns.lock").read_bytes()
    (shop.root / "in/2021-01-02.parquet").unlink()
    assert shop.materialize()[""]["exit_code"] == 0
    assert (shop.root / "columns.lock").read_bytes() == before


def test_check_compares_the_last_file_with_what_is_frozen(shop: Place) -> None:
    put(shop, "2021-01-01")
    assert shop.run("check").code == 0
    put(shop, "2021-01-02", id="text", net=None, fresh=True)
    ran = shop.run("check")
    text = " ".join(ran.out.split())
    assert ran.code == 4
    assert "in/2021-01-02.parquet stores 'id' as VARCHAR; it is frozen as BIGINT" in text
    assert "in/2021-01-02.parquet has no column 'net', which is frozen" in text
    assert "has a column 'fresh', which is not frozen" in text and "products/shop.py:3" in text
    [failed] = shop.materialize()["shop.lines"]["failed_parts"]
    assert failed["part"] == "2021-01-02"
    assert "'id' of type BIGINT; it is VARCHAR" in failed["error"]
    shop.write("columns.lock", "{}")  # take the new types over: the old file does not fit then
    told = shop.materialize()
    assert lock(shop)["shop.raw"]["id"] == {"type": "VARCHAR"}
    assert lock(shop)["shop.raw"]["net"]["optional"] and lock(shop)["shop.raw"]["fresh"]["optional"]
    error = told["shop.lines"]["error"]
    assert "in/2021-01-01.parquet" in error and "'id' of type VARCHAR; it is BIGINT" in error


def test_what_cannot_be_frozen_is_a_mistake_with_what_to_do(shop: Place) -> None:
    ran = shop.run("ls")
    assert ran.code == 2 and "no file matches" in ran.err and "columns.lock" in ran.err
    put(shop, "2021-01-01")
    shop.write("columns.lock", "{")
    assert "columns.lock cannot be read" in shop.run("ls").err
    (shop.root / "columns.lock").unlink()
    shop.write("in/2021-01-02.parquet", "no Parquet")
    assert "in/2021-01-02.parquet cannot be read" in shop.run("ls").err
    shop.edit("products/shop.py", ".parquet", ".csv")
    assert 'columns="as stored" is for Parquet' in shop.run("ls").err
    shop.edit("products/shop.py", "as stored", "as it is")
    assert 'a mapping of each column to its type, or "as stored"' in shop.run("ls").err
    assert not (shop.root / "columns.lock").exists()


def test_a_source_with_rules_may_be_as_stored(shop: Place) -> None:
    more = 'columns="as stored", event_time="on", keep=True, owner="o"'
    shop.edit("products/shop.py", 'columns="as stored"', more)
    put(shop, "2021-01-01")
    assert shop.materialize()[""]["exit_code"] == 0
    assert shop.query("select id from raw") == [{"id": 1}]
    assert "shop.raw" in lock(shop)
