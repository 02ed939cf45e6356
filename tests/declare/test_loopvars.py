"""Products and rules that are declared in a loop: a function that reads the loop's variable sees its last value."""

import pytest

from tests.conftest import Place

PRODUCT = """
for shop in ["A", "B", "C"]:
    @product(owner="o", name=f"shop_{shop.lower()}")
    def f(PARAMETERS) -> pl.DataFrame:
        return pl.DataFrame({"shop": [shop]})
"""


def mistake(place: Place, text: str) -> str:
    place.write("products/sales.py", text, header=True)
    ran = place.run("plan")
    assert "Traceback" not in ran.err
    return ran.err if ran.code == 2 else ""


def test_the_variable_of_a_loop(place: Place) -> None:
    said = mistake(place, PRODUCT.replace("PARAMETERS", ""))
    assert (
        "sales.shop_a, sales.shop_b, sales.shop_c all read `shop`, which is 'C' after the loop"
        in said
    )
    assert "def f(shop=shop)" in said
    assert said.startswith("1 mistake"), said


def test_a_value_that_is_bound_as_advised(place: Place) -> None:
    """Each product has its own, and only that of which it changes is built again."""
    place.write("products/sales.py", PRODUCT.replace("PARAMETERS", "shop=shop"), header=True)
    assert place.materialize()[""]["exit_code"] == 0
    assert [place.query(f"select shop from shop_{s}")[0]["shop"] for s in "abc"] == ["A", "B", "C"]
    place.edit("products/sales.py", '"B"', '"b"')
    told = place.materialize()
    assert [told[f"sales.shop_{s}"]["result"] for s in "abc"] == [
        "unchanged",
        "published",
        "unchanged",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            """
def declare():
    for number in range(2):
        @product(owner="o", name=f"p{number}")
        def make() -> pl.DataFrame:
            return pl.DataFrame({"x": [(lambda: number)()]})
declare()
""",
            "all read `number`, which is 1 after the loop",
        ),
        (
            """
for number in range(2):
    def helper(number=number):
        return number
    @product(owner="o", name=f"p{number}")
    def make() -> pl.DataFrame:
        return pl.DataFrame({"x": [helper()]})
""",
            "all read `helper`, which is the last function after the loop",
        ),
        (
            """
for number in range(2):
    @product(owner="o", name=f"p{number}")
    def make() -> pl.DataFrame:
        return pl.DataFrame({"x": [number]})
del number
""",
            "all read `number`, which is gone after the loop",
        ),
        (
            """
for most in (3, 9):
    sql_product(f"p{most}", "from numbers", owner="o", rules=[rule.check("small", pa.Check(lambda s: s.lazyframe.select(pl.col("x") < most)))])
""",
            "a rule of sales.p3, a rule of sales.p9 all read `most`, which is 9 after the loop",
        ),
        (
            """
sql_product("p", "from numbers", owner="o", rules=[
    rule.check(f"below {most}", pa.Check(lambda s: s.lazyframe.select(pl.col("x") < most))) for most in (3, 9)])
""",
            "a rule of sales.p reads `most`, which is 9 after the loop",
        ),
    ],
)
def test_what_else_is_a_loops(place: Place, text: str, words: str) -> None:
    assert words in mistake(place, text)


def test_what_is_no_mistake(place: Place) -> None:
    """Constants, functions that make functions, attributes, values alike, SQL put together at once, built-in checks."""
    assert not mistake(
        place,
        """
FACTOR = 2
def double(x):
    return x * FACTOR
def declared(shop):
    @product(owner="o", name=f"made_{shop}")
    def make() -> pl.DataFrame:
        return pl.DataFrame({"shop": [shop], "x": [double(1)]})
for shop in ["a", "b"]:
    declared(shop)
    columns = ["x"]
    @product(owner="o", name=f"bound_{shop}", rules=[rule.check("at least one", pa.Check.ge(1), column="x")])
    def bound(one=shop) -> pl.DataFrame:
        return pl.DataFrame({"x": [1]}).select(columns).lazy().collect()
    sql_product(f"sql_{shop}", f"select '{shop}' as shop", owner="o")
for lazy in (1, 2):
    pass
""",
    )
