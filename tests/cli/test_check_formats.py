"""`products check` in every format, and files beside it, from one run."""

import json
from xml.etree import ElementTree

import pytest

from assay.cli.check_formats import FORMATS
from tests.conftest import Place

MODULE = """
sql_product("total", "select sum({})::bigint as total from numbers", owner="o",
    rules=[rule.sql("is positive", "from this where total <= 0")])
"""
FILES = ("--junit", "r/check.xml", "--sarif", "r/check.sarif", "--codequality", "r/quality.json")


@pytest.fixture
def broken(place: Place) -> Place:
    """A project with a query that does not fit, in a folder of a repository."""
    (place.root / ".git").mkdir()
    shop = Place(place.root / "shop")
    shop.write("pyproject.toml", "[tool.products]\n")
    shop.write("products/sales.py", MODULE.format("y"), header=True)
    shop.numbers("a", 1)
    return shop


def test_one_run_prints_and_writes_files(broken: Place) -> None:
    ran = broken.run("check", *FILES, "--summary", "r/check.md")
    assert ran.code == 4 and ran.err == ""
    assert ran.out == broken.run("check").out and "sales.total" in ran.out
    folder = broken.root / "r"
    suite = ElementTree.parse(folder / "check.xml").find("testsuite")
    assert {c.get("name"): [e.tag for e in c] for c in suite} == {
        "code and contract": ["failure"],
        "is positive": ["skipped"],  # what it reads is not known
    }
    assert {c.get("file") for c in suite} == {"shop/products/sales.py"}
    [run] = json.loads((folder / "check.sarif").read_text())["runs"]
    [result], [note] = run["results"], run["invocations"][0]["toolExecutionNotifications"]
    assert result["ruleId"] == "does-not-fit" and "is positive" in note["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "shop/products/sales.py"
    issue, _ = json.loads((folder / "quality.json").read_text())
    assert issue["location"]["path"] == "shop/products/sales.py"
    assert "| **error** | does not fit | <code>sales.total" in (folder / "check.md").read_text()


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_printed_with_the_same_exit_code(broken: Place, format: str) -> None:
    ran = broken.run("check", "--format", format)
    assert (ran.code, ran.err) == (4, "")
    assert "sales.total" in ran.out and ran.out.endswith("\n")
    broken.edit("products/sales.py", "sum(y)", "sum(x)")
    assert broken.run("check", "--format", format).code == 0


def test_json_is_short_for_the_format(broken: Place) -> None:
    assert broken.run("check", "--json").out == broken.run("check", "--format", "json").out


def test_mistakes_of_the_declarations_are_in_every_report(broken: Place) -> None:
    """A report that is not written, or without findings, would look as if all were well."""
    broken.edit("products/sales.py", 'owner="o"', 'ownr="o"')
    plain = broken.run("check")
    assert (plain.code, plain.out) == (2, "") and "ownr" in plain.err
    assert broken.run("check", "--json").out == ""
    ran = broken.run("check", "--format", "github", *FILES, "--summary", "r/check.md")
    assert ran.code == 2 and ran.err == plain.err
    assert ran.out.startswith("::error file=shop/products/sales.py,line=")
    root = ElementTree.parse(broken.root / "r/check.xml").getroot()
    assert root.get("errors") == "1" and "ownr" in root.find(".//error").text
    for name in ("check.sarif", "quality.json", "check.md"):
        assert "ownr" in (broken.root / "r" / name).read_text(), name
