"""Pages of sources with rules: their rows are a product, and their files have a page beside it."""

from tests.conftest import Place
from tests.web.test_files import Checker, pages, words

JUDGED = """
from assay import Freshness, rule, source, sql_product

source.files(
    "raw/{day:date}.csv", name="raw", columns={"id": "bigint", "amount": "double"}, owner="till@shop.example",
    purpose="One drop a day.", freshness=Freshness(by="07:00", covers="previous day"),
    rules=[rule.check("no amount is negative", "amount >= 0", because="Refunds have a file.")],
)
sql_product("lines", "select * from raw", owner="ann@shop.example")
"""


def test_a_source_with_rules_shows_them_and_what_came_of_them(place: Place) -> None:
    place.write("products/shop.py", JUDGED)
    place.write("raw/2024-01-05.csv", "id,amount\n1,10.5\n")
    assert place.run("materialize").code == 0
    place.write("raw/2024-01-06.csv", "id,amount\n2,-5\n")
    place.run("materialize")
    ran = place.run("docs", "--to", "site")
    assert ran.code == 0, ran.err
    site = place.root / "site"
    for name, text in pages(site).items():
        checker = Checker()
        checker.feed(text)
        assert (checker.wrong, checker.open) == ([], []), name
        for link in checker.links:
            if not link.startswith("#"):
                assert (site / name).parent.joinpath(link).resolve().is_file(), (name, link)
    rows = words((site / "product/shop.raw.html").read_text())
    assert "shop.raw source" in rows
    assert "2024-01-06" in rows
    assert "no amount is negative failed" in rows
    assert "Files raw/*.csv (csv, 2 files)" in rows
    assert "Promised by 07:00 UTC, covering the previous day" in rows
    files = words((site / "source/shop.raw__files.html").read_text())
    assert "Its rows are judged and stored as shop.raw" in files
    assert "no amount is negative failed" in files
    listed = words((site / "products.html").read_text())
    assert "shop.raw source" in listed
    assert "files of shop.raw" in listed
