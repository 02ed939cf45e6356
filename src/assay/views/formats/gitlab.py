"""Findings as a code quality report, which GitLab shows beside the lines of a merge request."""

from typing import Any

from assay.text import clean
from assay.views.check import CheckView, FindingView, Level
from assay.views.formats.cases import lines_of, placed
from assay.views.formats.fingerprints import fingerprints
from assay.views.words.check import subject_of

_SEVERITIES = {Level.ERROR: "critical", Level.WARNING: "minor", Level.NOTE: "info"}
_SETTINGS = "pyproject.toml"  # the place of what has none: GitLab drops an issue without


def code_quality(view: CheckView, folder: str = "") -> list[dict[str, Any]]:
    """Return an issue for each finding; `folder` is where the project is in its repository."""
    return [
        {
            "description": _description(finding),
            "check_name": finding.kind.replace(" ", "-"),
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[finding.level],
            "location": {
                "path": clean(placed(finding.file or _SETTINGS, folder)),
                "lines": {"begin": finding.line or 1},
            },
        }
        for finding, fingerprint in fingerprints(view.findings)
    ]


def _description(finding: FindingView) -> str:
    texts = [finding.what, *(f"{detail.label}: {detail.text}" for detail in finding.details)]
    lines = [line for text in texts for line in lines_of(text)]
    return f"{clean(subject_of(finding))}: {'; '.join(lines)}"
