"""The fixture `build`, in a pytest of its own: what tests of a project can say, and what they read when they fail."""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points

import pytest

from tests.conftest import ROOT, Place

DECLARED = """
RATE = 2.5

doubled = sql_product("doubled", "select x, x * 2 as y from numbers", owner="ann@shop", rules=[
    rule.sql("y is small", "select x, y from this where y > 100"),
    rule.sql("not all are one", "select count(*) as n from this having count(*) = 1", severity="warning"),
    rule.sql("x is known", "select t.x from this t left join rated r using (x) where r.x is null"),
])

@product(owner="ann@shop")
def rated(numbers: pl.LazyFrame) -> pl.LazyFrame:
    return numbers.with_columns(price=pl.col("x") * RATE)

@product(owner="ann@shop")
def breaks(numbers: pl.DataFrame) -> pl.DataFrame:
    raise KeyError("nothing")

@product(owner="ann@shop", file="note.txt")
def note(numbers: pl.DataFrame) -> str:
    return f"{numbers.height} numbers"

sql_product("positive", "select x from numbers", owner="ann@shop",
    rules=[rule.check("x is positive", "x > 0", on_failure="quarantine", fail_above="90 %")])
"""
TESTS = """
from datetime import datetime
import polars as pl
import pytest
from assay.errors import BuildError, UsageError

def test_rows(build):
    result = build("doubled", inputs={"numbers": [{"x": 3}, {"x": 1}]})
    assert result.rows == [{"x": 3, "y": 6}, {"x": 1, "y": 2}]
    assert result.frame["y"].sum() == 8
    assert result.passed and result.held_by == () and result.warnings == ()
    result.expect("x, y\\n1, 2\\n3, 6\\n")
    result.expect(pl.DataFrame({"y": [6, 2]}), ordered=True)

def test_rules(build):
    result = build("sales.doubled", {"sales.numbers": "x\\n99\\n"})
    assert result.held_by == ("y is small",)
    assert result.warnings == ("not all are one",)
    assert result.failing("y is small") == [{"x": 99, "y": 198}]
    assert result.rules["y is small"].failing == 1
    with pytest.raises(UsageError, match="reads sales.rated: give that, too"):
        result.failing("x is known")
    with pytest.raises(UsageError, match="has no rule"):
        result.failing("nothing")
    assert build("doubled", {"numbers": [{"x": 1}], "rated": "x\\n"}).held_by == ("x is known",)

def test_the_code_may_be_patched(build, monkeypatch):
    monkeypatch.setattr("products.sales.RATE", 10.0)
    assert build("rated", {"numbers": [{"x": 2}]}).rows == [{"x": 2, "price": 20.0}]

def test_rows_may_be_in_files_beside_the_test(build):
    assert build("rated", {"numbers": "rows.csv"}).rows == [{"x": 7, "price": 17.5}]

def test_files_and_rows_set_aside(build):
    result = build("note", {"numbers": []})
    assert result.path.read_text() == "0 numbers"
    with pytest.raises(UsageError, match="is a file"):
        result.rows
    assert build("positive", {"numbers": [{"x": 0}, {"x": 1}]}).set_aside == [{"x": 0, "broke": ["x is positive"]}]

def test_errors(build):
    with pytest.raises(BuildError, match="KeyError: 'nothing'"):
        build("breaks", {"numbers": []})
    with pytest.raises(UsageError, match="is no moment"):
        build("rated", {"numbers": []}, now="today")

def test_that_fails(build):
    build("rated", {"numbers": [{"x": 2}]}).expect([{"x": 2, "price": 5.5}])

def test_that_gives_too_little(build):
    build("rated")
"""


def pytest_in(place: Place, *arguments: str) -> str:
    installed = any(point.name == "assay" for point in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "assay.testing.plugin"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, *arguments]
    done = subprocess.run(
        command, cwd=place.root, capture_output=True, text=True, check=False, env={**os.environ}
    )
    return done.stdout + done.stderr


@pytest.mark.long
def test_a_project_with_tests(place: Place) -> None:
    place.write("products/sales.py", DECLARED, header=True)
    place.write("checks/test_sales.py", TESTS)
    place.write("checks/rows.csv", "x\n7\n")
    out = pytest_in(place)
    assert "2 failed, 6 passed" in out, out
    assert "AssertionError: sales.rated: 1 row of other values" in out
    assert "x 2: price 5.5 → 5   (expected → got)" in out
    assert "UsageError: sales.rated reads sales.numbers: not given" in out
    assert "src/assay" not in out  # our own frames are not shown
    assert not (place.root / ".products/catalog.db").exists()


@pytest.mark.long
def test_a_test_outside_of_a_project_says_so(place: Place) -> None:
    (place.root / "pyproject.toml").unlink()
    place.write("checks/test_sales.py", "def test_it(build): ...")
    out = pytest_in(place)
    assert "no project here" in out
    assert "1 error" in out


def test_pytest_finds_the_plugin_and_it_loads_nothing() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module = project["entry-points"]["pytest11"]["assay"]
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    ).stdout
    ours = [name for name in loaded.split() if name.startswith("assay.")]
    assert ours == ["assay.testing", module]
    assert not {"duckdb", "polars", "pandera", "msgspec"} & set(loaded.split())
