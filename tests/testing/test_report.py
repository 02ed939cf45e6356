"""Tests of products as JUnit XML and as a summary."""

from xml.etree import ElementTree

from tests.conftest import Place

MODULE = """
sql_product("twice", "select x, x * 2 as twice from numbers", owner="o")
@product(owner="o")
def own(numbers):
    raise ValueError("no <such> thing")
"""
TESTS = """
["it doubles"]
inputs.numbers = [{x = 1}]
expect = [{x = 1, twice = 2}]

["it triples | @team"]
inputs.numbers = [{x = 1}]
expect = [{x = 1, twice = 3}]
"""


def test_each_test_is_a_case(place: Place) -> None:
    place.write("products/sales.py", MODULE, header=True)
    place.write("products/twice.test.toml", TESTS)
    place.write("products/own.test.toml", '["it runs"]\ninputs.numbers = [{x = 1}]\nexpect = []\n')
    ran = place.run("test", "--junit", "t.xml", "--summary", "t.md")
    assert ran.code == 1, ran.err
    root = ElementTree.parse(place.root / "t.xml").getroot()
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert {name: [inner.tag for inner in case] for name, case in cases.items()} == {
        ("sales.twice", "it doubles"): [],
        ("sales.twice", "it triples | @team"): ["failure"],
        ("sales.own", "it runs"): ["error"],
    }
    failed = cases["sales.twice", "it triples | @team"]
    assert (failed.get("file"), failed.get("line")) == ("products/twice.test.toml", "6")
    assert float(failed.get("time")) > 0
    assert "3 → 2" in failed.find("failure").text
    summary = (place.root / "t.md").read_text()
    assert (
        "1 passed, 1 failed, 1 error" in summary and "| **failed** | <code>sales.twice" in summary
    )


def test_mistakes_are_in_the_report(place: Place) -> None:
    place.write("products/sales.py", MODULE, header=True)
    place.write("products/twice.test.toml", '["it"]\ninputz.numbers = [{x = 1}]\nexpect = []\n')
    ran = place.run("test", "--junit", "t.xml")
    assert ran.code == 2 and "inputz" in ran.err
    [case] = ElementTree.parse(place.root / "t.xml").getroot().iter("testcase")
    assert case.get("file") == "products/twice.test.toml"
    assert "inputz" in case.find("error").text
