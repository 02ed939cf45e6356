"""Test files: what they may say, and all that is wrong with them at once, with file and line."""

import os
from datetime import UTC, datetime

import pytest

from assay.declare.project import open_project
from assay.errors import DeclarationError, UsageError
from assay.testing.cases import Case, chosen, read_cases
from tests.conftest import Place

DECLARED = """
doubled = sql_product("doubled", "select x, x * 2 as y from numbers", owner="ann@shop", rules=[
    rule.sql("y is even", "from this where y % 2 = 1"),
    rule.sql("y is small", "from this where y > 100"),
])
"""


def cases(place: Place) -> list[Case]:
    project = open_project(place.root)
    return read_cases(project.config, project.graph)


@pytest.fixture
def declared(place: Place) -> Place:
    place.write("products/sales.py", DECLARED, header=True)
    place.write("products/other.py", 'sql_product("tripled", "select x * 3 as y from sales.numbers", owner="bob")\nsql_product("doubled", "select x as y from sales.numbers", owner="bob")', header=True)  # fmt: skip
    place.edit("products/other.py", "numbers = source", "_ = source")
    return place


def test_a_file_of_tests(declared: Place) -> None:
    declared.write(
        "products/other/deep/tripled.test.toml",
        '''
        product = "sales.doubled"

        ["one \\" two"]
        now = 2011-12-09T07:00:00Z
        inputs.numbers = [{x = 1}]
        previous = """
        ["not a test"]
        """
        expect = []
        ordered = true

        [second]
        holds_back = ["small", "y is even"]
        failing."y is small" = "rows.csv"

        [second.inputs]
        numbers = "rows.csv"

        [third]
        product = "tripled"
        fails = "no"
        ''',
    )
    first, second, third = cases(declared)
    assert (first.product, first.name) == ("sales.doubled", 'one " two')
    assert str(first.where) == "products/other/deep/tripled.test.toml:4"
    assert first.now == datetime(2011, 12, 9, 7, tzinfo=UTC)
    assert (first.expect, first.ordered, first.inputs) == ([], True, {"numbers": [{"x": 1}]})
    assert (second.where.line, second.holds_back) == (13, ("y is small", "y is even"))
    assert second.failing == {"y is small": "rows.csv"}
    assert second.inputs == {"numbers": "rows.csv"}
    assert (third.product, third.where.line) == ("other.tripled", 20)
    graph, found = open_project(declared.root).graph, [first, second, third]
    for select, exclude, words, names in (
        ([], [], "", [first.name, "second", "third"]),
        (["tri*"], [], "", ["third"]),
        (["sales.doubled"], [], "SEC", ["second"]),
        (["sales.numbers+"], ["domain:sales"], "", ["third"]),
        (["owner:ann@shop", "tripled"], [], "r", ["third"]),
    ):
        assert [c.name for c in chosen(found, graph, select, exclude, words)] == names
    for term in ("state:modified", "+stale:", "tripled,blocked:"):
        with pytest.raises(UsageError, match="know only what is declared"):
            chosen(found, graph, [term], [], "")


def test_the_name_of_the_file_is_that_of_the_product(declared: Place) -> None:
    text = "[a]\nexpect = []\n"
    declared.write("products/tripled.test.toml", text)
    declared.write("products/sales/doubled.test.toml", text)  # the one of this domain
    declared.write("products/other.doubled.test.toml", text)
    assert sorted(c.product for c in cases(declared)) == [
        "other.doubled",
        "other.tripled",
        "sales.doubled",
    ]
    declared.write("products/doubled.test.toml", text)
    with pytest.raises(DeclarationError, match=r"could be other\.doubled or sales\.doubled"):
        cases(declared)


def test_all_mistakes_are_told_at_once(declared: Place) -> None:
    declared.write(
        "products/sales/doubled.test.toml",
        """
        stray = 1
        [a]
        expects = []
        now = "yesterday"
        inputs = [1]
        [b]
        holds_back = "y is odd"
        passes = true
        [c]
        expect = 7
        previous_at = 2011-12-09
        ordered = 1
        [d]
        holds_back = [1]
        fails = "x"
        [e]
        passes = false
        failing.nothing = []
        product = 3
        """,
    )
    declared.write("products/none.test.toml", "")
    declared.write("products/wrong.test.toml", "[a]\nx = \n")
    declared.write("products/twice.test.toml", "[a]\nexpect = []\n[a]\n")
    declared.write("products/gone.test.toml", "[a]\nexpect = []\n")
    declared.write("products/many.test.toml", "product = 1\n")
    (declared.root / "products/latin.test.toml").write_bytes(b"\xff")
    os.mkfifo(declared.root / "products/pipe.test.toml")
    (declared.root / "products/deep.test.toml").write_text("a = " + "[" * 100_000)
    ran = declared.run("test")
    assert ran.code == 2
    for words in (
        "mistakes in the tests:",
        "products/sales/doubled.test.toml: 'stray' is no test",
        "doubled.test.toml:3: 'a': a test has no 'expects'\n      Did you mean expect?",
        "doubled.test.toml:3: 'a': now should be a date and time, such as 2011-12-09T07:00:00Z; it is 'yesterday'",
        "'a': inputs should be rows by the name of each input",
        "'a': it expects nothing",
        "doubled.test.toml:7: 'b': sales.doubled has no rule 'y is odd'",
        "'b': what holds_back names does not pass",
        "'c': expect should be rows",
        "'c': previous_at should be a date and time",
        "'c': ordered should be true or false",
        "'d': holds_back should be the text of a rule",
        "'d': a product that fails to be built has nothing for holds_back",
        "'e': passes should be true",
        "'e': product should be the name of a product",
        "products/none.test.toml: the file has no test",
        "products/wrong.test.toml:2: this is not valid TOML: Invalid value",
        "products/twice.test.toml:3: this is not valid TOML",
        "gone.test.toml:1: 'a': there is no product 'gone'",
        "products/many.test.toml: product should be the name of a product",
        "products/latin.test.toml: the file is not UTF-8",
        "products/deep.test.toml: the file is nested too deeply",
        "products/pipe.test.toml: a test is in a regular file",
    ):
        assert words in ran.err, words
    assert "Traceback" not in ran.err


def test_hostile_names_are_shown_cleaned(declared: Place) -> None:
    declared.write("products/doubled.test.toml", '["\\u001b[31m\\u202e"]\nproduct = "sales.doubled"\nexpect = "../\\u0000"\n["\\u001b[2J"]\nx = 1\n')  # fmt: skip
    ran = declared.run("test")
    assert ran.code == 2
    assert "\x1b" not in ran.err
    declared.edit("products/doubled.test.toml", '["\\u001b[2J"]\nx = 1\n', "")
    ran = declared.run("test")
    assert ran.code == 1
    assert not {"\x1b", "\u202e"} & set(ran.out)
