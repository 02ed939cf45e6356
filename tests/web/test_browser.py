"""The pages in a real browser: what a person sees, without JavaScript, on a phone, with a screen reader."""

import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.catalog import shared_catalog
from assay.declare.project import open_project
from tests.conftest import Place
from tests.web.conftest import serving

NIGHT = "fixtures/nights/2011-12-09.at-0920.csv.gz"
WHOLE = "fixtures/nights/2011-12-09.csv.gz"
SIGNED = """
from assay import sql_product

sql_product("signed", "from shop.lines", owner="o", approval=["eva@shop.example"])
"""
HOSTILE = """
from assay import Consumer, rule, source, sql_product

name = "<script>alert(1)</script>\\"' onload=alert(1) <img src=//evil.example/x>" + "x" * 300
raw = source.files("raw/*.csv", columns={"a": "varchar"}, owner=name)
sql_product(
    "p", "select a from raw", owner=name, purpose=name,
    rules=[rule.sql(name, "select a from this", because=name, severity="warning")],
    consumers=[Consumer(name=name, decides=name, contact=name)],
)
"""
DROP = "fixtures/retail/2011-12-09.csv.gz"


def violations(page, scheme: str = "light") -> list[str]:
    """Return what axe finds that breaks WCAG 2.2 AA; on a dark screen, only colours differ."""
    from axe_playwright_python.sync_playwright import Axe

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    only = {"type": "tag", "values": tags}
    if scheme == "dark":
        only = {"type": "rule", "values": ["color-contrast"]}
    found = Axe().run(page, options={"runOnly": only})
    return [
        f"{each['id']}: {node['html'][:200]}"
        for each in found.response["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_can_be_read_by_everybody(shop: Place, browser, scheme: str) -> None:
    shop.run("docs", "--to", "site")
    site = shop.root / "site"
    one_of_each = {path.parent.name: path for path in sorted(site.rglob("*.html"))}
    assert {
        "site",
        "product",
        "source",
        "rule",
        "owner",
        "consumer",
        "domain",
        "run",
        "release",
    } <= {*one_of_each}
    # axe runs as a script of the page, which the policy of the pages forbids.
    context = browser.new_context(color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    for path in [*one_of_each.values(), *site.glob("*.html")]:
        page.goto(path.as_uri())
        assert violations(page, scheme) == [], path.name
    context.close()


@pytest.mark.long
def test_pages_that_are_made_when_asked_for_can_be_read_by_everybody(shop: Place, browser) -> None:
    shop.write("products/more.py", SIGNED)
    assert shop.run("materialize").code == 3
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    with serving(shop.root, "--allow", "approve,waive", "--user-header", "X-User") as served:
        for path, seen in (
            ("approvals", "Why version"),
            ("product/more.signed", "Approve version"),
            ("product/shop.revenue", "Let through what fails now"),
            ("rows/shop.revenue", "30.5"),
            ("products?state=held+back", "1 to 1 of 1"),
            ("columns/shop.revenue", "amount (aggregated)"),
            ("diff/shop.revenue?before=published&after=held", "1 new"),
            ("record/shop.revenue", "held back"),
            ("product/nothing", "There is no such page."),
        ):
            page.goto(served.url + path)
            assert seen in page.locator("main").inner_text(), path
            assert violations(page) == [], path
    context.close()


@pytest.mark.long
def test_hostile_names_are_text_and_fit_a_phone(place: Place, browser) -> None:
    place.write("products/shop.py", HOSTILE)
    place.write("raw/a.csv", "a\n<img src=x onerror=alert(1)>\n")
    place.run("materialize")
    page = browser.new_page(viewport={"width": 360, "height": 700})
    happened: list[str] = []
    page.on("dialog", lambda dialog: (happened.append(dialog.message), dialog.dismiss()))
    with serving(place.root) as served:
        page.route("**/*", lambda route: own(route, served.url, happened))
        for path in ("", "products", "product/shop.p", "rows/shop.p", "source/shop.raw", "runs"):
            page.goto(served.url + path)
            page.wait_for_timeout(100)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        page.goto(served.url + "product/shop.p")
        assert "<script>alert(1)</script>" in page.locator("main").inner_text()
        page.get_by_role("link", name="<script>alert").first.click()
        page.get_by_role("heading", name="<script>alert").wait_for()
        page.goto("about:blank")
    assert happened == []
    page.close()


@pytest.mark.long
def test_a_page_says_that_a_run_is_under_way_and_that_it_has_ended(shop: Place, browser) -> None:
    page = browser.new_page()
    with serving(shop.root) as served:
        page.goto(f"{served.url}product/shop.revenue")
        with closing(shared_catalog(open_project(shop.root).config)) as catalog:
            recorded, now = catalog.recorded(), datetime.now(UTC)
            with catalog.runs.open(
                "r1", "prod", now, {}, lambda *_: None, recorded=recorded, asked="materialize"
            ):
                page.get_by_role("status").get_by_text(
                    "A run is under way: materialize."
                ).wait_for()
                page.goto(f"{served.url}runs")
                assert "running" in page.locator("main").inner_text()
                page.get_by_text("A run is under way").wait_for()
            page.get_by_text("A run is under way").wait_for(state="hidden")
        page.goto("about:blank")
    page.close()


@pytest.mark.long
def test_pages_print_in_dark_ink_without_what_is_of_no_use_on_paper(shop: Place, browser) -> None:
    page = browser.new_page(viewport={"width": 720, "height": 1000}, color_scheme="dark")
    with serving(shop.root) as served:
        page.goto(f"{served.url}product/shop.revenue")
        dark = page.evaluate("getComputedStyle(document.documentElement).color")
        page.emulate_media(media="print", color_scheme="dark")
        printed = page.evaluate("getComputedStyle(document.documentElement).color")
        assert (dark, printed) == ("rgb(230, 237, 243)", "rgb(27, 31, 36)")
        assert not page.get_by_role("search").is_visible()
        assert page.get_by_role("heading", name="Now").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 720
        page.goto("about:blank")
    page.close()


@pytest.mark.long
def test_pages_fit_a_phone_and_need_no_scripts(shop: Place, browser) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 700}, java_script_enabled=False)
    page = context.new_page()
    with serving(shop.root) as served:
        page.goto(served.url)
        page.get_by_role("link", name="shop.revenue").first.click()
        assert "Saturday's figures (2024-01-06) are held back" in page.locator("main").inner_text()
        page.get_by_role("link", name="Show the first rows").click()
        assert "30.5" in page.locator("main").inner_text()
        page.fill("#q", "discount")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("heading", name="Found for").wait_for()
        assert page.get_by_role("link", name="shop.revenue").count() == 1
        page.get_by_label("State", exact=True).select_option("up to date")
        page.get_by_role("button", name="Filter").click()
        page.get_by_text("Nothing was found").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    context.close()
    phone = browser.new_page(viewport={"width": 360, "height": 700})
    shop.run("docs", "--to", "site")
    for path in (shop.root / "site").rglob("*.html"):
        phone.goto(path.as_uri())
        assert phone.evaluate("document.documentElement.scrollWidth") <= 360, path.name
    phone.close()


@pytest.mark.long
def test_a_page_loads_its_first_rows_and_says_that_figures_are_new(shop: Place, browser) -> None:
    page = browser.new_page()
    wrong: list[str] = []
    page.on(
        "console", lambda message: wrong.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    with serving(shop.root) as served:
        page.goto(f"{served.url}products")
        page.get_by_label("Owner", exact=True).select_option("bob@shop.example")
        page.get_by_role("link", name="shop.lines").wait_for(state="detached")
        assert "owner=bob%40shop.example" in page.url
        page.get_by_role("link", name="shop.revenue").click()
        page.get_by_role("heading", name="First rows").scroll_into_view_if_needed()
        page.get_by_role("region", name="first rows").get_by_text("30.5").wait_for()
        page.wait_for_timeout(500)  # the first event has come
        shop.write("raw/2024-01-06.csv", "id,amount,email\n3,50,c@x\n")
        assert shop.run("materialize").code == 0
        page.get_by_role("link", name="New figures were published").wait_for(timeout=60_000)
        page.wait_for_timeout(5_000)  # a look is made anew after that
        page.get_by_role("link", name="New figures were published").click()
        page.get_by_text("You see Saturday's figures (2024-01-06).").wait_for()
        assert wrong == []
        page.goto("about:blank")
    page.close()


@pytest.mark.long
def test_the_night_of_the_example_as_the_cfo_sees_it(example: Place, browser) -> None:
    assert example.run("materialize", "--now", "2011-12-09T06:40:00").code == 0
    page = browser.new_page()

    def sees(now: str) -> str:
        assert example.run("docs", "--to", "site", "--now", now).code == 0
        page.goto((example.root / "site/consumer").as_uri() + f"/{consumer(example.root)}")
        page.get_by_role("link", name="finance.month_close").click()
        return page.locator("main").inner_text()

    assert "You see Thursday's figures (2011-12-08)." in sees("2011-12-09T07:30:00")
    shutil.copy(example.root / NIGHT, example.root / DROP)
    assert example.run("materialize", "--now", "2011-12-10T06:40:00").code == 3
    held = sees("2011-12-10T07:30:00")
    assert "You see Thursday's figures (2011-12-08)." in held
    assert "finance.daily_revenue is held back" in held
    assert "Friday's figures (2011-12-09) are held back since" in held
    assert "no single line is over a quarter of the day's gross: 1 row." in held
    page.locator("svg a", has_text="finance.daily_revenue").first.click()
    cause = page.locator("main").inner_text()
    assert "no single line is over a quarter of the day's gross" in cause
    assert "168469.6" in cause.replace(",", "")
    shutil.copy(example.root / WHOLE, example.root / DROP)
    assert example.run("materialize", "--now", "2011-12-10T08:40:00").code == 0
    assert "You see Friday's figures (2011-12-09)." in sees("2011-12-10T09:00:00")
    page.close()


def own(route, url: str, happened: list[str]) -> None:
    """Let through what is asked of these pages, and keep what is asked of others."""
    if route.request.url.startswith((url, "about:")):
        route.continue_()
    else:
        happened.append(route.request.url)
        route.abort()


def consumer(root: Path) -> str:
    [page] = [p.name for p in (root / "site/consumer").glob("*.html") if "chief" in p.name]
    return page
