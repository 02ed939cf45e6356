"""Lists of products and sources, narrowed by filters."""

import re

from assay.web.links import Links
from assay.web.looks import Looks
from assay.web.pages.lists import Filters, filters_of, found, listing, search_page
from assay.web.rendering import rendered
from tests.conftest import Place


def test_a_list_is_narrowed_by_words_owner_domain_and_state(shop: Place) -> None:
    shop.write(
        "products/more.py",
        """
        from assay import sql_product

        sql_product("p", "select 1 as x", owner="<bob> & co")
        """,
    )
    with Looks(shop.root, None).opened() as (look, _):

        def names(**given: str) -> list[str]:
            return [each.name for each in found(look, Filters(**given))]

        assert {"more.p", "shop.lines", "shop.revenue", "shop.raw"} <= {*names()}
        assert names(owner="bob@shop.example") == ["shop.revenue"]
        assert names(domain="shop", q="taken") == ["shop.revenue"]
        assert names(state="held back") == ["shop.revenue"]
        assert names(state="up to date") == ["shop.lines"]
        assert names(state="up to date", owner="bob@shop.example") == []
        assert names(state="there", domain="shop") == ["shop.raw"]
        filters = filters_of({"owner": " <bob> & co ", "state": "nothing <b>", "start": "3"})
        html = rendered(search_page(look, filters), look, Links())
        assert "Nothing was found" in html
        assert "<option selected>&lt;bob&gt; &amp; co</option>" in html
        assert "<option selected>nothing &lt;b&gt;</option>" in html, (
            "it can be seen, and taken away"
        )
        assert re.findall(r"<option>(held back|up to date|there|stale)</option>", html) == [
            "held back",
            "stale",
            "there",
            "up to date",
        ]
        assert "<select" not in rendered(search_page(look, filters), look, Links(suffix=".html"))
        long = listing(look, "t", list(look.all_declared()) * 40, start=100, given=filters.given)
        assert long.before == "?owner=%3Cbob%3E+%26+co&state=nothing+%3Cb%3E&start=0"
