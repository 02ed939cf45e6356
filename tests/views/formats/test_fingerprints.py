"""Fingerprints: a finding is the same when lines move, and another when something else is wrong."""

from assay.views.check import FindingKind
from assay.views.formats.fingerprints import fingerprints
from tests.views.formats.findings import finding


def print_of(**fields: object) -> str:
    [(_, fingerprint)] = fingerprints([finding(**fields)])
    return fingerprint


def test_they_do_not_depend_on_lines_but_on_what_is_wrong() -> None:
    what = "no column net; a.py:7:3 and line 12 have it"
    first = print_of(what=what)
    assert first == print_of(what="no column net; a.py:9 and line 13 have it", line=9, column=1)
    others = [
        print_of(what=what.replace("net", "gross")),
        print_of(what=what, of="gross"),
        print_of(what=what, name="sales.x"),
        print_of(what=what, kind=FindingKind.LOGIC),
    ]
    assert first not in others and len(set(others)) == len(others)


def test_findings_that_are_alike_are_numbered() -> None:
    prints = [fingerprint for _, fingerprint in fingerprints([finding(), finding(line=9)])]
    assert [fingerprint.partition(":")[2] for fingerprint in prints] == ["1", "2"]
