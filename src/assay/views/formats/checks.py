"""What `products check` found as cases: one for each product, and one for each of its rules."""

from collections.abc import Iterable, Iterator, Sequence

from assay.model import Product, Where
from assay.text import clean
from assay.views.check import CheckView, FindingKind, FindingView, Level
from assay.views.formats.cases import Case, CaseState, Report, placed
from assay.views.words.check import compiler_line, subject_of, total_line

CODE = "code and contract"  # the case of a product itself
_ELSEWHERE = "declaration"  # the case of what is no checked product, such as a source


def check_report(view: CheckView, products: Iterable[Product], folder: str = "") -> Report:
    """Return the report of a check of these products; `folder`: of the project in its repository.

    A finding belongs to the case of its rule, or else to that of its product. A case with an error
    failed; a product that could not be checked is skipped, unless that is an error.
    """
    findings: dict[tuple[str, str], list[FindingView]] = {}
    subjects: dict[tuple[str, str], Where] = {}
    for product in products:
        subjects[product.name, CODE] = product.where
        subjects |= {(product.name, rule.text): rule.where for rule in product.contract.rules}
    for finding in view.findings:
        findings.setdefault(_case_of(finding, subjects.keys()), []).append(finding)
    cases = [
        _case(subject, where, findings.pop(subject, ()), folder)
        for subject, where in subjects.items()
    ]
    for subject, found in findings.items():
        where = Where(found[0].file, found[0].line)
        cases.append(_case(subject, where, found, folder))
    return Report(title="products check", headline=total_line(view), cases=tuple(cases))


def _case_of(finding: FindingView, subjects: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Return the product and the case that a finding belongs to."""
    name = finding.name or finding.file or "declarations"
    for case in (finding.of, CODE):
        if (name, case) in subjects:
            return name, case
    return name, _ELSEWHERE


def _case(
    subject: tuple[str, str], where: Where, findings: Sequence[FindingView], folder: str
) -> Case:
    group, name = subject
    state = max((_state(finding) for finding in findings), key=_ORDER.index, default=_ORDER[0])
    worst = [finding for finding in findings if _state(finding) is state]
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return Case(
        group=group,
        name=name,
        state=state,
        message=_message(worst[0]) + more if worst else "",
        text="\n".join(_texts(findings)),
        file=placed(where.file, folder),
        line=where.line,
    )


_ORDER = (CaseState.PASSED, CaseState.SKIPPED, CaseState.ERROR, CaseState.FAILED)


def _state(finding: FindingView) -> CaseState:
    if finding.kind in {FindingKind.UNCHECKED, FindingKind.DECLARATION}:
        return CaseState.ERROR if finding.level is Level.ERROR else CaseState.SKIPPED
    return CaseState.FAILED if finding.level is Level.ERROR else CaseState.PASSED


def _message(finding: FindingView) -> str:
    subject = subject_of(finding)
    return clean(f"{subject}: {finding.what}" if subject else finding.what)


def _texts(findings: Iterable[FindingView]) -> Iterator[str]:
    for finding in findings:
        level = f"{finding.level}: " if finding.level is not Level.ERROR else ""
        yield clean(level + compiler_line(finding))
        yield from (clean(f"  {detail.label}: {detail.text}") for detail in finding.details)
