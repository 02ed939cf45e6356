"""A connection creates its views when a text names them."""

import duckdb
import pytest

import assay
from assay.errors import StoreError
from tests.conftest import Place

QUERY = "'select x from sales.numbers'"


@pytest.fixture
def shop(place: Place) -> Place:
    """Two domains with four tables; `b` is the bare name of two."""
    declared = f"sql_product({{!r}}, {QUERY}, owner='o')\n".format
    place.write("products/sales.py", declared("a") + declared("b"), header=True)
    text = "from assay import sql_product\n" + declared("b") + declared("c")
    place.write("products/stock.py", text)
    assert place.materialize()[""]["exit_code"] == 0
    return place


def created(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the views that there are, without asking the connection in a way that creates them."""
    query = "select schema_name || '.' || view_name from duckdb_views() where not internal"
    answer = duckdb.DuckDBPyConnection.execute(connection, query)
    return {name for (name,) in answer.fetchall()}


A = {"sales.a", "main.a"}
C = {"stock.c", "main.c"}
B = {"sales.b", "stock.b"}


def test_views_are_created_when_they_are_named(shop: Place) -> None:
    with assay.connect(project=shop.root) as connection:
        assert isinstance(connection, duckdb.DuckDBPyConnection)
        assert created(connection) == set()
        assert connection.execute("select sum(x) from a").fetchall() == [(6,)]
        assert created(connection) == A
        assert connection.sql('select sum(x) from "stock".C').fetchall() == [(6,)]
        assert created(connection) == A | C
        with pytest.raises(duckdb.CatalogException):  # of two domains
            connection.execute("from b")
        assert connection.table("sales.b").fetchall() == [(1,), (2,), (3,)]
        assert created(connection) == A | B | C


@pytest.mark.parametrize(
    "query",
    [
        "show all tables",
        "from information_schema.tables",
        "from duckdb_views()",
        "from query_table('sales' || '.' || chr(97))",
        "begin",
    ],
)
def test_all_are_there_for_who_asks_what_there_is(shop: Place, query: str) -> None:
    with assay.connect(project=shop.root) as connection:
        connection.execute(query)
        assert created(connection) == A | B | C


def test_cursors_statements_and_transactions(shop: Place) -> None:
    with assay.connect(project=shop.root) as connection:
        cursor = connection.cursor()
        cursor.execute("use stock")
        assert cursor.execute("select sum(x) from b").fetchall() == [(6,)]
        [statement] = connection.extract_statements("select sum(x) from c")
        assert connection.execute(statement).fetchall() == [(6,)]
        connection.begin()
        connection.execute("from a")
        connection.rollback()
        assert connection.execute("select count(*) from a").fetchall() == [(3,)]


def test_damage_is_told_by_the_query_that_reads_it(shop: Place) -> None:
    file = assay.path("sales.a", project=shop.root)
    connection = assay.connect(project=shop.root)
    assert connection.execute("select sum(x) from c").fetchall() == [(6,)]
    file.unlink()
    with pytest.raises(StoreError, match=r"sales\.a .* is missing"):
        connection.execute("from a")
    assert connection.execute("select sum(x) from c").fetchall() == [(6,)]


def test_later_releases_and_gc_change_nothing(shop: Place) -> None:
    shop.edit(
        "pyproject.toml", "[tool.products]", "[tool.products]\nkeep_versions = 1\nkeep_days = 0"
    )
    with assay.connect(project=shop.root) as connection:
        for value in range(4, 7):
            shop.numbers("b", value)
            assert shop.materialize()[""]["exit_code"] == 0
        assert shop.run("gc", "--now", "2999-01-01").code == 0
        assert connection.execute("select max(x) from a").fetchall() == [(3,)]
    assert assay.read("a", project=shop.root).collect()["x"].max() == 6


def test_a_moment_and_what_is_not_public(shop: Place) -> None:
    shop.numbers("b", 4)
    shop.edit("products/stock.py", f"'c', {QUERY}", f"'c', {QUERY}, access='private'")
    assert shop.materialize()[""]["exit_code"] == 0
    with assay.connect(project=shop.root, as_of=1) as connection:
        assert connection.execute("select max(x) from sales.a").fetchall() == [(3,)]
        connection.execute("show all tables")
        assert created(connection) == A | B
