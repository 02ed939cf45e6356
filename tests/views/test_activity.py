"""`products watch`: what runs do, line by line, as it is recorded."""

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest

from assay.catalog import shared_catalog
from assay.cli.verbs import watch
from assay.declare.project import open_project
from assay.views.activity import Activity, happened_line
from tests.conftest import Place
from tests.web.conftest import SHOP


@pytest.fixture
def shop(place: Place) -> Place:
    place.write("products/shop.py", SHOP)
    place.write("raw/2024-01-05.csv", "id,amount,email\n1,10.5,a@x\n2,20,b@x\n")
    assert place.run("materialize").code == 0
    return place


def test_a_run_is_reported_once_from_its_beginning_to_its_end(shop: Place) -> None:
    with closing(shared_catalog(open_project(shop.root).config)) as catalog:
        activity = Activity(catalog, "prod")
        assert list(activity.news(catalog)) == [], "that run has ended before"
        shop.write("raw/2024-01-06.csv", "id,amount,email\n3,5000,c@x\n")
        assert shop.run("materialize").code == 3
        news = list(activity.news(catalog))
        assert list(activity.news(catalog)) == []
    assert [view.event for view in news][:1] == ["started"]
    assert [view.event for view in news][-1:] == ["ended"]
    assert sorted((str(view.event), view.product) for view in news[1:-1]) == [
        ("built", "shop.lines"),
        ("built", "shop.revenue"),
        ("checked", "shop.lines"),
        ("checked", "shop.revenue"),
        ("published", "shop.lines"),
    ]
    texts = {(view.event, view.product): view for view in news}
    assert texts["built", "shop.lines"].text.startswith("3 rows, ")
    assert texts["checked", "shop.revenue"].failed == ("a day is under a thousand",)
    assert texts["published", "shop.lines"].release == 2
    assert texts["ended", ""].text.startswith("done: 2 built, 1 published, 1 held back, took ")
    line = happened_line(texts["checked", "shop.revenue"])
    assert line.startswith("checked    shop.revenue  ")
    assert line.endswith("  failed: a day is under a thousand")


def test_a_run_under_way_is_reported_as_it_goes(shop: Place) -> None:
    with closing(shared_catalog(open_project(shop.root).config)) as catalog:
        recorded, now = catalog.recorded(), datetime.now(UTC)
        with catalog.runs.open(
            "r1", "prod", now, {}, lambda *_: None, recorded=recorded, asked="materialize"
        ):
            activity = Activity(catalog, "prod")
            assert [view.event for view in activity.news(catalog)] == ["started"]
            assert activity.is_under_way
            assert list(activity.news(catalog)) == []
        assert [view.event for view in activity.news(catalog)] == ["ended"]
        assert not activity.is_under_way


def test_the_command_prints_lines_until_it_is_stopped(
    shop: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shop.root)
    looks: list[int] = []

    def wait(seconds: float) -> None:
        looks.append(1)
        if len(looks) == 1:
            shop.write("raw/2024-01-06.csv", "id,amount,email\n3,50,c@x\n")
            assert shop.run("materialize").code == 0
            capsys.readouterr()

    monkeypatch.setattr(watch, "time", type("Time", (), {"sleep": staticmethod(wait)}))
    watch.follow(None, as_json=True, is_over=lambda: len(looks) == 1)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events][:1] == ["started"]
    assert {event["product"] for event in events if event["event"] == "published"} == {
        "shop.lines",
        "shop.revenue",
    }
    assert events[-1]["text"].startswith("done: 2 built, 2 published")
    looks.clear()
    watch.follow(None, as_json=False, is_over=lambda: True)
    assert "no run is under way" in capsys.readouterr().err
