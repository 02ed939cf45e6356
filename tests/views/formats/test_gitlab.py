"""The code quality report of GitLab: what its reader needs of each finding."""

import json

import pytest
from hypothesis import given, settings

from assay.views.check import CheckView, DetailView, Level
from assay.views.formats.gitlab import code_quality
from tests.views.formats.findings import VIEWS, finding, view


def test_an_issue() -> None:
    details = (DetailView(label="affects", text="the desk"),)
    [issue] = code_quality(view(finding(details=details)), "shop")
    fingerprint = issue.pop("fingerprint")
    assert fingerprint
    assert issue == {
        "description": "sales.lines.amount: renamed to net; affects: the desk",
        "check_name": "breaking",
        "severity": "critical",
        "location": {"path": "shop/products/sales.py", "lines": {"begin": 7}},
    }
    levels = code_quality(view(*(finding(level=level) for level in Level)))
    assert [issue["severity"] for issue in levels] == ["critical", "minor", "info"]


@settings(deadline=None)
@given(VIEWS)
@pytest.mark.long
def test_every_finding_is_an_issue_that_can_be_shown(hostile: CheckView) -> None:
    issues = json.loads(json.dumps(code_quality(hostile)))
    assert len({issue["fingerprint"] for issue in issues}) == len(hostile.findings)
    for issue in issues:
        assert issue["location"]["lines"]["begin"] >= 1 and issue["location"]["path"]
        assert "\n" not in issue["description"]


def test_nothing_found_is_an_empty_list() -> None:
    assert code_quality(view()) == []
