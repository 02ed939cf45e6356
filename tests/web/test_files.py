"""`products docs`: every page as a file."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

from tests.conftest import Place


class Checker(HTMLParser):
    """Collects the links of a page, its ids, and elements that were not closed in order."""

    VOID = frozenset({"meta", "link", "input", "br", "img", "path", "rect", "circle", "line"})

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in {"href", "src"} and value]
        self.ids += [value for key, value in attrs if key == "id" and value]
        if any(key.startswith("on") or key == "style" for key in given):
            self.wrong.append(f"{tag} {given}")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(f"</{tag}>")


def pages(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*.html")}


def test_every_link_leads_to_a_page_and_every_page_is_sound(shop: Place) -> None:
    ran = shop.run("docs", "--to", "site")
    assert ran.code == 0, ran.err
    site = shop.root / "site"
    written = pages(site)
    assert {"index.html", "products.html", "product/shop.revenue.html", "source/shop.raw.html"} <= {
        *written
    }
    for name, text in written.items():
        checker = Checker()
        checker.feed(text)
        assert checker.wrong == [], name
        assert checker.open == [], name
        assert len(checker.ids) == len(set(checker.ids)), name
        assert "script" not in checker.tags, name
        for link in checker.links:
            if not link.startswith("#"):
                assert (site / name).parent.joinpath(link).resolve().is_file(), (name, link)


def test_the_page_of_a_product_that_is_held_back_says_so_in_a_sentence(shop: Place) -> None:
    shop.run("docs", "--to", "site")
    text = words((shop.root / "site/product/shop.revenue.html").read_text())
    assert "You see Friday's figures (2024-01-05)." in text
    assert re.search(r"Saturday's figures \(2024-01-06\) are held back since 20\d\d-", text)
    assert "a day is under a thousand: 1 row." in text
    assert "Affects: discount desk (tomorrow's discounts)." in text
    assert "What was taken a day." in text
    assert "5,000" in text, "the failing row"
    front = words((shop.root / "site/index.html").read_text())
    assert "1 of 2 products are up to date" in front
    assert "Saturday's figures (2024-01-06) are held back" in front


def words(html: str) -> str:
    text = re.sub(r"<[^>]+>", " ", html)
    for code, character in (("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(code, character)
    return re.sub(r"\s+", " ", text).replace(" .", ".")


def test_pages_that_are_the_same_are_left_alone_and_those_that_are_gone_are_removed(
    shop: Place,
) -> None:
    moment = ["--now", "2099-01-07T10:00:00"]
    shop.run("docs", "--to", "site", *moment)
    site = shop.root / "site"
    written = {file: file.stat().st_mtime_ns for file in site.rglob("*.html")}
    gone = site / "product/shop.old.html"
    gone.write_text("a page of before")
    (shop.root / "site/notes.txt").write_text("not a page")
    ran = shop.run("docs", "--to", "site", *moment)
    assert "1 of before removed" in ran.out
    assert {file: file.stat().st_mtime_ns for file in site.rglob("*.html")} == written
    assert not gone.exists()
    assert (shop.root / "site/notes.txt").exists()


def test_a_folder_with_other_files_is_not_written_into(shop: Place) -> None:
    shop.write("mine/index.html", "my own page")
    ran = shop.run("docs", "--to", "mine")
    assert ran.code == 2
    assert "mine has files that are no pages of Assay" in ran.err
    assert (shop.root / "mine/index.html").read_text() == "my own page"
    assert [p.name for p in (shop.root / "mine").iterdir()] == ["index.html"]


def test_hostile_text_stays_text(place: Place) -> None:
    hostile = "<script>alert(1)</script>\"' onload=x \u202e \x1b[31m &amp; {{ 7000003*7 }}"
    place.write(
        "products/shop.py",
        f"""
        from assay import Consumer, rule, source, sql_product

        raw = source.files("raw/*.csv", columns={{"a": "varchar"}}, owner={hostile!r})
        sql_product(
            "p", "select a from raw", owner={hostile!r}, purpose={hostile!r},
            rules=[rule.sql({"no <b>bold</b> rule"!r}, "select a from this", because={hostile!r}, severity="warning")],
            consumers=[Consumer(name={hostile!r}, decides={hostile!r}, contact={hostile!r})],
        )
        """,
    )
    place.write("raw/a.csv", "a\n<img src=x onerror=alert(1)>\n")
    place.run("materialize")
    ran = place.run("docs", "--to", "site")
    assert ran.code == 0, ran.err
    for name, text in pages(place.root / "site").items():
        checker = Checker()
        checker.feed(text)
        assert checker.wrong == [], name
        assert not {"script", "img", "b"} & {*checker.tags}, name
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "49000021" not in text, "no template is read out of a name"
        assert Path(name).name == Path(name).name.encode("ascii", "ignore").decode()


def test_sensitive_values_reach_no_page(place: Place) -> None:
    place.write(
        "products/shop.py",
        """
        from assay import rule, source, sql_product
        import pandera.polars as pa

        class P(pa.DataFrameModel):
            id: int
            email: str = pa.Field(metadata={"sensitive": True})

        raw = source.files("raw/*.csv", columns={"id": "bigint", "email": "varchar"})
        sql_product("p", "select id, email from raw", owner="o", contract=P,
                    rules=[rule.check("has an at sign", "email like '%@%'")])
        """,
    )
    place.write("raw/a.csv", "id,email\n1,wilma-berg\n2,otto@x\n")
    assert place.run("materialize").code == 3
    place.run("docs", "--to", "site")
    for name, text in pages(place.root / "site").items():
        assert "wilma" not in text, name


def test_a_page_says_where_to_get_the_data_and_has_the_contract_as_a_file(shop: Place) -> None:
    shop.write(
        "products/pack.py",
        """
        from pathlib import Path
        from assay import product, source

        more = source.files("more/*.csv", columns={"x": "bigint"}, owner="o")

        @product(owner="o", file="pack.txt")
        def pack(more, to: Path) -> None:
            to.write_text("x")
        """,
    )
    assert shop.run("docs", "--to", "site").code == 0
    site = shop.root / "site"
    got = words((site / "product/shop.revenue.html").read_text()).partition("Where to get it")[2]
    for way in (
        'query "from shop.revenue"',
        'assay.read("shop.revenue")',
        "--to shop.revenue.parquet",
    ):
        assert way in got.replace("&#34;", '"')
    assert "products show pack.pack --to pack.txt" in (site / "product/pack.pack.html").read_text()
    contract = json.loads((site / "contract/shop.revenue.json").read_text())
    assert contract == shop.run("describe", "shop.revenue", "--json").json
    (shop.root / "products/pack.py").unlink()
    written = shop.run("docs", "--to", "site", "--json").json
    assert not (site / "contract/pack.pack.json").exists()
    assert written["pages"] == len(pages(site))
