"""Columns that appear in files and are not declared: told once, kept in mind, suggested, refused by policy."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.conftest import Place

SHOP = """
from assay import Column, source, sql_product
raw = source.files("in/{pattern}", columns={{"id": "bigint"{more}}})
sql_product("parts", "select * from raw", owner="o", each="raw", on_failed_part="hold_part")
sql_product("whole", "select id from raw", owner="o")
"""


@pytest.fixture
def shop(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.write("pyproject.toml", "[tool.products]\n")
    return place


def declare(shop: Place, pattern: str = "{day:date}.csv", more: str = "") -> None:
    shop.write("products/shop.py", SHOP.format(pattern=pattern, more=more))


def appeared(told: dict[str, dict]) -> list[tuple[str, str]]:
    """Return the columns that a run told of, and since when."""
    columns = [c for result in told.values() for c in result.get("undeclared_columns", ())]
    return sorted((column["column"], column["part"]) for column in columns)


def status(shop: Place) -> str:
    return " ".join(shop.run("status").out.split())


def test_a_column_that_appears_is_told_once_and_kept_in_mind(shop: Place) -> None:
    declare(shop)
    shop.write("in/2021-01-03.csv", "id,known,late,code\n3,k,1.5,007\n")
    shop.write("in/2021-01-01.csv", "id,known\n1,k\n")
    shop.write("in/2021-01-02.csv", "known,id,code\nk,2,001\n")
    ran = shop.run("materialize")
    text = " ".join(ran.out.split())
    assert ran.code == 0 and text.count("new columns that it does not declare") == 1
    assert "shop.raw has new columns" in text
    assert "code (since 2021-01-02), late (since 2021-01-03)" in text
    assert "does not declare code (since 2021-01-02)" in status(shop)
    shop.write("in/2021-01-04.csv", "id,known,late,more\n4,k,1,2021-01-01\n")
    assert appeared(shop.materialize()) == [("more", "2021-01-04")]
    assert appeared(shop.materialize("--force")) == []
    code = shop.run("suggest", "raw").out
    assert "# Columns of its files that shop.raw does not declare" in code
    assert """#     'known': "varchar",""" in code
    assert """#     'code': Column("varchar", since="2021-01-02"),""" in code
    assert """#     'late': Column("double", since="2021-01-03"),""" in code
    assert """#     'more': Column("date", since="2021-01-04"),""" in code
    declare(
        shop,
        more=""", "known": "varchar", "code": Column("varchar", optional=True),
        "late": Column("double", since="2021-01-03"), "more": Column("date", since="2021-01-04")""",
    )
    assert appeared(shop.materialize()) == []
    assert (
        "does not declare" not in status(shop)
        and "not declare" not in shop.run("suggest", "raw").out
    )
    assert shop.run("gc").code == 0


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_keys_and_columns_of_other_formats_appear_too(shop: Place, suffix: str) -> None:
    declare(shop, "{day:date}." + suffix)

    def write(day: str, row: dict[str, object]) -> None:
        file = shop.root / f"in/{day}.{suffix}"
        file.parent.mkdir(exist_ok=True)
        if suffix == "parquet":
            pl.DataFrame([row]).write_parquet(file)
        else:
            file.write_text(json.dumps(row) + "\n")

    write("2021-01-01", {"id": 1, "known": "k"})
    write("2021-01-02", {"id": 2, "known": "k", "n": 5})
    assert appeared(shop.materialize()) == [("n", "2021-01-02")]
    assert """#     'n': Column("bigint", since="2021-01-02"),""" in shop.run("suggest", "raw").out


def test_a_file_that_is_overwritten_may_get_columns(shop: Place) -> None:
    declare(shop, "all.csv")
    shop.write("in/all.csv", "id,known\n1,k\n")
    assert appeared(shop.materialize()) == []
    shop.write("in/all.csv", "id,known,new\n1,k,2\n")
    assert [name for name, _ in appeared(shop.materialize())] == ["new"]
    assert """'new': Column("bigint", optional=True),""" in shop.run("suggest", "raw").out


def test_a_policy_holds_files_with_undeclared_columns_alone_or_says_nothing(shop: Place) -> None:
    declare(shop)
    settings = '[tool.products.policy]\nundeclared_columns = "error"\n'
    shop.write("pyproject.toml", f"[tool.products]\n{settings}")
    shop.write("in/2021-01-01.csv", "id\n1\n")
    shop.write("in/2021-01-02.csv", "id,a,b\n2,x,y\n")
    told = shop.materialize("shop.parts")
    [failed] = told["shop.parts"]["failed_parts"]
    assert failed["part"] == "2021-01-02"
    assert "in/2021-01-02.csv: it has columns that are not declared: a, b" in failed["error"]
    assert "Declare them; the policy undeclared_columns" in failed["error"]
    assert shop.query("select id from parts") == [{"id": 1}]
    settings = '[tool.products.policy.for."shop.raw"]\nundeclared_columns = "off"\n'
    shop.write("pyproject.toml", f"[tool.products]\n{settings}")
    assert appeared(shop.materialize()) == []
    assert shop.query("select id from parts order by id") == [{"id": 1}, {"id": 2}]
    assert "does not declare" not in status(shop)
