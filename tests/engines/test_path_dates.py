"""Days, months and years in paths that are written otherwise than in ISO."""

from datetime import date

import polars as pl
import pytest

from assay.plan.parts import template
from assay.plan.path_dates import ISO, iso_of, kind_of
from tests.conftest import Place

HEADER = "from assay import product, source, sql_product\n"


@pytest.mark.parametrize(
    ("placeholder", "path", "key", "value"),
    [
        ("{d:date:%Y%m%d}", "20240229", "2024-02-29", date(2024, 2, 29)),
        ("{d:date:%d.%m.%y}", "29.02.24", "2024-02-29", date(2024, 2, 29)),
        ("{d:date:%Y/%m/%d}", "2024/02/29", "2024-02-29", date(2024, 2, 29)),
        ("{d:date:%-d-%-m-%Y}", "3-1-2024", "2024-01-03", date(2024, 1, 3)),
        ("{d:date:%d%b%Y}", "29FEB2024", "2024-02-29", date(2024, 2, 29)),
        ("{d:date:%Y%j}", "2024060", "2024-02-29", date(2024, 2, 29)),
        ("{d:month:%Y%m}", "202402", "2024-02", "2024-02"),
        ("{d:month:%B_%Y}", "february_2024", "2024-02", "2024-02"),
        ("{d:year:%y}", "69", "1969", 1969),
    ],
)
def test_a_part_is_named_as_in_iso_and_rows_have_its_value_in_both_engines(
    place: Place, placeholder: str, path: str, key: str, value: object
) -> None:
    for format in ("csv", "parquet"):
        file = place.root / f"in/{format}_{path}.{format}"
        file.parent.mkdir(parents=True, exist_ok=True)
        frame = pl.DataFrame({"x": [1]})
        frame.write_csv(file) if format == "csv" else frame.write_parquet(file)
    place.write(
        "products/shop.py",
        HEADER
        + f"""
text = source.files("in/csv_{placeholder}.csv", columns={{"x": "bigint"}})
raw = source.files("in/parquet_{placeholder}.parquet", columns={{"x": "bigint"}})
by_sql = sql_product("by_sql", "select d, x from text", owner="o", each="text")

@product(owner="o", each="raw")
def by_function(raw): return raw
""",
    )
    assert place.materialize("-s", "domain:shop")[""]["exit_code"] == 0
    for name in ("by_sql", "by_function"):
        assert [*place.parts(f"shop.{name}")] == [key]
        assert place.query(f"select d, x from {name}") == [{"d": _json(value), "x": 1}]


def _json(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def test_every_day_is_read_as_it_is_written() -> None:
    days = [date(1969, 1, 1), date(1999, 12, 31), date(2000, 2, 29), date(2068, 10, 9)]
    for format in ("%Y%m%d", "%y%m%d", "%d-%b-%Y", "%d%B%y", "%Y.%j", "%Y/%m/%d"):
        iso = iso_of(format, kind_of(format))
        assert [iso(day.strftime(format)) for day in days] == [day.isoformat() for day in days]
    assert {kind_of(format) for format in ISO.values()} == set(ISO)


@pytest.mark.parametrize(
    ("placeholder", "said"),
    [
        ("{d:date:%Y%m}", "of a date should say year, month and day once"),
        ("{d:date:%Y%m%d%d}", "has %d twice"),
        ("{d:date:%Y%m%d%H}", "has %H; a path may have %Y, %y"),
        ("{d:date:%Y%m%}", "ends in a %"),
        ("{d:month:%Y%m%d}", "of a month should say year and month once"),
        ("{d:year:year}", "of a year should say year once"),
        ("{shop:str:%Y}", "is for date, month and year"),
        ("{d:date:}", "should say year, month and day"),
        ("{d:week:%Y}", "is no placeholder"),
    ],
)
def test_a_format_that_cannot_be_meant_is_a_mistake(placeholder: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"placeholder|format") as raised:
        template(f"in/{placeholder}.csv")
    assert said in str(raised.value)


def test_a_day_that_does_not_exist_is_a_path_without_a_part(place: Place) -> None:
    for day in ("20240228", "20240230"):
        place.write(f"in/{day}.csv", "x\n1\n")
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/{d:date:%Y%m%d}.csv", columns={"x": "bigint"})
p = sql_product("p", "from raw", owner="o")
""",
    )
    assert "in/20240230.csv does not say its" in place.run("materialize", "-s", "shop.p").out


def test_days_are_read_beside_other_placeholders(place: Place) -> None:
    place.write("in/shop=A%20B/20240228.csv", "x\n1\n")
    place.write(
        "products/shop.py",
        HEADER
        + """
raw = source.files("in/shop={shop}/{d:date:%Y%m%d}.csv", columns={"x": "bigint"})
p = sql_product("p", "select shop, d, x from raw", owner="o", each="raw")
""",
    )
    assert place.materialize("-s", "shop.p")[""]["exit_code"] == 0
    assert place.query("select shop, d, x from p") == [{"shop": "A B", "d": "2024-02-28", "x": 1}]
    assert [*place.parts("shop.p")] == ["A B/2024-02-28"]
