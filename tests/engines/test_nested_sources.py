"""Lists and structs in the files of sources: declared, checked, and read alike by both engines."""

import json
from typing import Any

import polars as pl
import pytest

from assay.engines.nested import nested_column
from tests.conftest import Place

HEADER = "import polars as pl\nfrom assay import product, source, sql_product\n"
COLUMNS = {
    "id": "bigint",
    "tags": "varchar[]",
    "address": 'struct(zip varchar, "the street" varchar, geo struct(lat double, lon double))',
    "lines": "struct(sku varchar, price decimal(18, 2), at timestamp, days date[])[]",
}
ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "tags": ["a", None, "ü\"'"],
        "address": {"zip": "01067", "the street": "x", "geo": {"lat": 1.5, "lon": -0.0}},
        "lines": [
            {"sku": "s", "price": "1234567890123456.78", "at": "2024-01-31 10:00:00", "days": []},
            None,
            {"sku": None, "price": None, "at": None, "days": ["2024-01-31", None]},
        ],
    },
    {"id": 2, "tags": [], "address": None, "lines": []},
    {
        "id": 3,
        "tags": None,
        "address": {"zip": None, "the street": None, "geo": None},
        "lines": None,
    },
]
PRODUCTS = """
by_sql = sql_product("by_sql", "from raw", owner="o")

@product(owner="o")
def by_function(raw): return raw
"""


def _declare(place: Place, file: str, columns: object) -> None:
    source = f"raw = source.files('in/{file}', columns={columns!r})"
    place.write("products/shop.py", HEADER + source + PRODUCTS)


def _typed() -> pl.DataFrame:
    line = pl.Struct(
        {
            "sku": pl.String,
            "price": pl.Decimal(18, 2),
            "at": pl.Datetime("us"),
            "days": pl.List(pl.Date),
        }
    )
    geo = pl.Struct({"lat": pl.Float64, "lon": pl.Float64})
    address = pl.Struct({"zip": pl.String, "the street": pl.String, "geo": geo})
    rows = [{**row, "lines": _line_values(row["lines"])} for row in ROWS]
    schema = {
        "id": pl.Int64,
        "tags": pl.List(pl.String),
        "address": address,
        "lines": pl.List(line),
    }
    return pl.DataFrame(rows, schema=schema)


def _line_values(lines: list[dict[str, Any] | None] | None) -> object:
    from datetime import date, datetime
    from decimal import Decimal

    if lines is None:
        return None
    return [
        line
        and {
            "sku": line["sku"],
            "price": line["price"] and Decimal(line["price"]),
            "at": line["at"] and datetime.fromisoformat(line["at"]),
            "days": [day and date.fromisoformat(day) for day in line["days"]],
        }
        for line in lines
    ]


def _write(place: Place, format: str) -> None:
    folder = place.root / "in"
    folder.mkdir(exist_ok=True)
    if format == "parquet":
        # Other order of fields, and fields that nobody declared.
        frame = _typed().with_columns(
            pl.when(pl.col("address").is_not_null())
            .then(
                pl.struct(
                    pl.lit(1).alias("more"),
                    *(pl.col("address").struct.field(n) for n in ("geo", "zip", "the street")),
                )
            )
            .alias("address")
        )
        frame.write_parquet(folder / "a.parquet")
        return
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    text = text.replace('"1234567890123456.78"', "1234567890123456.78")
    if format == "json":
        text = "[" + text.replace("\n", ",\n") + "]"
    (folder / f"a.{format}").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("format", ["parquet", "jsonl", "json"])
def test_both_engines_read_the_same_values(place: Place, format: str) -> None:
    import assay

    _write(place, format)
    _declare(place, f"a.{format}", COLUMNS)
    assert place.materialize("-s", "domain:shop")[""]["exit_code"] == 0
    for name in ("shop.by_sql", "shop.by_function"):
        read = assay.read(name, project=place.root).collect().sort("id")
        assert read.to_dicts() == _typed().to_dicts()
        assert [str(t) for t in read.dtypes] == [str(t) for t in _typed().dtypes]


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ({"zip": 1, "the street": "x", "geo": None}, "address.zip should be VARCHAR; it is Int64"),
        ({"Zip": "1", "the street": "x", "geo": None}, "should have a field 'zip'; it has 'Zip'"),
        ({"the street": "x", "geo": None}, "should have a field 'zip'; it has the street, geo"),
        ({"zip": "1", "ZIP": "1", "the street": "x", "geo": None}, "they differ by case alone"),
        (["01067"], "address should be a struct; it is List"),
    ],
)
def test_a_parquet_file_with_other_fields_is_a_fault(
    place: Place, stored: object, said: str
) -> None:
    (place.root / "in").mkdir()
    pl.DataFrame({"id": [1], "address": [stored]}).write_parquet(place.root / "in/a.parquet")
    _declare(place, "a.parquet", {name: COLUMNS[name] for name in ("id", "address")})
    out = place.run("materialize", "-s", "domain:shop").out
    assert "in/a.parquet has a column 'address' that does not fit" in out
    assert said in out


