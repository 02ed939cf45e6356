"""A suggested contract is code that pandera takes, and that what it was made of passes."""

from typing import Any

import pandera.polars as pa
import polars as pl
import pytest

import assay
from tests.conftest import Place
from tests.rules.test_exactness import pandera_says


def schema_of(code: str) -> Any:
    space: dict[str, Any] = {"rule": assay.rule, "__name__": "suggested"}
    exec(code, space)  # what a user pastes
    [model] = [
        v
        for v in space.values()
        if isinstance(v, type) and issubclass(v, pa.DataFrameModel) and v is not pa.DataFrameModel
    ]
    return model.to_schema(), space.get("rules", [])


def published(place: Place, name: str) -> pl.DataFrame:
    return assay.read(name, project=place.root).collect()


@pytest.mark.long
def test_what_it_suggests_for_the_example_holds(example: Place) -> None:
    assert example.spawn("materialize").code == 0
    tables = [
        p["product"]
        for p in example.run("ls", "--json").json
        if p["product"] != "finance.cfo_pack" and "reads" in p
    ]
    for name in tables:
        ran = example.run("suggest", name)
        assert ran.code == 0, ran.err
        schema, _ = schema_of(ran.out)
        assert pandera_says(schema, published(example, name)) == {}, (name, ran.out)
    sales = example.run("suggest", "sales_lines").out
    assert 'a cancellation", str_matches=r"^(\\d{6}|[A-Z]\\d{6})$")' in sales
    assert 'if known", nullable=True)  # in 75.7% of rows' in sales
    assert 'rule.check("stock_code looks as it mostly does"' in sales
    assert 'unique = ["day", "currency"]' in example.run("suggest", "fx_rates").out
    raw = example.run("suggest", "raw_sales").out
    assert "all can be read as times" in raw
    assert "Seen in sales.raw_sales: 108,604 rows." in raw


COLUMNS = {
    "plain": ("1::bigint", "int"),
    "with space": ("'a'", "str"),
    "class": ("true", "bool"),
    'quo"te': ("1.5::double", "float"),
    "quo'te": ("'b'", "str"),
    "quo\nte": ("2::bigint", "int"),
    "column_quo_te_2": ("3::bigint", "int"),
    "_hidden": ("date '2020-01-01'", "pl.Date"),
    "money": ("1.50::decimal(12,2)", "Annotated[pl.Decimal, 12, 2]"),
    "at": ("timestamptz '2020-01-01 00:00:00+00'", 'Annotated[pl.Datetime, "us", "UTC"]'),
    "Ümläut": ("2::smallint", "pl.Int16"),
    "nothing": ("null::varchar", "str"),
}


def test_odd_names_and_types(place: Place) -> None:
    listed = ", ".join(
        '{} as "{}"'.format(sql, name.replace('"', '""')) for name, (sql, _) in COLUMNS.items()
    )
    place.write(
        "products/sales.py",
        f"sql_product('p', '''select {listed} from range(3)''', owner='o')",
        header=True,
    )
    assert place.run("materialize").code == 0
    code = place.run("suggest", "p").out
    schema, _ = schema_of(code)
    assert list(schema.columns) == list(COLUMNS)
    assert pandera_says(schema, published(place, "sales.p")) == {}
    for _, annotation in COLUMNS.values():
        assert f": {annotation}" in code


def test_values_and_shapes_are_text_not_code(place: Place) -> None:
    values = ["'a\"\"); import os #'", "'\\n'", "'{x}'", "chr(27)"]
    union = " union all ".join(f"select {v} as c from range(40)" for v in values)
    place.write("products/sales.py", f"sql_product('p', r'''{union}''', owner='o')", header=True)
    assert place.run("materialize").code == 0
    ran = place.run("suggest", "p")
    assert "\x1b" not in ran.out
    schema, _ = schema_of(ran.out)
    assert pandera_says(schema, published(place, "sales.p")) == {}


def test_nothing_is_told_of_sensitive_columns(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        schema = pa.DataFrameSchema({"who": pa.Column(str, metadata={"sensitive": True})})
        sql_product("p", "select 'X' || (x % 3) as who from numbers, range(50)", owner="o", contract=schema)
        """,
        header=True,
    )
    place.materialize()
    ran = place.run("suggest", "p")
    assert 'who: str = pa.Field(metadata={"sensitive": True})  # in every row' in ran.out
    assert "X1" not in ran.out + str(place.run("suggest", "p", "--json").json)
    assert "[A-Z]" not in ran.out
    [column] = place.run("suggest", "p", "--json").json["columns"]
    assert (column["name"], column["type"], column["secret"]) == ("who", "VARCHAR", True)


@pytest.mark.parametrize(
    ("name", "told"), [("p", "is not published yet"), ("nope", "nope"), ("gone", "no file matches")]
)
def test_what_cannot_be_profiled(place: Place, name: str, told: str) -> None:
    place.write(
        "products/sales.py",
        'gone = source.files("gone/*.csv", columns={"x": pl.Int64})\nsql_product("p", "from numbers", owner="o")',
        header=True,
    )
    ran = place.run("suggest", name)
    assert ran.code == 2
    assert told in ran.err


def test_a_map_is_left_to_be_written_by_hand(place: Place) -> None:
    place.write(
        "products/sales.py",
        "sql_product('p', 'select 1 as x, map {1: 2} as m, [make_time(10, 0, 0)] as t, [1] as l', owner='o')",
        header=True,
    )
    place.materialize()
    code = place.run("suggest", "p").out
    schema, _ = schema_of(code)
    assert list(schema.columns) == ["x", "l"]
    assert "# m: MAP(INTEGER, INTEGER): a type to be written by hand" in code
    assert "# t: TIME[]: a type to be written by hand" in code


def test_what_most_rows_meet_becomes_a_rule(place: Place) -> None:
    sql = "select 'AB-' || (1000 + x) as c from range(999) t(x) union all select 'xx'"
    place.write("products/sales.py", f"sql_product('p', \"{sql}\", owner='o')", header=True)
    place.materialize()
    _, rules = schema_of(place.run("suggest", "p").out)
    assert [r.fail_above for r in rules] == ["1 %"]
