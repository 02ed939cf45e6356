"""Reports as JUnit XML, which most CI systems read: a suite for each product, a case for each check."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assay.text import clean
from assay.views.formats.cases import Case, CaseState, Report, count, cut

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# What XML 1.0 cannot hold, also escaped, besides what `clean` makes visible.
_NOT_XML = r"[\ufffe\uffff]"
_MESSAGE, _TEXT = 1000, 20_000  # the most characters of a message, and of a text
_ELEMENTS = {CaseState.FAILED: "failure", CaseState.ERROR: "error", CaseState.SKIPPED: "skipped"}


def junit(report: Report) -> str:
    """Return the report as JUnit XML.

    A failed case has a `failure`, one that could not be checked an `error`. The message of either
    is an attribute, and in the text: some readers show only one of these.
    """
    from xml.etree.ElementTree import Element, SubElement, indent, tostring  # few runs need it

    root = Element("testsuites", {"name": xml_text(report.title), **_totals(report.cases)})
    for group, cases in report.groups().items():
        suite = SubElement(root, "testsuite", {"name": xml_text(group), **_totals(cases)})
        if properties := report.properties.get(group):
            parent = SubElement(suite, "properties")
            for name, value in properties.items():
                SubElement(parent, "property", name=xml_text(name), value=xml_text(value))
        for case in cases:
            _add(suite, case)
    indent(root)
    return tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="utf-8"?>\n', "\n")
    )


def xml_text(text: str) -> str:
    """Return a text from outside as XML can hold it: other characters are made visible."""
    safe = clean(text, keep_lines=True)
    return re.sub(_NOT_XML, lambda m: m[0].encode("unicode_escape").decode(), safe)


def _totals(cases: Sequence[Case]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(count(cases, CaseState.FAILED)),
        "errors": str(count(cases, CaseState.ERROR)),
        "skipped": str(count(cases, CaseState.SKIPPED)),
        "time": f"{sum(case.seconds or 0.0 for case in cases):.3f}",
    }


def _add(suite: "Element", case: Case) -> None:
    """Add a case to its suite."""
    from xml.etree.ElementTree import SubElement

    attributes = {"classname": xml_text(case.group), "name": xml_text(case.name)}
    if case.file:
        attributes["file"] = xml_text(case.file)
        if case.line:
            attributes["line"] = str(case.line)
    attributes["time"] = f"{case.seconds or 0.0:.3f}"
    element = SubElement(suite, "testcase", attributes)
    message = cut(xml_text(case.message), _MESSAGE)
    texts = [case.text] if case.message in case.text else [case.message, case.text]
    text = cut(xml_text("\n".join(filter(None, texts))), _TEXT)
    if case.state is CaseState.PASSED:
        if text:
            SubElement(element, "system-out").text = text
        return
    inner = SubElement(element, _ELEMENTS[case.state], message=message)
    if case.state is not CaseState.SKIPPED:
        inner.set("type", str(case.state))
    inner.text = text
