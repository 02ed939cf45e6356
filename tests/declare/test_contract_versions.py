"""`version=` and `deprecated=`: what is declared, and what depends on it."""

import pytest

from tests.conftest import Place

PRODUCT = """
class Total(pa.DataFrameModel):
    total: int

total = sql_product("total", "select sum(x)::bigint as total from numbers", owner="o", contract=Total{})
"""


def declare(place: Place, more: str = "") -> None:
    place.write("products/sales.py", PRODUCT.format(more), header=True)


def test_they_are_shown(place: Place) -> None:
    declare(place, ', version="1.4.0", deprecated={"total": "2026-03-01"}')
    [view, _] = place.run("ls", "--json").json
    assert view["version"] == "1.4.0"
    assert view["deprecated"] == [{"name": "total", "until": "2026-03-01"}]


def test_a_day_may_be_a_date(place: Place) -> None:
    declare(place, ', deprecated={"total": __import__("datetime").date(2026, 3, 1)}')
    assert place.run("ls", "--json").json[0]["deprecated"] == [
        {"name": "total", "until": "2026-03-01"}
    ]


def test_nothing_is_stale_by_them(place: Place) -> None:
    place.numbers("a", 1)
    declare(place)
    assert place.materialize()["sales.total"]["result"] == "published"
    declare(place, ', version="1.4.0", deprecated={"total": "2026-03-01"}')
    assert place.materialize()["sales.total"]["result"] == "unchanged"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ('version="1.4"', "version '1.4' is no version of a contract"),
        ("version=1.4", "version"),
        ('deprecated={"totl": "2026-03-01"}', "deprecated 'totl' is no column of its contract"),
        ('deprecated={"total": "soon"}', "deprecated until 'soon', which is no date"),
        ('deprecated={"total": "20260301"}', "which is no date"),
        ('deprecated=["total"]', "a mapping of columns to dates"),
    ],
)
def test_mistakes_are_told(place: Place, more: str, problem: str) -> None:
    declare(place, f", {more}")
    ran = place.run("plan")
    assert ran.code == 2
    assert problem in ran.err
    assert "products/sales.py:" in ran.err
