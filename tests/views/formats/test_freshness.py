"""Promises as cases: what is late failed, what is not known is an error."""

from xml.etree import ElementTree

from tests.conftest import Place

MODULE = """
sql_product("base", "select x, timestamp '2024-03-03' as at from numbers", owner="o", event_time="at",
    freshness=Freshness(by="07:00", covers="previous day"))
sql_product("under", "select count(*) as n from base", owner="o")
"""


def report(place: Place, now: str, *more: str):
    ran = place.run("freshness", "--now", now, "--junit", "f.xml", "--summary", "f.md", *more)
    root = ElementTree.parse(place.root / "f.xml").getroot()
    return ran, root, (place.root / "f.md").read_text()


def test_a_late_promise_failed(place: Place) -> None:
    place.write("products/sales.py", MODULE, header=True)
    assert place.run("materialize", "--now", "2024-03-04T05:00").code == 0
    ran, root, summary = report(place, "2024-03-04T06:00")
    assert (ran.code, root.get("failures"), root.get("tests")) == (0, "0", "1")
    assert "1 check passed, 0 did not." in summary
    ran, root, summary = report(place, "2024-03-05T09:00")
    assert (ran.code, root.get("failures")) == (3, "1")
    [case] = root.iter("testcase")
    assert case.get("classname") == "sales.base" and case.get("name") == "freshness"
    assert case.find("failure").get("message").startswith("late: as of 2024-03-03, promised")
    assert "| **failed** | <code>sales.base</code> | freshness | late: as of" in summary
    ran, root, _ = report(place, "2024-03-05T09:00", "--warn-only")
    assert (ran.code, root.get("failures")) == (0, "1"), "the report says what is so"
