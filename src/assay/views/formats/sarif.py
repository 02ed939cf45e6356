"""Findings as SARIF 2.1.0, the format of static analysis that code scanning reads."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from assay.text import clean
from assay.views.check import CheckView, FindingKind, FindingView
from assay.views.formats.cases import lines_of, placed
from assay.views.formats.fingerprints import fingerprints
from assay.views.words.check import subject_of

_SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_SETTINGS = "pyproject.toml"  # the place of what has none: code scanning refuses a result without
_ROOT = "%SRCROOT%"

MEANINGS: Mapping[FindingKind, str] = {
    FindingKind.DECLARATION: "The declarations have a mistake, so nothing could be checked.",
    FindingKind.DOES_NOT_FIT: "Code or a rule does not fit the inputs, or its own contract.",
    FindingKind.UNCHECKED: "A product cannot be checked without data.",
    FindingKind.BREAKING: "A promise to readers became weaker, or a demand on inputs stronger.",
    FindingKind.LOOSENED: "A rule or a tolerance lets more through than before.",
    FindingKind.COMPATIBLE: "A change that breaks nothing.",
    FindingKind.LOGIC: "The logic changed and what describes it did not, or the other way round.",
    FindingKind.NUMBERS: "The published data differs from that in another environment.",
    FindingKind.POLICY: "A policy of the project is not kept.",
}


def sarif(view: CheckView, folder: str = "") -> dict[str, Any]:
    """Return the findings as a SARIF log with one run; `folder`: of the project in its repository.

    Paths are relative to the repository. `partialFingerprints` identify a finding by its kind,
    product, column or rule, and text, without line numbers: alerts stay the same when lines move.
    Notes of what cannot be checked are notifications of the run: as results they would be alerts.
    """
    kinds = sorted({finding.kind for finding in view.findings}, key=list(FindingKind).index)
    unchecked = [finding for finding in view.findings if finding.is_unchecked]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "products check",
                        "rules": [_rule(kind) for kind in kinds],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": FindingKind.DECLARATION not in kinds,
                        "toolExecutionNotifications": [
                            {
                                "level": str(finding.level),
                                "message": {"text": _message(finding)},
                                "locations": [_location(finding, folder)],
                            }
                            for finding in unchecked
                        ],
                    }
                ],
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    _ROOT: {"description": {"text": "The folder at the top of the repository."}}
                },
                "results": list(_results(view, kinds, folder)),
            }
        ],
    }


def _rule(kind: FindingKind) -> dict[str, Any]:
    return {
        "id": rule_id(kind),
        "name": "".join(word.capitalize() for word in kind.split()),
        "shortDescription": {"text": MEANINGS[kind]},
        "fullDescription": {"text": MEANINGS[kind]},
        "help": {"text": MEANINGS[kind]},
        "properties": {"tags": ["data", "contract"]},
    }


def rule_id(kind: FindingKind) -> str:
    """Return the id of a kind of finding: "does-not-fit"."""
    return kind.replace(" ", "-")


def _results(view: CheckView, kinds: list[FindingKind], folder: str) -> Iterator[dict[str, Any]]:
    for finding, fingerprint in fingerprints(view.findings):
        if finding.is_unchecked:
            continue
        yield {
            "ruleId": rule_id(finding.kind),
            "ruleIndex": kinds.index(finding.kind),
            "level": str(finding.level),
            "message": {"text": _message(finding)},
            "locations": [_location(finding, folder)],
            # Code scanning goes by the first alone, and would else compute it from the text at the
            # line: what is found of several columns at one line would be one alert.
            "partialFingerprints": {
                "primaryLocationLineHash": fingerprint,
                "productsCheck/v1": fingerprint,
            },
        }


def _message(finding: FindingView) -> str:
    before = " (it was here before this change)" if finding.removed else ""
    texts = [f"{subject_of(finding)}: {finding.what}{before}"]
    texts += [f"{detail.label}: {detail.text}" for detail in finding.details]
    text = "\n".join(line for text in texts for line in lines_of(text))
    return text.replace("](", "] (")  # would be a link


def _location(finding: FindingView, folder: str) -> dict[str, Any]:
    file = placed(finding.file or _SETTINGS, folder)
    physical: dict[str, Any] = {
        "artifactLocation": {"uri": quote(file, errors="backslashreplace"), "uriBaseId": _ROOT}
    }
    if line := finding.line or (0 if finding.file else 1):
        physical["region"] = {"startLine": line}
        if finding.column:
            physical["region"]["startColumn"] = finding.column
    location: dict[str, Any] = {"physicalLocation": physical}
    if name := clean(finding.name):
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "resource"}]
    return location
