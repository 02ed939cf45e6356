"""Differences, records and pages of products in a notebook: as on the web, with styles of their own."""

import re
import sys

import pytest

import assay
from assay.errors import UsageError
from assay.views.figures import TotalView
from assay.views.showing import html_of
from assay.web import rendering
from assay.web.notebook import nested
from tests.conftest import Place
from tests.web.test_files import Checker, words


def sound(html: str | None) -> str:
    """Return the text of HTML that can be put into another document."""
    assert html
    checker = Checker()
    checker.feed(html)
    assert (checker.wrong, checker.open, checker.links, checker.ids) == ([], [], [], [])
    assert not {"script", "html", "body", "form", "link"} & {*checker.tags}
    styles = re.findall(r"<style>(.*?)</style>", html, re.S)
    assert styles
    assert all(style.startswith(".assay {") for style in styles)
    return words(re.sub(r"<style>.*?</style>", "", html, flags=re.S))


def test_a_page_a_difference_and_a_record_show_themselves(shop: Place) -> None:
    page = assay.page("revenue", project=shop.root)
    assert repr(page).startswith("shop.revenue (held back): You see Friday's figures (2024-01-05).")
    text = sound(page._repr_html_())
    assert "Saturday's figures (2024-01-06) are held back" in text
    assert "a day is under a thousand" in text
    assert "shop.lines : amount (aggregated)" in text
    assert "till@shop.example" in sound(assay.page("raw", project=shop.root)._repr_html_())
    differing = assay.diff("revenue", before="published", after="held", project=shop.root)
    assert "1 new" in sound(differing._repr_html_())
    assert "5,000" in sound(differing._repr_html_())
    assert "held back" in sound(assay.record("revenue", project=shop.root)._repr_html_())
    both = assay.record(project=shop.root)
    assert len(both) == 2
    assert sound(both._repr_html_()).count("Record of") == 2
    with pytest.raises(UsageError, match="no product or source 'revenu'"):
        assay.page("revenu", project=shop.root)


def test_hostile_text_stays_text_in_a_notebook(place: Place) -> None:
    hostile = '<script>alert(1)</script> </style> &amp; {{ 7000003*7 }} href="x" \x1b[31m'
    place.write(
        "products/shop.py",
        f"""
        from assay import source, sql_product
        raw = source.files("raw/*.csv", columns={{"a": "varchar"}}, owner={hostile!r})
        sql_product("p", "select a from raw", owner={hostile!r}, purpose={hostile!r})
        """,
    )
    place.write("raw/a.csv", "a\n1\n")
    assert place.run("materialize").code == 0
    html = assay.page("p", project=place.root)._repr_html_()
    text = sound(html)
    assert "<script>alert(1)</script> </style>" in text
    assert "49000021" not in html
    assert "\x1b" not in html


def test_without_jinja_it_is_text_and_what_to_install(
    shop: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = assay.record("revenue", project=shop.root)
    rendering._environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    try:
        html = html_of(record)
    finally:
        rendering._environment.cache_clear()
    assert html
    assert html.startswith("<pre>RecordView(product=&#x27;shop.revenue&#x27;")
    assert "pip install &#x27;assay[web]&#x27;" in html
    total = TotalView(column="x", before=1, after=2, by=1, group={})
    assert total._repr_html_() is None, "nothing says how it is shown"


def test_a_style_sheet_is_about_what_is_inside_alone() -> None:
    styles = ":root { --a: 1; }\nbody { margin: 0; }\n@media print {\n  body { max-width: none; }\n}\na { b: c; }\n"
    assert nested(styles) == (
        ".assay {\n& { --a: 1; }\n& { margin: 0; }\n@media print {\n  & { max-width: none; }\n}\n"
        "a { b: c; }\n}\n"
    )
