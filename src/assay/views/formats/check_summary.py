"""Findings as a summary in Markdown: a table, the most important first, with the details folded."""

from assay.views.check import CheckView, FindingView, Level
from assay.views.formats.cases import cut, placed
from assay.views.formats.markdown import CELL, Block, block, code, document, escaped
from assay.views.words.check import subject_of, total_line


def check_summary(view: CheckView, folder: str = "") -> str:
    """Return what `products check` found; `folder` is where the project is in its repository."""
    blocks = [_of_finding(finding, folder) for finding in view.findings]
    verdict = "failed" if view.failed else "passed"
    head = [f"### products check {verdict}", "", escaped(total_line(view))]
    return document(head, ("level", "what", "product", "place", "message"), blocks)


def _of_finding(finding: FindingView, folder: str) -> Block:
    place = placed(finding.place, folder)
    level = f"**{finding.level}**" if finding.level is Level.ERROR else str(finding.level)
    subject = cut(subject_of(finding), CELL)
    before = " (removed)" if finding.removed else ""
    cells = [level, escaped(finding.kind), code(subject), code(cut(place, CELL)) + before]
    details = [f"{detail.label}: {detail.text}" for detail in finding.details]
    return block(cells, subject, finding.what, details)