ADDRESS = '{"id": %d, "address": {"zip": "1", "the street": null, "geo": null}}\n'


@pytest.mark.parametrize(
    ("column", "line", "said"),
    [
        ("address", '{"id": 9, "address": [1]}', "line 2: column 'address' should be STRUCT("),
        ("address", '{"id": 9, "address": 5}', "line 2: column 'address' should be STRUCT("),
        (
            "address",
            '{"id": 9, "address": {"zip": "1", "Zip": "2"}}',
            "line 2: column 'address' should be STRUCT(",
        ),
        (
            "address",
            '{"id": 9, "address": {"geo": {"lat": "north"}}}',
            "line 2: column 'address' should be STRUCT(",
        ),
        ("tags", '{"id": 9, "tags": "a"}', "line 1: column 'tags' should be VARCHAR[]"),
        ("tags", '{"id": 9, "tags": {"a": 1}}', "line 1: column 'tags' should be VARCHAR[]"),
        ("lines", '{"id": 9, "lines": [{"price": 1.234}]}', "line 1: column 'lines' should be"),
        ("lines", '{"id": 9, "lines": [{"days": [1]}]}', "line 1: column 'lines' should be"),
        ("lines", '{"id": 9, "lines": [[]]}', "line 1: column 'lines' should be"),
    ],
)
def test_a_value_in_json_that_is_not_of_the_type_is_a_fault_of_its_line(
    place: Place, column: str, line: str, said: str
) -> None:
    before = ADDRESS % 1 if column == "address" else ""
    place.write("in/a.jsonl", before + line + "\n")
    _declare(place, "a.jsonl", {"id": "bigint", column: COLUMNS[column]})
    assert said in place.run("materialize", "-s", "domain:shop").out


def test_a_field_that_no_object_has_is_a_fault_and_one_that_some_lack_is_null(
    place: Place,
) -> None:
    place.write("in/a.jsonl", '{"id": 1, "lines": [{"sku": "a"}, null]}\n{"id": 2, "lines": []}\n')
    columns = {"id": "bigint", "lines": "struct(sku varchar, price decimal(9, 2))[]"}
    _declare(place, "a.jsonl", columns)
    out = place.run("materialize", "-s", "domain:shop").out
    assert "in/a.jsonl: no object in 'lines[]' has the key 'price', not even as null" in out
    place.write("in/b.jsonl", "")
    place.write("in/a.jsonl", '{"id": 1, "lines": [{"sku": "a"}, {"sku": "b", "price": null}]}\n')
    assert place.materialize("-s", "domain:shop")[""]["exit_code"] == 0
    [row] = place.query("select lines from by_sql")
    assert [line["sku"] for line in row["lines"]] == ["a", "b"]


@pytest.mark.parametrize(
    "type",
    [
        *(
            "time[]",
            "struct()",
            "struct(x)",
            "struct(x bigint, X bigint)",
            "bigint[3]",
            "map(a, b)",
        ),
        *("struct(x interval)", "timestamp_ns[]", "bigint[" * 3, "[]", "struct(x bigint"),
        *(pl.List(pl.Enum(["a"])), pl.Struct({"x": pl.Datetime("us", "Europe/Rome")})),
        *(pl.List, pl.Struct({}), pl.List(pl.Time), "bigint" + "[]" * 100),
    ],
)
def test_types_that_cannot_be_read_exactly_are_refused(type: object) -> None:
    assert nested_column("x", type) is None


def test_types_are_spelled_alike_however_they_are_declared() -> None:
    of_polars = nested_column("x", pl.List(pl.Struct({"a b": pl.Int64, "c": pl.List(pl.String)})))
    of_sql = nested_column("x", ' STRUCT ( "a b"  bigint , c  Varchar[] ) [] ')
    assert of_polars == of_sql and of_sql is not None
    assert of_sql.type == 'STRUCT("a b" BIGINT, "c" VARCHAR[])[]'


def test_csv_has_no_lists(place: Place) -> None:
    place.write("in/a.csv", "id,tags\n1,a\n")
    _declare(place, "a.csv", {"id": "bigint", "tags": "varchar[]"})
    out = place.run("check").err
    assert "column 'tags' is VARCHAR[], and CSV has no lists or structs" in out


def test_the_contract_that_is_suggested_holds_for_queries_and_functions(place: Place) -> None:
    _write(place, "jsonl")
    _declare(place, "a.jsonl", COLUMNS)
    assert place.materialize("-s", "domain:shop")[""]["exit_code"] == 0
    suggested = place.run("suggest", "shop.by_sql").out
    assert "by hand" not in suggested
    file = place.root / "products/shop.py"
    code = file.read_text("utf-8").replace('owner="o"', 'owner="o", contract=BySql')
    file.write_text(f"{suggested}\n{code}", "utf-8")
    told = place.materialize("-s", "domain:shop")
    assert told[""]["exit_code"] == 0
    for name in ("shop.by_sql", "shop.by_function"):
        assert (told[name]["verdict"], told[name]["rule_count"]) == ("passed", 7)
