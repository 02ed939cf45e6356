"""The results of a run as cases: the build of each product, and each of its rules."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from assay.decisions import AwaitApproval, Blocked, Held, Keep, Publish
from assay.events import Outcome, Result
from assay.facts import Status, Verdict, Version
from assay.model import Product
from assay.views.formats.cases import Case, CaseState, Report, placed
from assay.views.products import ProductViews
from assay.views.results import (
    AwaitingView,
    BusyView,
    FailedView,
    HeldBackView,
    HeldView,
    LeftView,
    PublishedView,
    ResultKind,
    ResultView,
    RuleView,
    UnchangedView,
    UnfinishedView,
)
from assay.views.words.results import lines
from assay.views.words.rules import rule_lines

BUILD = "build"  # the case of building a product, beside those of its rules
_STATES = {
    Status.PASSED: CaseState.PASSED,
    Status.WARNING: CaseState.PASSED,
    Status.FAILED: CaseState.FAILED,
    Status.ERROR: CaseState.ERROR,
    Status.SKIPPED: CaseState.SKIPPED,
}


class RunReports(Struct, frozen=True, kw_only=True):
    """Makes the report of a run.

    `verdict_of` returns the verdict on a version under today's contract, or None; `folder`
    is where the project is in its repository.
    """

    views: ProductViews
    verdict_of: Callable[[Product, Version], Verdict | None]
    folder: str = ""

    def report(self, title: str, outcome: Outcome) -> Report:
        """Return the report of a run; `title` is the command."""
        cases: list[Case] = []
        properties: dict[str, Mapping[str, str]] = {}
        counts: dict[ResultKind, int] = {}
        for result in outcome.results.values():
            view = self.views.result(result)
            counts[view.result] = counts.get(view.result, 0) + 1
            product = self.views.graph.products[view.product]
            properties[view.product] = _properties(product, view)
            cases.append(self._build(product, view, result))
            cases += self._parts(product, view)
            cases += self._rules(product, view, result)
        headline = ", ".join(f"{number:,} {kind}" for kind, number in counts.items())
        if outcome.interrupted:
            headline += "; the run was stopped"
        return Report(
            title=title,
            headline=headline or "nothing to do",
            cases=tuple(cases),
            properties=properties,
        )

    def _build(self, product: Product, view: ResultView, result: Result) -> Case:
        """Return the case of building a product: passed if there is a version of it now."""
        head, *rest = lines(view, len(view.product))
        state = CaseState.PASSED
        match view.decision:
            case FailedView() | BusyView():
                state = CaseState.ERROR
            case HeldView():
                absent = isinstance(result.end, Held) and result.end.absent
                state = CaseState.ERROR if absent else CaseState.SKIPPED
            case LeftView() | UnfinishedView() | AwaitingView():
                state = CaseState.SKIPPED
        # Below the first line of a version are its rules, which are cases of their own.
        text = rest if isinstance(view.decision, FailedView) else ()
        return Case(
            group=product.name,
            name=BUILD,
            state=state,
            message=" ".join(head.split()),
            text="\n".join(line.strip() for line in text),
            seconds=result.seconds,
            file=placed(product.where.file, self.folder),
            line=product.where.line,
        )

    def _parts(self, product: Product, view: ResultView) -> Iterator[Case]:
        """Yield a case for each part that could not be built."""
        for part in view.failed_parts:
            yield Case(
                group=product.name,
                name=f"{BUILD} of part {part.part}",
                state=CaseState.ERROR,
                message=part.error.partition("\n")[0],
                text="\n".join(filter(None, [part.error.partition("\n")[2], part.detail])),
                file=placed(product.where.file, self.folder),
                line=product.where.line,
            )

    def _rules(self, product: Product, view: ResultView, result: Result) -> Iterator[Case]:
        """Yield a case for each rule: those that were not checked are skipped."""
        verdict = self._verdict(product, result)
        checked = self.views.checked_rules(product.name, verdict) if verdict else ()
        rules = {rule.text: rule for rule in (*checked, *(view.held_by or ()))}
        for rule in product.contract.rules:
            case = _rule_case(product.name, rules[rule.text]) if rule.text in rules else None
            case = case or Case(
                group=product.name,
                name=rule.text,
                state=CaseState.SKIPPED,
                message=f"not checked: {product.name} is {view.result}",
            )
            file = placed(rule.where.file, self.folder)
            yield replace(case, file=file, line=rule.where.line)

    def _verdict(self, product: Product, result: Result) -> Verdict | None:
        """Return the verdict on the version that the product came out with; None for none."""
        match result.end:
            case (
                Publish(verdict=verdict) | Blocked(verdict=verdict) | AwaitApproval(verdict=verdict)
            ):
                return verdict
            case Keep(version=version):
                return self.verdict_of(product, version)
        return None


def _rule_case(product: str, rule: RuleView) -> Case:
    """Return the case of a rule that was checked: what was measured, and failing rows."""
    first, *rest = (line.strip() for line in rule_lines(product, [rule]))
    return Case(
        group=product,
        name=rule.text,
        state=_STATES[rule.status],
        message=first,
        text="\n".join(rest) if rule.status is not Status.PASSED else "",
    )


def _properties(product: Product, view: ResultView) -> dict[str, str]:
    """Return what else is known of a product that came out."""
    values = {"owner": product.owner, "result": str(view.result), "version": view.version}
    if isinstance(view.decision, PublishedView | UnchangedView | HeldBackView | AwaitingView):
        values["rows"] = str(view.decision.rows)
    if view.why:
        values["why"] = ", ".join(view.why)
    return {name: value for name, value in values.items() if value}
