"""Findings as cases: the same cases in every run, whatever was found."""

from assay.model import Product
from assay.views.check import CheckView, FindingKind, Level
from assay.views.formats.cases import Case, CaseState
from assay.views.formats.checks import CODE, check_report
from tests.conftest import Place
from tests.views.formats.findings import finding, view

MODULE = """
sql_product("total", "select x, 1 as total from numbers", owner="o", rules=[
    rule.sql("is positive", "from this where total <= 0"),
    rule.sql("is small", "from this where total > 9"),
])
"""


def product(place: Place) -> Product:
    from assay.declare.project import open_project

    place.write("products/sales.py", MODULE, header=True)
    return open_project(place.root).graph.products["sales.total"]


def cases(place: Place, found: CheckView) -> dict[tuple[str, str], Case]:
    report = check_report(found, [product(place)], "shop")
    return {(case.group, case.name): case for case in report.cases}


def test_what_has_no_findings_passed(place: Place) -> None:
    found = cases(place, view())
    rules = [rule.text for rule in product(place).contract.rules]
    assert list(found) == [("sales.total", name) for name in [CODE, *rules]]
    assert {case.state for case in found.values()} == {CaseState.PASSED}
    assert found["sales.total", "is small"].file == "shop/products/sales.py"
    assert found["sales.total", "is small"].line > 1


def test_a_finding_is_of_its_rule_or_else_of_its_product(place: Place) -> None:
    fields = {"name": "sales.total", "file": "products/sales.py"}
    found = cases(
        place,
        view(
            finding(**fields, of="is small", kind=FindingKind.LOOSENED),
            finding(**fields, of="x", what="narrowed"),
            finding(**fields, of="total", what="gone", level=Level.WARNING),
            finding(name="sales.numbers", what="a source"),
        ),
    )
    assert found["sales.total", "is small"].state is CaseState.FAILED
    assert found["sales.total", "is positive"].state is CaseState.PASSED
    code = found["sales.total", CODE]
    assert (code.state, code.message) == (CaseState.FAILED, "sales.total.x: narrowed (and 1 more)")
    assert code.text.splitlines() == [
        "products/sales.py:7:3: breaking: sales.total.x: narrowed",
        "warning: products/sales.py:7:3: breaking: sales.total.total: gone",
    ]
    source = found["sales.numbers", "declaration"]
    assert (source.state, source.message) == (CaseState.FAILED, "sales.numbers.amount: a source")


def test_what_could_not_be_checked_is_no_failure(place: Place) -> None:
    unchecked = {"name": "sales.total", "of": "", "kind": FindingKind.UNCHECKED}
    for level, state in [
        (Level.ERROR, CaseState.ERROR),
        (Level.WARNING, CaseState.SKIPPED),
        (Level.NOTE, CaseState.SKIPPED),
    ]:
        found = cases(place, view(finding(**unchecked, level=level)))
        assert found["sales.total", CODE].state is state
    warned = cases(place, view(finding(name="sales.total", level=Level.WARNING)))
    assert warned["sales.total", CODE].state is CaseState.PASSED
    assert warned["sales.total", CODE].text.startswith("warning: ")
