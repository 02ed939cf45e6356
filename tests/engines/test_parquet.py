"""Parquet files that are not ours: what is declared is handed over to queries and functions alike, or an error says why."""

import datetime as dt
from textwrap import dedent
from typing import Any

import polars as pl
import pytest

from tests.conftest import Place

BERLIN = "pl.Datetime('us', 'Europe/Berlin')"
STATUS = "pl.Enum(['open', 'paid', 'void'])"
BOTH = """
    raw = source.files("in/*.parquet", columns={columns})
    by_sql = sql_product("by_sql", "select * from raw", owner="o")
    @product(owner="o")
    def by_function(raw): return raw
"""


def declare(place: Place, frame: pl.DataFrame, columns: str) -> None:
    (place.root / "in").mkdir()
    frame.write_parquet(place.root / "in/a.parquet")
    place.write("products/sales.py", BOTH.replace("{columns}", columns), header=True)


REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "columns that differ by case": (
        {"Amount": [9.0], "amount": [1.0]},
        "{'amount': pl.Float64}",
        ["in/a.parquet has the columns 'Amount' and 'amount'"],
    ),
    "a column in another case": (
        {"Amount": [9.0]},
        "{'amount': pl.Float64}",
        ["it is not there; it has Amount"],
    ),
    "two columns at once": (
        {"a": ["1"], "c": [1]},
        "{'a': pl.Int64, 'b': pl.Int64, 'c': pl.Int64}",
        [
            "column 'a' of type BIGINT; it is VARCHAR",
            "column 'b' of type BIGINT; it is not there; it has a, c",
        ],
    ),
    "no value of an Enum": (
        {"x": ["open", None, "PAID"]},
        f"{{'x': {STATUS}}}",
        ["in/a.parquet, row 3: column 'x' should be ENUM('open', 'paid', 'void'); it is 'PAID'"],
    ),
    "too large a number": (
        {"x": [1, 2**40]},
        "{'x': 'integer'}",
        ["in/a.parquet, row 2: column 'x' should be INTEGER; it is 1099511627776"],
    ),
    "nanoseconds": (
        {"x": pl.Series([0, 1_704_067_199_999_999_999], dtype=pl.Datetime("ns", "UTC"))},
        "{'x': 'timestamptz'}",
        [
            "row 2: column 'x' should be TIMESTAMP WITH TIME ZONE; it is 2023-12-31 23:59:59.999999999 UTC"
        ],
    ),
    "nanoseconds of a day": (
        {"x": pl.Series([1], dtype=pl.Time)},
        "{'x': pl.Time}",
        ["in/a.parquet, row 1: column 'x' should be TIME; it is 00:00:00.000000001"],
    ),
    "digits of a decimal": (
        {"x": pl.Series(["123.45"]).cast(pl.Decimal(9, 2))},
        "{'x': 'decimal(4,2)'}",
        ["column 'x' should be DECIMAL(4,2); it is Decimal('123.45')"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_as_declared_is_refused_alike(place: Place, case: str) -> None:
    data, columns, words = REFUSED[case]
    declare(place, pl.DataFrame(data), columns)
    told = place.materialize()
    for name in ("sales.by_sql", "sales.by_function"):
        assert told[name]["result"] == "failed", place.query(f"from {name}")
        for some in words:
            assert some in told[name]["error"], told[name]


def test_an_enum_has_its_order_in_both_engines(place: Place) -> None:
    declare(place, pl.DataFrame({"x": ["void", "open", "paid"]}), f"{{'x': {STATUS}}}")
    ordered = """
    first = sql_product("first", "select min(x) as a, max(x) as z, max(x::varchar) as t from raw", owner="o")
    @product(owner="o")
    def second(raw): return raw.select(a=pl.col("x").min(), z=pl.col("x").max(), t=pl.col("x").cast(pl.String).max())
    """
    file = place.root / "products/sales.py"
    file.write_text(file.read_text() + dedent(ordered))
    told = place.materialize()
    assert {
        told[f"sales.{name}"]["result"] for name in ("by_sql", "by_function", "first", "second")
    } == {"published"}
    assert (
        place.query("from first")
        == place.query("from second")
        == [{"a": "open", "z": "void", "t": "void"}]
    )
    assert place.query("select typeof(x) as t from by_sql limit 1") == [{"t": "VARCHAR"}]


def test_a_function_has_the_declared_zone_and_a_query_utc(place: Place) -> None:
    night = dt.datetime(2024, 6, 1, 0, 30)
    frame = pl.DataFrame({"t": [night]}).with_columns(
        pl.col("t").dt.replace_time_zone("Europe/Berlin")
    )
    declare(place, frame, f"{{'t': {BERLIN}}}")
    place.edit(
        "products/sales.py",
        "def by_function(raw): return raw",
        "def by_function(raw): return raw.with_columns(day=pl.col('t').dt.date())",
    )
    place.edit(
        "products/sales.py",
        "select * from raw",
        "select t, t::date as utc, (t at time zone 'Europe/Berlin')::date as day from raw",
    )
    place.materialize()
    assert place.query("select day::varchar as d from by_function") == [{"d": "2024-06-01"}]
    assert place.query("select utc::varchar as u, day::varchar as d from by_sql") == [
        {"u": "2024-05-31", "d": "2024-06-01"}
    ]
    [file] = [
        f for f in (place.root / ".products/store").rglob("*.parquet") if "by_function" in str(f)
    ]
    assert pl.read_parquet_schema(file)["t"] == pl.Datetime("us", "Europe/Berlin"), (
        "the product keeps the zone"
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("{'a': pl.Int64, 'A': pl.Int64}", "the columns 'a' and 'A' differ by case alone"),
        ("{'x': pl.Datetime('us', 'Europe/Berlim')}", "column 'x' cannot be read as"),
        ("{'x': pl.Enum([])}", "column 'x' cannot be read as"),
        ("{'x': pl.Categorical(pl.Categories('mine'))}", "column 'x' cannot be read as"),
        ("{'x': pl.Duration}", "column 'x' cannot be read as"),
    ],
)
def test_what_no_source_can_be_declared_as(place: Place, columns: str, words: str) -> None:
    place.write("products/sales.py", BOTH.replace("{columns}", columns), header=True)
    ran = place.run("plan")
    assert ran.code == 2
    assert words in ran.err


@pytest.mark.parametrize(
    "made",
    [
        "pl.DataFrame({'s': [{'a': 1, 'A': 2}]})",
        "pl.DataFrame({'s': [[{'a': {'b': 1, 'B': 2}}]]})",
    ],
)
def test_fields_of_structs_that_differ_by_case_are_refused(place: Place, made: str) -> None:
    place.write("products/sales.py", f"@product(owner='o')\ndef p(): return {made}", header=True)
    told = place.materialize()["sales.p"]
    assert told["result"] == "failed"
    assert "has more than one field" in told["error"]


def test_a_damaged_file_is_named(place: Place) -> None:
    declare(place, pl.DataFrame({"x": range(1000)}), "{'x': 'integer'}")
    good = (place.root / "in/a.parquet").read_bytes()
    (place.root / "in/b.parquet").write_bytes(good[:4] + b"\xff" * 40 + good[44:])
    told = place.materialize()
    for name in ("sales.by_sql", "sales.by_function"):
        assert "in/b.parquet cannot be read" in told[name]["error"], told[name]


def test_a_value_is_looked_at_once_and_not_told_where_it_is_sensitive(place: Place) -> None:
    declare(place, pl.DataFrame({"x": ["open", "4929-1234"]}), f"{{'x': {STATUS}}}")
    secret = "pa.DataFrameSchema({'x': pa.Column(metadata={'sensitive': True})})"
    place.edit("products/sales.py", 'raw", owner="o"', f'raw", owner="o", contract={secret}')
    for told in (place.materialize()[name] for name in ("sales.by_sql", "sales.by_function")):
        assert (
            "in/a.parquet, row 2: column 'x' should be ENUM('open', 'paid', 'void')"
            in told["error"]
        )
        assert "4929-" not in str(told)
    pl.DataFrame({"x": ["open", "void"]}).write_parquet(place.root / "in/a.parquet")
    assert place.materialize()["sales.by_sql"]["result"] == "published"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "assay.engines.formats.parquet.inspect", lambda *_: pytest.fail("it is looked at again")
        )
        assert place.materialize("--force")["sales.by_function"]["result"] == "published"
