"""`products describe`: what is declared of a product or source, in one place."""

from tests.conftest import Place

DECLARED = """
class People(pa.DataFrameModel):
    '''A person a row.'''
    id: int = pa.Field(unique=True, description="number of the person")
    email: str = pa.Field(metadata={"sensitive": True})

@product(owner="ann@shop.example", purpose="Everybody.", contract=People, consumers=[Consumer(name="desk", decides="calls")],
    rules=[rule.check("positive", "id > 0", because="Numbers begin at 1.", owner="bob@shop.example", severity="warning")])
def people(numbers):
    return numbers.select(id="x", email=pl.lit("a"), extra=pl.lit(1))

sql_product("few", "select id from people", owner="o")
"""


def test_a_product_is_described(place: Place) -> None:
    place.numbers("a", 1, 2)
    place.write("products/sales.py", DECLARED, header=True)
    lines = place.run("describe", "people").out.splitlines()
    assert lines[0] == "sales.people  (function)"
    assert "  Everybody." in lines
    assert "  used by   sales.few, desk (calls)" in lines
    assert any(
        line.split() == ["id", "BIGINT", "number", "of", "the", "person,", "key"] for line in lines
    )
    assert any(line.split() == ["email", "VARCHAR", "sensitive"] for line in lines)
    assert "    positive  (warning, bob@shop.example)" in lines
    assert "      because: Numbers begin at 1." in lines
    view = place.run("describe", "people", "--json").json
    assert view["description"] == "A person a row."
    assert [column["name"] for column in view["columns"]] == ["id", "email"]


def test_columns_that_are_not_declared_are_described_as_they_are_published(place: Place) -> None:
    place.numbers("a", 1)
    place.write(
        "products/sales.py",
        'sql_product("p", "select x, x * 2 as y from numbers", owner="o")',
        header=True,
    )
    assert place.run("describe", "p", "--json").json["columns"] == []
    place.materialize()
    columns = place.run("describe", "p", "--json").json["columns"]
    assert [(column["name"], column["type"]) for column in columns] == [
        ("x", "BIGINT"),
        ("y", "BIGINT"),
    ]


def test_a_source_is_described_and_a_typo_is_not(place: Place) -> None:
    place.write("products/sales.py", DECLARED, header=True)
    view = place.run("describe", "numbers", "--json").json
    assert (view["kind"], view["files"], view["used_by"]) == (
        "source",
        "data/*.csv",
        ["sales.people"],
    )
    ran = place.run("describe", "poeple")
    assert ran.code == 2
    assert "Did you mean sales.people" in ran.err


def test_columns_say_which_files_have_them_and_which_are_hidden(place: Place) -> None:
    place.write(
        "products/shop.py",
        """
        from assay import Column, source, sql_product

        raw = source.files("raw/{day:date}.csv", owner="o", columns={
            "total": Column("bigint", since="2021-01-15", was="positives"),
            "tests": Column("bigint", since="2021-01-15", optional=True),
            "screened": Column("bigint", until="2022-03-31"),
            "email": Column("varchar", sensitive=True),
        })
        sql_product("lines", "select email, total from raw", owner="o")
        """,
    )
    place.write("raw/2021-01-15.csv", "total,tests,screened,email\n1,2,3,a@x\n")
    assert place.run("materialize", "shop.lines").code == 0
    lines = place.run("describe", "shop.raw").out
    marks = {
        line.split()[0]: line.split(maxsplit=2)[2:]
        for line in lines.splitlines()
        if line[:4] == "    "
    }
    assert marks == {
        "total": ["since 2021-01-15 (before that: positives)"],
        "tests": ["since 2021-01-15, optional"],
        "screened": ["until 2022-03-31"],
        "email": ["sensitive"],
        "day": [],
    }
    [total, _, screened, _, _] = place.run("describe", "shop.raw", "--json").json["columns"]
    assert (total["since"], total["until"], total["was"], total["optional"]) == (
        "2021-01-15",
        "",
        "positives",
        False,
    )
    assert (screened["since"], screened["until"], screened["was"]) == ("", "2022-03-31", "")
    columns = place.run("describe", "shop.lines", "--json").json["columns"]
    assert {column["name"]: column["sensitive"] for column in columns} == {
        "email": True,
        "total": False,
    }
    assert place.run("docs", "--to", "site").code == 0
    page = (place.root / "site/source/shop.raw.html").read_text()
    assert "since 2021-01-15 (before that: positives)" in page
    assert (
        '<span class="quiet">sensitive</span>'
        in (place.root / "site/product/shop.lines.html").read_text()
    )
