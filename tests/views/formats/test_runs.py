"""A run as cases: what was built, each rule with its result, and what was not checked and why."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from tests.conftest import Place

MODULE = """
rules = [
    rule.sql("none is over 5", "from this where x > 5", because="they are typos", owner="desk@x"),
    rule.sql("none is over 2", "from this where x > 2", severity="warning"),
    rule.sql("can be judged", "from this where x > 8 and error('boom')::boolean"),
]
sql_product("base", "from numbers", owner="o", rules=rules)
sql_product("after", "from base", owner="o", rules=[rule.sql("is there", "from this where x is null")])
@product(owner="o")
def own(numbers):
    raise ValueError("no <such> thing")
"""


def run(place: Place, *more: str) -> tuple[int, dict[tuple[str, str], Element]]:
    ran = place.run("materialize", "--junit", "run.xml", "--summary", "run.md", *more)
    root = ElementTree.parse(place.root / "run.xml").getroot()
    cases = {(case.get("classname"), case.get("name")): case for case in root.iter("testcase")}
    assert len(cases) == int(root.get("tests"))
    return ran.code, cases


def states(cases: dict[tuple[str, str], Element], product: str) -> dict[str, str]:
    """Return the element in each case of a product."""
    return {
        name: "".join(inner.tag for inner in case)
        for (group, name), case in cases.items()
        if group == product
    }


def test_rules_are_cases_with_results_and_values(place: Place) -> None:
    place.write("products/sales.py", MODULE, header=True)
    place.numbers("b", 7, 9)
    code, cases = run(place)
    assert code == 1, "own failed"
    assert states(cases, "sales.base") == {
        "build": "system-out",
        "none is over 5": "failure",
        "none is over 2": "system-out",
        "can be judged": "error",
    }
    failure = cases["sales.base", "none is over 5"].find("failure")
    assert failure.get("message") == "none is over 5: 2 rows"
    assert failure.text.splitlines()[1:] == [
        "x 7",
        "x 9",
        "because: they are typos",
        "owner: desk@x",
    ]
    warning = cases["sales.base", "none is over 2"].find("system-out").text
    assert warning.startswith("warning: none is over 2: 3 rows")
    assert float(cases["sales.base", "build"].get("time")) > 0
    assert states(cases, "sales.after") == {"build": "skipped", "is there": "skipped"}
    assert "sales.base is held back" in cases["sales.after", "build"].find("skipped").text
    assert states(cases, "sales.own") == {"build": "error"}
    assert "no <such> thing" in cases["sales.own", "build"].find("error").text
    summary = (place.root / "run.md").read_text()
    assert "1 held back, 1 failed, 1 held" in summary
    assert (
        "| **failed** | <code>sales.base</code> | none is over 5 | none is over 5: 2 rows |"
        in summary
    )


def test_the_cases_are_the_same_when_nothing_is_to_be_done(place: Place) -> None:
    """CI systems compare by name: a case that is not there is neither fixed nor broken."""
    place.write("products/sales.py", MODULE.partition("@product")[0], header=True)
    place.edit("products/sales.py", "x > 8 and", "x > 8 and x < 0 and")
    code, first = run(place)
    assert code == 0
    code, second = run(place)
    assert code == 0 and first.keys() == second.keys()
    assert states(first, "sales.base") == states(second, "sales.base")
    assert "unchanged" in second["sales.base", "build"].find("system-out").text
    out = second["sales.base", "none is over 2"].find("system-out").text
    assert out.startswith("warning: none is over 2: 1 row")


def test_held_parts_are_failures_of_their_rules(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        sql_product("lines", "select *, x % 2 as odd from numbers", owner="o", partition_by="odd",
            on_failed_part="hold_part", rules=[rule.check("x is small", "x < 5")])
        """,
        header=True,
    )
    place.numbers("a", 2, 9)
    code, cases = run(place)
    assert code == 3
    assert states(cases, "sales.lines") == {"build": "system-out", "x is small": "failure"}


def test_parts_that_cannot_be_built_are_errors(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        daily = source.files("days/{day:date}.csv", columns={"x": pl.Int64})
        @product(owner="o", each="daily", on_failed_part="hold_part")
        def lines(daily):
            if daily.collect()["x"].max() > 8:
                raise ValueError("over 8")
            return daily
        """,
        header=True,
    )
    place.write("days/2024-01-01.csv", "x\n1\n")
    place.write("days/2024-01-02.csv", "x\n9\n")
    code, cases = run(place)
    assert code == 1
    failed = {name: kind for name, kind in states(cases, "sales.lines").items() if kind == "error"}
    assert list(failed) == ["build of part 2024-01-02"]
    assert "over 8" in cases["sales.lines", "build of part 2024-01-02"].find("error").text


def test_values_of_sensitive_columns_are_not_in_reports(place: Place) -> None:
    place.write(
        "products/sales.py",
        """
        contract = pa.DataFrameSchema({"x": pa.Column(int, metadata={"sensitive": True})})
        sql_product("base", "select x from numbers", owner="o", contract=contract,
            rules=[rule.check("x is small", "x < 5")])
        """,
        header=True,
    )
    place.numbers("a", 424242)
    assert run(place)[0] == 3
    for name in ("run.xml", "run.md"):
        text = (place.root / name).read_text()
        assert "x is small" in text and "424242" not in text


def test_mistakes_of_the_declarations_are_errors(place: Place) -> None:
    """Without a report, CI would show that of the run before, or none."""
    place.write("products/sales.py", 'sql_product("a", "from nothing", ownr="o")\n', header=True)
    code, cases = run(place)
    assert code == 2
    [((group, name), case)] = cases.items()
    assert (group, name) == ("products/sales.py", "declaration")
    assert "ownr" in case.find("error").text
