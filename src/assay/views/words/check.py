"""Findings of `products check` as lines of text."""

from collections.abc import Iterator

from assay.views.check import CheckView, FindingKind, FindingView, Level
from assay.views.words.numbers import count_of

# Kinds of changes: what they are about says more than a place, so they are in columns.
_CHANGES = {
    FindingKind.BREAKING,
    FindingKind.LOOSENED,
    FindingKind.COMPATIBLE,
    FindingKind.LOGIC,
    FindingKind.NUMBERS,
}


def check_lines(view: CheckView) -> Iterator[str]:
    """Yield the lines: one for each finding, its details below it, and a line of totals."""
    for finding in view.findings:
        yield from finding_lines(finding)
    yield total_line(view)


def finding_lines(finding: FindingView) -> Iterator[str]:
    """Yield what was found, as compilers say it or in columns, and below it what else is known."""
    if finding.kind in _CHANGES:
        yield f"{finding.kind:10} {subject_of(finding):30} {finding.what}"
        for detail in finding.details:
            yield f"{'':10} {detail.label:8} {detail.text}"
        return
    yield compiler_line(finding)
    width = max((len(detail.label) for detail in finding.details), default=0)
    for detail in finding.details:
        yield f"  {detail.label:{width}}  {detail.text}"


def compiler_line(finding: FindingView) -> str:
    """Return what was found on one line, after its place, as compilers say it."""
    kind = "" if finding.kind is FindingKind.DOES_NOT_FIT else str(finding.kind)
    texts = [finding.place, kind, subject_of(finding), finding.what]
    return ": ".join(text for text in texts if text)


def subject_of(finding: FindingView) -> str:
    """Return what a finding is about: a product or source, or a column or rule of it."""
    return f"{finding.name}.{finding.of}" if finding.of else finding.name


def total_line(view: CheckView) -> str:
    """Return how many products were checked, and how many findings there are of each level."""
    against = f" against {view.against}" if view.against else ""
    levels = [
        count_of(sum(finding.level is level for finding in view.findings), str(level))
        for level in Level
    ]
    return f"{count_of(view.checked, 'product')} checked{against}: {', '.join(levels)}"
