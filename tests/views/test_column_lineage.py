"""`products lineage NAME.COLUMN`, through the products of a project."""

import pytest

from tests.conftest import Place

PRODUCTS = """
sql_product("lines", "select x, x * 2 as twice, 'k' || x as k from numbers where x > 0", owner="a@shop")
sql_product("total", "select k, sum(twice)::bigint as total, count(*) as n from lines group by k", owner="a@shop")
sql_product("top", "select total as best from total order by n limit 1", owner="a@shop")
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/sales.py", PRODUCTS, header=True)
    return place


def test_a_column_through_all_products(shop: Place) -> None:
    assert shop.run("lineage", "total.total").out.splitlines() == [
        "sales.total.total  (BIGINT)",
        "  value from",
        "    sales.lines.twice  aggregated",
        "      sales.numbers.x  computed",
        "  rows decided by",
        "    rows of sales.lines",
        "      rows of sales.numbers",
        "      sales.numbers.x  filter",
        "    sales.lines.k  group",
        "      sales.numbers.x  computed",
        "  used by",
        "    sales.top.best  identity",
    ]


def test_a_column_that_decides_rows(shop: Place) -> None:
    assert shop.run("lineage", "sales.total.n").out.splitlines()[-2:] == [
        "  used by",
        "    rows of sales.top  order",
    ]
    assert shop.run("lineage", "numbers.x").out.splitlines() == [
        "sales.numbers.x  (BIGINT)",
        "  used by",
        "    sales.lines.x  identity",
        "    sales.lines.twice  computed",
        "      sales.total.total  aggregated",
        "        sales.top.best  identity",
        "    sales.lines.k  computed",
        "      sales.total.k  identity",
        "      rows of sales.total  group",
        "        rows of sales.top",
        "    rows of sales.lines  filter",
        "      rows of sales.total …",
    ]


def test_a_chart(shop: Place) -> None:
    lines = shop.run("lineage", "top.best", "--mermaid").out.splitlines()
    assert lines[:2] == ["flowchart LR", '  n0["sales.top.best"]']
    assert '  n1["sales.total.total"]' in lines
    assert "  n1 -->|identity| n0" in lines
    assert {"  n6 -.->|order| n5", "  n8 -.->|group| n4", "  n5 -.->|rows| n0"} < {*lines}
    assert lines == shop.run("lineage", "top.best", "--format", "mermaid").out.splitlines()


def test_a_name_that_is_no_column(shop: Place) -> None:
    ran = shop.run("lineage", "total.totl")
    assert (ran.code, ran.err) == (
        2,
        "sales.total has no column 'totl'\n  Did you mean total?\n",
    )
    ran = shop.run("lineage", "total.zzz")
    assert "It has k, total, n." in ran.err
    assert shop.run("lineage", "nothing.total").code == 2
    # A product whose name is that of another and one of its columns is the product.
    shop.write("products/total.py", 'sql_product("total", "select 1 as v", owner="o")', header=True)
    assert shop.run("lineage", "total.total").out.startswith("total.total  (sql")


def test_a_query_that_does_not_fit_says_so(shop: Place) -> None:
    broken = PRODUCTS.replace("sum(twice)", "sum(thrice)")
    shop.write("products/sales.py", broken, header=True)
    out = shop.run("lineage", "lines.x").out
    assert "every column of sales.total  perhaps" in out
    assert (
        "sales.total: its query does not fit its inputs, line 1 column 15:"
        " no column thrice in sales.lines; it has twice" in out
    )
    ran = shop.run("lineage", "total.total")
    assert (ran.code, "the columns of sales.total are not known" in ran.err) == (2, True)


def test_functions_of_python(place: Place) -> None:
    """A function without a contract has the columns that it returns, or else was published with."""
    place.write(
        "products/sales.py",
        """
        @product(owner="o")
        def lazy(numbers):
            return numbers.filter(pl.col("x") > 0).select(y=pl.col("x") * 2)

        @product(owner="o")
        def eager(numbers: pl.DataFrame):
            return numbers.with_columns(y=pl.col("x") * 2)

        @product(owner="o")
        def picky(numbers: pl.DataFrame):
            return numbers.select(y=numbers["x"][0])

        sql_product("after", "select y, x from lazy join eager using (y)", owner="o")
        sql_product("later", "select y as z from picky", owner="o")
        """,
        header=True,
    )
    assert place.run("lineage", "after.y").out.splitlines()[:4] == [
        "sales.after.y  (BIGINT)",
        "  value from",
        "    sales.lazy.y  identity",
        "      sales.numbers.x  computed",
    ]
    out = place.run("lineage", "after.x").out
    assert "    sales.eager.x  identity\n      every column of sales.numbers  perhaps\n" in out
    assert (
        "    sales.eager: its function takes an input as a polars.DataFrame, which shows no plan"
        " (each column may depend on every column of its inputs)" in out
    )
    ran = place.run("lineage", "later.z")
    assert ran.code == 2
    assert "the columns of sales.picky are not known: its function, run without rows" in ran.err
    place.materialize()
    out = place.run("lineage", "later.z").out
    assert "    sales.picky.y  identity\n      every column of sales.numbers  perhaps\n" in out
    assert "sales.picky: its function, run without rows, raised IndexError" in out


def test_rows_that_are_set_aside(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("lines", "select x, x + 1 as y from numbers", owner="o",
            rules=[rule.check("small", "y < 3", on_failure="quarantine", fail_above=1)])
        sql_product("kept", "select y from lines", owner="o")
        """,
        header=True,
    )
    out = place.run("lineage", "kept.y").out
    assert "sales.numbers.x  perhaps" in out  # it may decide which lines there are
    lines = place.run("lineage", "lines.y").out.splitlines()
    assert "    sales.lines__quarantine.y  identity" in lines
    assert "    rows of sales.lines__quarantine  filter" in lines
