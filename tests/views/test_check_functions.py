"""`products check` on Python functions: which errors are theirs whatever the rows, and where they are."""

import json

import pytest

from tests.conftest import Place

FUNCTIONS = """
import duckdb
import shop_helper as helper

class Out(pa.DataFrameModel):
    x: int
    y: str

@product(owner="o")
def raised(numbers: pl.DataFrame):
    lines = numbers.with_columns(z=1)
    return lines.select("nosuch")

@product(owner="o")
def lazily(numbers):
    return numbers.filter(
        pl.col("net_x") > 0,
    )

@product(owner="o")
def elsewhere(numbers: pl.DataFrame):
    return helper.doubled(numbers)

@product(owner="o")
def types(numbers):
    return numbers.select(pl.col("x").str.to_lowercase())

@product(owner="o")
def compared(numbers):
    return numbers.with_columns(s=pl.lit("a")).filter(pl.col("s") > 1)

@product(owner="o")
def relation(numbers: duckdb.DuckDBPyRelation):
    return numbers.select("x, w")

@product(owner="o")
def queried(numbers: duckdb.DuckDBPyRelation):
    return numbers.query("n", "select x from n").select("w")

@product(owner="o")
def turned(numbers: duckdb.DuckDBPyRelation):
    return numbers.query("n", "pivot (select x, 'a' as k from n) on k using sum(x)").select("a")

@product(owner="o")
def fetched(numbers: duckdb.DuckDBPyRelation):
    names = [f"x as a{row[0]}" for row in numbers.fetchall()]
    return numbers.select(", ".join([*names, "x"])).select("a1")

@product(owner="o")
def misspelled(numbers):
    return numbrs

@product(owner="o")
def nothing(numbers):
    numbers.select("x")

@product(owner="o", contract=Out)
def promised(numbers):
    return numbers.select("x", y=pl.col("x"))

sql_product("after", "select x, y || 'a' as z, w from promised", owner="o")

@product(owner="o")
def pivoted(numbers: pl.DataFrame):
    wide = numbers.with_columns(k=pl.lit("a")).pivot("k", index="x", values="x")
    return wide.select("a")

@product(owner="o")
def first(numbers: pl.DataFrame):
    return numbers.select(y=numbers["x"].max() + 1)

@product(owner="o")
def counts(numbers: pl.DataFrame):
    return None if numbers.is_empty() else numbers

@product(owner="o")
def collects(numbers):
    return numbers.collect().lazy()

@product(owner="o")
def writes(numbers):
    Path("made.txt").write_text("x")
    return numbers

@product(owner="o")
def alone():
    return pl.LazyFrame({"x": [1]})

@product(owner="o", file="a.txt")
def text(numbers):
    return "x"

sql_product("below", "select x from alone", owner="o")
"""
HELPER = """
def doubled(frame):
    return frame.select(
        frame["nosuch"] * 2
    )
"""


def line_of(part: str, text: str = FUNCTIONS) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, str]]:
    """Return the finding of each product: its level, its place and what it says."""
    place = Place(tmp_path_factory.mktemp("shop"))
    place.write("pyproject.toml", "[tool.products]\n")
    file = place.write("products/sales.py", FUNCTIONS, header=True)
    place.write("shop_helper.py", HELPER)
    before = file.read_text().index(FUNCTIONS)
    lines = file.read_text()[:before].count("\n")
    checked = place.run("check", "--json")
    assert checked.code == 4, checked.err
    listed = json.loads(checked.out)["findings"]
    found = {}
    for each in listed:
        line = each["line"] - (lines if each["file"].endswith("sales.py") else 0)
        name = each["name"].removeprefix("sales.")
        assert name not in found, listed
        found[name] = (each["level"], f"{each['file']}:{line}", each["what"])
    return found


SALES = "products/sales.py"


@pytest.mark.parametrize(
    ("name", "level", "place", "what"),
    [
        (
            "raised",
            "error",
            f'{SALES}:{line_of("""lines.select("nosuch")""")}',
            "no column nosuch in the table that its function selects from; it has x, z",
        ),
        (
            "lazily",
            "error",
            f"{SALES}:{line_of('net_x')}",
            "no column net_x in sales.numbers; it has x",
        ),
        (
            "elsewhere",
            "error",
            f"shop_helper.py:{line_of('nosuch', HELPER)}",
            "no column nosuch in sales.numbers; it has x",
        ),
        ("types", "error", "", "invalid series dtype: expected `String`, got `i64`"),
        ("compared", "error", "", "cannot compare string with numeric type"),
        (
            "relation",
            "error",
            f"{SALES}:{line_of('x, w')}",
            "no column w in sales.numbers; it has x",
        ),
        ("queried", "error", "", "no column w in sales.numbers; it has x"),
        ("turned", "note", "", "its function, run without rows, raised BinderException"),
        ("fetched", "note", "", "its function, run without rows, raised BinderException"),
        (
            "misspelled",
            "error",
            f"{SALES}:{line_of('return numbrs')}",
            "its function raises NameError: name 'numbrs' is not defined",
        ),
        ("nothing", "error", "", "its function returned NoneType, which is no table"),
        ("promised", "error", "", "column y is BIGINT; its contract says VARCHAR"),
        ("after", "error", "", "no column w in sales.promised; it has x, y"),
        ("pivoted", "note", "", "its function, run without rows, raised ColumnNotFoundError"),
        ("first", "note", "", "its function, run without rows, raised TypeError"),
        ("counts", "note", "", "its function returned NoneType, which is no table"),
        ("writes", "note", "", "it is run without rows, and may change nothing"),
        ("alone", "note", "", "its function reads no inputs, so it is not run without data"),
        ("text", "note", "", "a Python function writes it as a file"),
        ("below", "note", "", "the columns of sales.alone are not known"),
    ],
)
def test_an_error_is_said_where_it_is(
    name: str,
    level: str,
    place: str,
    what: str,
    findings: dict[str, tuple[str, str, str]],
) -> None:
    found = findings[name]
    assert (found[0], what in found[2]) == (level, True), found
    assert found[1] == place or not place, found


def test_a_function_that_collects_is_fine(findings: dict[str, tuple[str, str, str]]) -> None:
    assert "collects" not in findings
