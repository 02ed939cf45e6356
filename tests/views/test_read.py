"""Reading from Python."""

from datetime import UTC, datetime

import polars as pl
import pytest

import assay
from assay.errors import UsageError
from tests.conftest import Place


@pytest.fixture
def shop(place: Place) -> Place:
    place.write(
        "products/sales.py",
        "sql_product('p', 'from numbers', owner='o')\nsql_product('q', 'select x * 10 as x from p', owner='o')\n"
        "@product(owner='o', file='f.txt')\ndef f(p): return 'text'",
        header=True,
    )
    place.materialize("--now", "2011-12-08T07:00")
    place.numbers("a", 5)
    place.materialize("--now", "2011-12-09T07:00")
    return place


def test_read(shop: Place) -> None:
    frame = assay.read("sales.p", project=shop.root)
    assert isinstance(frame, pl.LazyFrame)
    assert frame.collect()["x"].to_list() == [5]
    assert assay.read("q", project=shop.root / "products").collect()["x"].to_list() == [50]


@pytest.mark.parametrize(
    "as_of",
    [1, "1", "2011-12-08T12:00", datetime(2011, 12, 8, 12, tzinfo=UTC), datetime(2011, 12, 8, 12)],
)
def test_read_as_of(shop: Place, as_of) -> None:
    assert sorted(assay.read("p", as_of=as_of, project=shop.root).collect()["x"]) == [1, 2, 3]


def test_connect_shows_every_table_of_one_moment(shop: Place) -> None:
    connection = assay.connect(project=shop.root, as_of=1)
    assert connection.execute(
        "select sum(p.x), sum(q.x) from sales.p p join sales.q q on q.x = p.x * 10"
    ).fetchall() == [(6, 60)]
    assert assay.connect(project=shop.root).execute("from sales.q").fetchall() == [(50,)]
    assert assay.connect(project=shop.root).execute("from q").fetchall() == [(50,)]


def test_a_day_is_the_same_on_every_machine(shop: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    day = "select ('2024-01-31 23:30:00+00'::timestamptz)::date::varchar from q"
    assert assay.connect(project=shop.root).execute(day).fetchall() == [("2024-01-31",)]


def test_path_of_a_file(shop: Place) -> None:
    assert assay.path("f", project=shop.root).read_text() == "text"
    with pytest.raises(UsageError, match=r"is a file, not a table\n.*assay\.path"):
        assay.read("f", project=shop.root)


def test_names_and_environments(shop: Place) -> None:
    with pytest.raises(UsageError, match=r"is not published in prod\n.*Did you mean sales\.q"):
        assay.read("sales.qq", project=shop.root)
    with pytest.raises(UsageError, match="there is no environment staging"):
        assay.read("p", env="staging", project=shop.root)
    shop.environment("staging")
    with pytest.raises(UsageError, match="not published in staging"):
        assay.read("p", env="staging", project=shop.root)
    with pytest.raises(UsageError, match="no project here"):
        assay.read("p", project="/")
    with pytest.raises(UsageError, match=r"as of 2001.*\n.*`products history p` says when"):
        assay.read("p", as_of="2001-01-01", project=shop.root)
    with pytest.raises(UsageError, match="is no moment"):
        assay.read("p", as_of="noon", project=shop.root)
