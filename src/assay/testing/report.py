"""The results of `products test` as a report for CI systems."""

from collections.abc import Sequence

from assay.testing.results import CaseView, lines_of
from assay.views.formats.cases import Case, CaseState, Report, count, placed


def report_of_tests(views: Sequence[CaseView], folder: str = "") -> Report:
    """Return the report of tests; `folder` is where the project is in its repository."""
    cases = tuple(_case(view, folder) for view in views)
    counts = {state: count(cases, state) for state in CaseState}
    headline = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    return Report(title="products test", headline=headline, cases=cases)


def _case(view: CaseView, folder: str) -> Case:
    problem = view.problems[0] if view.problems else ""
    return Case(
        group=view.product,
        name=view.test,
        state=CaseState(view.result),
        message=problem.partition("\n")[0],
        text="\n".join(lines_of(view)) if view.result != "passed" else "",
        seconds=view.seconds,
        file=placed(view.file, folder),
        line=view.line,
    )
