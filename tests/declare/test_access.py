"""Who may read a product or a source: its own domain, this project, or everyone."""

import duckdb
import pytest

import assay
from assay.errors import UsageError
from tests.conftest import Place

SALES = """
sql_product("core", "select x from numbers", owner="o", access="private",
    rules=[rule.check("below 9", "x < 9", on_failure="quarantine", fail_above="50 %")])
sql_product("between", "select x from core", owner="o", access="protected")
sql_product("facts", "select x from between", owner="o")
secret = source.files("data/*.csv", columns={"x": "bigint"}, access="private")
notes = source.file("note.txt", access="private")
"""


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("note.txt", "note")
    place.write("products/sales.py", SALES, header=True)
    return place


def finance(place: Place, text: str) -> None:
    head = "from pathlib import Path\nfrom assay import product, rule, sql_product\n"
    place.write("products/finance.py", head + text)


def test_what_is_protected_is_read_across_domains(shop: Place) -> None:
    finance(shop, 'sql_product("a", "from sales.between", owner="o")\n')
    assert shop.run("ls").code == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sales.core", 'sql_product("a", "from sales.core", owner="o")\n'),
        (
            "sales.core__quarantine",
            'sql_product("a", "from sales.core__quarantine", owner="o")\n',
        ),
        ("sales.secret", 'sql_product("a", "from sales.secret", owner="o")\n'),
        (
            "sales.notes",
            '@product(owner="o", inputs={"n": "sales.notes"}, file="a.txt")\n'
            "def a(n: Path) -> str:\n    return n.read_text()\n",
        ),
    ],
)
def test_what_is_private_is_not(shop: Place, name: str, text: str) -> None:
    finance(shop, text)
    told = shop.run("ls", "--json").err or shop.run("check").err
    assert f"products/finance.py:3: finance.a reads {name}, which is private to sales" in told
    assert f'declare {name} with access="protected" (products/sales.py:' in told
    assert shop.run("check").code == 2


def test_a_rule_reads_as_well(shop: Place) -> None:
    finance(
        shop,
        'sql_product("a", "from sales.facts", owner="o", rules=[\n'
        '    rule.sql("none", "from this where x in (select x from sales.facts) and x > 9"),\n'
        '    rule.sql("few", "from this where x not in (select x from sales.core)"),\n'
        "])\n",
    )
    told = shop.run("check").err
    assert "products/finance.py:5: finance.a reads sales.core, which is private to sales" in told
    assert "1 mistake" in told


def test_who_may_read_is_no_reason_to_build(shop: Place) -> None:
    assert shop.materialize()[""]["exit_code"] == 0
    shop.edit("products/sales.py", 'access="protected"', 'access="private"')
    shop.edit("products/sales.py", '"bigint"}, access="private"', '"bigint"}')
    assert {step["result"] for step in shop.run("plan", "--json").json} == {"unchanged"}
    listed = {product["product"]: product for product in shop.run("ls", "--json").json}
    assert [listed[f"sales.{name}"]["access"] for name in ("core", "between", "facts")] == [
        "private",
        "private",
        "public",
    ]
    assert listed["sales.core__quarantine"]["access"] == "private"


def test_python_reads_what_is_public(shop: Place) -> None:
    assert shop.materialize()[""]["exit_code"] == 0
    assert assay.read("facts", project=shop.root).collect().height == 3
    for name, of in (("between", "this project"), ("sales.core", "sales")):
        for door in (assay.read, assay.path):
            with pytest.raises(UsageError, match=f"only products of {of} read it"):
                door(name, project=shop.root)
    with assay.connect(project=shop.root) as connection:
        assert connection.sql("select count(*) from sales.facts").fetchall() == [(3,)]
        with pytest.raises(duckdb.CatalogException):
            connection.sql("from sales.between")
    assert shop.run("show", "core").code == 0
    assert shop.query("select count(*) as n from sales.between") == [{"n": 3}]


def test_what_is_no_longer_declared_is_public(shop: Place) -> None:
    assert shop.materialize()[""]["exit_code"] == 0
    shop.write("products/sales.py", "", header=True)
    shop.run("ls")
    assert assay.read("between", project=shop.root).collect().height == 3


def test_another_word_is_a_mistake(place: Place) -> None:
    place.write(
        "products/sales.py",
        'sql_product("a", "from numbers", owner="o", access="secret")\n'
        's = source.files("data/*.csv", columns={"x": "bigint"}, access=None)\n',
        header=True,
    )
    told = place.run("ls").err
    assert 'access= should be "private", "protected" or "public", and is \'secret\'' in told
    assert 'access= should be "private", "protected" or "public", and is None' in told
