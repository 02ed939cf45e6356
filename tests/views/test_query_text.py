"""`products show NAME --sql`: the query of a product, formatted."""

from tests.conftest import Place


def test_the_query_is_shown_formatted(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("p", "select x, x + 1 as y from numbers where x > 1;", owner="o")
        sql_product("q", "select iff(x > 1, 1, 2) as y from numbers", owner="o", dialect="snowflake")

        @product(owner="o")
        def f(numbers): return numbers
        """,
        header=True,
    )
    assert place.run("show", "p", "--sql").out.splitlines() == [
        "SELECT", "  x,", "  x + 1 AS y", "FROM numbers", "WHERE", "  x > 1",
    ]  # fmt: skip
    first, *lines = place.run("show", "q", "--sql").out.splitlines()
    assert first == "-- translated from snowflake (products/sales.py:10)"
    assert lines == ["SELECT", "  CASE WHEN x > 1 THEN 1 ELSE 2 END AS y", "FROM numbers"]
    assert place.run("show", "q", "--sql", "--json").json["dialect"] == "snowflake"
    for name, told in (
        ("f", "sales.f is not built by a query"),
        ("numbers", "sales.numbers is a source"),
    ):
        ran = place.run("show", name, "--sql")
        assert ran.code == 2 and told in ran.err and "products/sales.py:" in ran.err
