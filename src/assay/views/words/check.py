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
}


def check_lines(view: CheckView) -> Iterator[str]:
    """Yield the lines: one for each finding, its details below it, and a line of totals."""
    for finding in view.findings:
        yield from finding_lines(finding)
    yield _total(view)


def finding_lines(finding: FindingView) -> Iterator[str]:
    """Yield what was found, as compilers say it or in columns, and below it what else is known."""
    subject = f"{finding.name}.{finding.of}" if finding.of else finding.name
    if finding.kind in _CHANGES:
        yield f"{finding.kind:10} {subject:30} {finding.what}"
        for detail in finding.details:
            yield f"{'':10} {detail.label:8} {detail.text}"
        return
    kind = "" if finding.kind is FindingKind.DOES_NOT_FIT else f"{finding.kind}: "
    start = f"{finding.place}: " if finding.place else ""
    yield f"{start}{kind}{subject}: {finding.what}"
    width = max((len(detail.label) for detail in finding.details), default=0)
    for detail in finding.details:
        yield f"  {detail.label:{width}}  {detail.text}"


def _total(view: CheckView) -> str:
    against = f" against {view.against}" if view.against else ""
    levels = [
        count_of(sum(finding.level is level for finding in view.findings), str(level))
        for level in Level
    ]
    return f"{count_of(view.checked, 'product')} checked{against}: {', '.join(levels)}"
