"""JUnit XML: what CI systems count, and that no text from outside breaks it."""

import re
from xml.etree import ElementTree

from hypothesis import given, settings
from hypothesis import strategies as st

from assay.views.formats.cases import Case, CaseState, Report
from assay.views.formats.junit import junit, xml_text
from tests.views.formats.findings import TEXTS

CASES = st.builds(
    Case,
    group=st.sampled_from(["a", "b", "<&>"]) | TEXTS,
    name=st.sampled_from(["x", "y"]) | TEXTS,
    state=st.sampled_from(list(CaseState)),
    message=TEXTS,
    text=TEXTS,
    seconds=st.none() | st.floats(0, 1e6),
    file=TEXTS,
    line=st.integers(0, 9),
)


def parsed(*cases: Case, properties: dict[str, dict[str, str]] | None = None):
    report = Report(title="products x", headline="", cases=cases, properties=properties or {})
    return ElementTree.fromstring(junit(report).encode())


def test_each_state_has_its_element_and_is_counted() -> None:
    root = parsed(
        *(
            Case(group="sales.lines", name=str(s), state=s, message=f"why {s}", text="more\nlines")
            for s in CaseState
        ),
        properties={"sales.lines": {"owner": "o@x"}},
    )
    [suite] = root
    totals = {"tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "0.000"}
    assert suite.attrib == {"name": "sales.lines", **totals}
    assert root.attrib == {"name": "products x", **totals}
    assert suite.find("properties/property").attrib == {"name": "owner", "value": "o@x"}
    found = {case.get("name"): [e.tag for e in case] for case in suite.iter("testcase")}
    assert found == {
        "passed": ["system-out"],
        "failed": ["failure"],
        "error": ["error"],
        "skipped": ["skipped"],
    }
    failure = suite.find("testcase/failure")
    assert failure.get("message") == "why failed"
    assert failure.text == "why failed\nmore\nlines", "GitLab shows the text, not the message"


def test_names_that_occur_again_are_numbered() -> None:
    """GitLab takes the first case of a name, and drops the others."""
    root = parsed(*(Case(group="p", name=name) for name in ("x", "x (2)", "x", "x")))
    assert [case.get("name") for case in root.iter("testcase")] == ["x", "x (2)", "x (3)", "x (4)"]


@settings(deadline=None)
@given(st.lists(CASES, max_size=6))
def test_what_is_read_again_is_what_was_written(cases: list[Case]) -> None:
    root = parsed(*cases)
    report = Report(title="", headline="", cases=tuple(cases))
    written = [case for group in report.groups().values() for case in group]
    elements = list(root.iter("testcase"))
    assert len(elements) == len(written) == len(cases)
    for element, case in zip(elements, written, strict=True):
        assert element.get("classname") == xml_text(case.group)
        assert element.get("name") == xml_text(case.name)
        assert element.get("file", "") == xml_text(case.file)
        inner = next(iter(element), None)
        if case.state is not CaseState.PASSED:
            assert inner.get("message") == xml_text(case.message)
            assert xml_text(case.message) in (inner.text or "")


@given(TEXTS)
def test_only_what_xml_cannot_hold_is_changed(text: str) -> None:
    safe = xml_text(text)
    assert xml_text(safe) == safe.removesuffix("\n"), "it is the same when it is written again"
    if re.fullmatch(r"[ -~\n]*", text) and not text.endswith("\n"):
        assert safe == text
