"""`products check`: what does not fit, without any data."""

from tests.conftest import Place

TOTAL = 'sql_product("total", "select sum({})::bigint as total from numbers", owner="o")\n'


def test_what_fits_is_said_in_one_line(place: Place) -> None:
    place.write("products/sales.py", TOTAL.format("x"), header=True)
    checked = place.run("check")
    assert (checked.code, checked.out) == (
        0,
        "1 product checked: 0 errors, 0 warnings, 0 notes\n",
    )


def test_a_column_that_is_not_there_is_an_error(place: Place) -> None:
    place.write("products/sales.py", TOTAL.format("y"), header=True)
    checked = place.run("check")
    assert checked.code == 4
    assert "products/sales.py:" in checked.out
    assert not (place.root / ".products/store").exists(), "nothing is built"
