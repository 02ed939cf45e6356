"""`products serve`: the same pages, live."""

import json
import time
from urllib.request import urlopen

import pytest

from tests.conftest import Place
from tests.web.conftest import serving


def test_pages_are_answered_and_wrong_addresses_are_not(shop: Place) -> None:
    with serving(shop.root) as served:
        status, text, headers = served.get("/")
        assert status == 200
        assert "held back" in text
        assert "script-src 'self'" in headers["content-security-policy"]
        for path in (
            "product/shop.revenue",
            "source/shop.raw",
            "domain/shop",
            "incidents",
            "runs",
            "products",
        ):
            status, text, _ = served.get(path)
            assert status == 200, (path, text)
            assert len(text) < 100_000
        for path in (
            "product/shop.nothing",
            "product/..%2f..%2fetc%2fpasswd",
            "static/..%2f__init__.py",
            "rows/none",
            "release/999999999999999999999999",
            "release/x",
            "nothing/x",
            "incident/-1",
            "product/%00",
            "product/%ff",
        ):
            status, text, _ = served.get(path)
            assert status == 404, (path, text)
            assert "Traceback" not in text
        assert served.get("search?q=discount")[1].count("product/shop.revenue") == 1
        assert "Nothing was found" in served.get("search?q=zzz&start=abc")[1]
        held = served.get("products?q=&owner=bob%40shop.example&domain=&state=held+back")[1]
        assert (held.count("product/shop.revenue"), held.count("product/shop.lines")) == (1, 0)
        status, text, _ = served.get("rows/shop.revenue")
        assert status == 200
        assert "30.5" in text
        assert "<html" in text
        assert "<html" not in served.get("rows/shop.revenue", **{"HX-Request": "true"})[1]
        status, text, _ = served.get("diff/shop.revenue?before=published&after=held")
        assert status == 200, text
        assert "1 new" in text
        assert "5,000" in text
        assert served.get("diff/shop.revenue?before=nothing")[0] == 404
        assert served.get("diff/none")[0] == 404
        status, text, _ = served.get("record/shop.revenue")
        assert status == 200, text
        assert "held back" in text
        status, text, headers = served.get("contract/shop.revenue.json")
        assert (status, json.loads(text)["name"]) == (200, "shop.revenue")
        assert headers["content-disposition"] == 'attachment; filename="shop.revenue.json"'
        assert served.get("contract/none.json")[0] == 404
        with urlopen(f"{served.url}evidence/shop.revenue.zip") as answer:
            (shop.root / "evidence.zip").write_bytes(answer.read())
        assert served.get("evidence/none.zip")[0] == 404
        checked = shop.run("evidence", "--verify", "evidence.zip")
        assert checked.code == 0, checked.out


@pytest.mark.long
def test_a_page_shows_what_was_published_since(shop: Place) -> None:
    with serving(shop.root) as served:
        assert "2024-01-06) are held back" in served.get("product/shop.revenue")[1]
        shop.write("raw/2024-01-06.csv", "id,amount,email\n3,50,c@x\n")
        assert shop.run("materialize").code == 0
        until = time.monotonic() + 30
        while "You see Saturday" not in served.get("product/shop.revenue")[1]:
            assert time.monotonic() < until
            time.sleep(0.5)


def test_a_mistake_in_a_module_does_not_end_the_pages(shop: Place) -> None:
    with serving(shop.root) as served:
        shop.write("products/more.py", "this is no python")
        served_before = served.get("/")[1]
        assert "held back" in served_before
    with serving(shop.root) as served:
        text = served.get("/")[1]
        assert "the declarations cannot be read now" in text
        assert "held back" in text


def test_an_address_that_is_taken_is_an_error(shop: Place) -> None:
    with serving(shop.root) as served:
        port = served.url.rstrip("/").rpartition(":")[2]
        ran = shop.spawn("serve", "--port", port)
        assert ran.code == 2
        assert f"cannot listen on 127.0.0.1:{port}" in ran.err
