"""Descriptions of columns are shown everywhere, and make nothing stale."""

import pytest

from tests.conftest import Place

PLAIN = """
class Lines(pa.DataFrameModel):
    x: int
    y: int = pa.Field(ge=0)
    z: int = pa.Field(ge=0)

    class Config:
        strict = True

@product(owner="o", contract=Lines)
def lines(marks: pl.LazyFrame) -> pl.LazyFrame:
    return marks.with_columns(y=pl.col("x"), z=pl.col("x"))

Sums = pa.DataFrameSchema({"x": pa.Column(pl.Int64)})
sql_product("sums", "select sum(x)::bigint as x from lines", owner="o", contract=Sums)
marks = source.files("data/*.csv", columns={"x": "bigint"})
"""
DESCRIBED = '''
class Lines(pa.DataFrameModel):
    """A line a row.

    More about it.
    """

    x: int = pa.Field(description="the mark")
    y: int = pa.Field(ge=0, description="the mark, " + "again")
    z: int = pa.Field(ge=0)

    class Config:
        strict = True
        description = "a line  a row"

@product(owner="o", contract=Lines)
def lines(marks: pl.LazyFrame) -> pl.LazyFrame:
    return marks.with_columns(y=pl.col("x"), z=pl.col("x"))

Sums = pa.DataFrameSchema({"x": pa.Column(pl.Int64, description="the sum")}, description="one row")
sql_product("sums", "select sum(x)::bigint as x from lines", owner="o", contract=Sums)
marks = source.files("data/*.csv", columns={"x": ("bigint", "a mark, as read")})
'''


@pytest.fixture
def described(place: Place) -> Place:
    place.write("products/sales.py", DESCRIBED, header=True)
    assert place.materialize()[""]["exit_code"] == 0
    return place


def plan(place: Place) -> dict[str, str]:
    return {step["product"]: step["result"] for step in place.run("plan", "--json").json}


def test_a_description_makes_nothing_stale(place: Place) -> None:
    place.write("products/sales.py", PLAIN, header=True)
    assert place.materialize()[""]["exit_code"] == 0
    place.write("products/sales.py", DESCRIBED, header=True)
    assert plan(place) == {"sales.lines": "unchanged", "sales.sums": "unchanged"}
    place.edit("products/sales.py", "ge=0, description", "ge=-1, description")
    assert plan(place)["sales.lines"] == "check", "what else a field says counts"


def test_a_config_with_a_description_alone_is_none(place: Place) -> None:
    plain = "class Lines(pa.DataFrameModel):\n    x: int\n"
    made = 'sql_product("a", "from numbers", owner="o", contract=Lines)\n'
    place.write("products/sales.py", plain + made, header=True)
    assert place.materialize()[""]["exit_code"] == 0
    config = '    class Config:\n        description: str = "numbers"\n'
    place.write("products/sales.py", plain + config + made, header=True)
    assert plan(place) == {"sales.a": "unchanged"}


def test_code_that_names_the_model_may_use_its_descriptions(described: Place) -> None:
    described.write(
        "products/more.py",
        "from assay import product\nfrom products.sales import Lines\nimport polars as pl\n"
        '@product(owner="o")\n'
        "def notes():\n"
        "    columns = Lines.to_schema().columns\n"
        '    return pl.DataFrame({"note": [str(columns["x"].description)]})\n',
    )
    assert described.materialize()[""]["exit_code"] == 0
    described.edit("products/sales.py", '"the mark")', '"the mark of a line")')
    assert plan(described)["more.notes"] == "build"
    assert described.materialize()[""]["exit_code"] == 0
    assert described.query("select note from more.notes") == [{"note": "the mark of a line"}]


def test_descriptions_are_listed(described: Place) -> None:
    listed = {product["product"]: product for product in described.run("ls", "--json").json}
    lines = listed["sales.lines"]
    assert lines["description"] == "a line a row"
    assert [(column["name"], column["description"]) for column in lines["columns"]] == [
        ("x", "the mark"),
        ("y", "the mark, again"),
        ("z", ""),
    ]
    assert listed["sales.sums"]["description"] == "one row"
    assert listed["sales.sums"]["columns"] == [
        {"name": "x", "type": "BIGINT", "description": "the sum"}
    ]


def test_descriptions_are_shown(described: Place) -> None:
    shown = described.run("show", "lines").out.splitlines()
    assert shown[-3:] == ["  a line a row", "    x  the mark", "    y  the mark, again"]
    assert described.run("show", "lines", "--json").json[0] == {"x": 1, "y": 1, "z": 1}
    assert "    x  a mark, as read\n" in described.run("show", "marks").out
    assert described.run("show", "marks", "--json").json["columns"] == [
        {"name": "x", "type": "BIGINT", "description": "a mark, as read"}
    ]


def test_the_lineage_of_a_column_says_what_it_means(described: Place) -> None:
    lines = described.run("lineage", "sums.x").out.splitlines()
    assert lines[0] == "sales.sums.x  (BIGINT)  the sum"
    assert described.run("lineage", "marks.x", "--json").json["description"] == "a mark, as read"
    assert "description" not in described.run("lineage", "lines.z", "--json").json


def test_suggested_contracts_keep_them(described: Place) -> None:
    assert (
        'x: int = pa.Field(description="a mark, as read"' in described.run("suggest", "marks").out
    )
    suggested = described.run("suggest", "sums", "--json").json
    assert suggested["columns"][0]["description"] == "the sum"
    assert 'description="the sum"' in suggested["code"]


def test_the_docstring_of_a_model_describes_it(described: Place) -> None:
    described.edit("products/sales.py", '        description = "a line  a row"\n', "")
    listed = {product["product"]: product for product in described.run("ls", "--json").json}
    assert listed["sales.lines"]["description"] == "A line a row."


def test_what_is_no_text_is_a_mistake(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        class Lines(pa.DataFrameModel):
            x: int = pa.Field(description=5)

        sql_product("lines", "from numbers", owner="o", contract=Lines)
        marks = source.files("data/*.csv", columns={"x": ("bigint", 5)})
        other = source.files("data/*.csv", columns={"x": ("bigint", "half \\ud800")})
        sql_product("more", "from numbers", owner="o",
            contract=pa.DataFrameSchema({"x": pa.Column(pl.Int64, description="half \\ud800")}))
        """,
        header=True,
    )
    told = place.run("ls").err
    assert "sales.lines: the description of column x is int: write a text" in told
    assert "sales.marks: column 'x' cannot be read as ('bigint', 5)" in told
    assert "sales.other: column 'x' cannot be read as" in told
    assert "half a character is in the description of column x" in told
    assert '("bigint", "units sold")' in told
    assert "Traceback" not in told
