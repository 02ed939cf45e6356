"""Published rows, the status and the plan show themselves in a notebook; the example notebook runs cell by cell."""

import ast
import json
import re
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

import assay
from assay.errors import AssayError, UsageError
from tests.conftest import ROOT, Place

NOTEBOOK = json.loads((ROOT / "docs/notebook.ipynb").read_text())


class Text(HTMLParser):
    """Collects the texts and the tags of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)


def shown(value: Any) -> str:
    """Return the text that a notebook shows of a value."""
    return " ".join(Text(value._repr_html_()).texts)


@pytest.fixture
def shop(place: Place) -> Place:
    place.write(
        "products/sales.py",
        """
        class People(pa.DataFrameModel):
            id: int
            email: str = pa.Field(metadata={"sensitive": True})
            day: pl.Date
        raw = source.files("raw/*.csv", columns={"id": "bigint", "email": "varchar", "day": "date"})
        sql_product("people", "from raw", owner="o", contract=People, event_time="day",
            rules=[rule.sql("few", "from this where id > 50")])
        sql_product("counts", "select count(*) as n from people", owner="o")
        """,
        header=True,
    )
    place.write("raw/a.csv", "id,email,day\n7,ann@shop.example,2024-01-05\n")
    assert place.run("materialize").code == 0
    return place


def test_a_frame_shows_what_was_read(shop: Place) -> None:
    frame = assay.read("people", project=shop.root)
    [version] = shop.run("history", "people", "--json").json
    text = shown(frame)
    assert f"sales.people version {version['version'][:7]} · 1 row" in " ".join(text.split())
    assert "as of 2024-01-05 · published in prod" in text
    assert "7" in text and "(sensitive)" in text
    assert "ann@shop.example" not in text
    assert frame.collect()["email"].to_list() == ["ann@shop.example"]


def test_what_is_computed_from_a_frame_is_a_frame_of_polars(shop: Place) -> None:
    frame = assay.read("people", project=shop.root)
    assert isinstance(frame, pl.LazyFrame)
    below = frame.select("id")
    assert "published in" not in below._repr_html_()
    assert below.collect().to_dicts() == [{"id": 7}]
    assert frame.join(frame, on="id").collect().height == 1


def test_it_is_the_version_of_that_moment(shop: Place) -> None:
    release = shop.run("status", "--json").json
    assert release
    shop.write("raw/b.csv", "id,email,day\n8,bob@shop.example,2024-01-06\n")
    assert shop.run("materialize").code == 0
    assert "2 rows" in shown(assay.read("people", project=shop.root))
    earlier = shown(assay.read("people", as_of=1, project=shop.root))
    assert "1 row" in earlier and "as of 2024-01-05" in earlier


def test_the_status_and_the_plan_show_themselves(shop: Place) -> None:
    shop.write("raw/b.csv", "id,email,day\n99,bob@shop.example,2024-01-06\n")
    assert "input sales.raw changed" in shown(assay.plan(project=shop.root))
    assert shop.run("materialize").code == 3
    status = assay.status(project=shop.root)
    assert [view.plan.product for view in status] == ["sales.people", "sales.counts"]
    assert "held back" in shown(status) and "few" in shown(status)
    assert "sales.people  held back" in repr(status)
    assert "<table>" in status._repr_html_()


def test_the_package_of_that_name_can_be_called(shop: Place) -> None:
    from assay import plan
    from assay.plan import ladder

    assert ladder.plan is not plan
    assert [view.product for view in assay.plan(project=shop.root)] == [
        "sales.people",
        "sales.counts",
    ]
    assert repr(plan(project=shop.root)) == repr(assay.plan(project=shop.root))


def test_hostile_text_stays_text(place: Place) -> None:
    hostile = "<script>alert(1)</script>\x1b[31m &amp; '"
    sql = "select '{}' as \"<b>\"".format(hostile.replace("'", "''"))
    place.write(
        "products/sales.py",
        f'sql_product("p", {sql!r}, owner={hostile!r})',
        header=True,
    )
    assert place.run("materialize").code == 0
    for value in (
        assay.read("p", project=place.root),
        assay.status(project=place.root),
        assay.plan(project=place.root),
    ):
        html = value._repr_html_()
        assert Text(html).tags <= {
            "table",
            "caption",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "b",
            "pre",
        }
        assert "\x1b" not in html
    assert "<script>alert(1)</script>" in shown(assay.read("p", project=place.root))


def test_a_product_that_is_not_declared_any_more_shows_no_value(shop: Place) -> None:
    frame = assay.read("people", project=shop.root)
    shop.write("products/sales.py", "", header=True)
    assert "ann@shop.example" not in shown(frame)
    assert "7" not in Text(frame._repr_html_()).texts


def test_a_lost_file_is_said_in_the_frame(shop: Place) -> None:
    frame = assay.read("people", project=shop.root)
    for file in (shop.root / ".products/store").rglob("*.parquet"):
        file.unlink()
    assert "sales.people" in shown(frame)


def test_an_error_is_one_line_with_what_to_do(shop: Place) -> None:
    with pytest.raises(UsageError) as error:
        assay.read("peopel", project=shop.root)
    [line] = error.value._render_traceback_()
    assert line == "UsageError: 'peopel' is not published in prod. Did you mean sales.people?"


def run(cell: dict, names: dict[str, Any]) -> Any:
    """Run a cell; return the value of its last line if that is an expression."""
    tree = ast.parse(cell["source"])
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None


def test_the_example_notebook_runs(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Place(place.root / "new")
    project.root.mkdir()
    assert project.run("init").code == 0
    assert project.run("materialize").code == 0
    monkeypatch.chdir(project.root)
    names: dict[str, Any] = {}
    shows = []
    for cell in NOTEBOOK["cells"]:
        assert cell["id"] and not cell.get("outputs")
        if cell["cell_type"] != "code":
            continue
        if "raises-exception" in cell["metadata"].get("tags", []):
            with pytest.raises(AssayError) as error:
                run(cell, names)
            shows.append(error.value._render_traceback_()[0])
            continue
        value = run(cell, names)
        shows.append(shown(value) if hasattr(value, "_repr_html_") else repr(value))
    status, revenue, filtered, notes, plan, error, total = shows
    assert "sales.daily_revenue" in status and "up to date" in status
    assert re.search(r"version v\w{6} · 3 rows · as of 2026-01-07", " ".join(revenue.split()))
    assert "195.5" in revenue and "195.5" in filtered
    assert notes == "()"
    assert "sales.daily_revenue" in plan
    assert "Did you mean sales.daily_revenue?" in error
    assert "566.65" in total
