"""How promises stand as cases: one for each product or source that has one."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from assay.model import Where
from assay.plan.graph import Graph
from assay.plan.promise_state import State
from assay.views.formats.cases import Case, CaseState, Report, placed
from assay.views.freshness import FreshnessView
from assay.views.words.freshness import cause_line, standing_line


def freshness_report(
    views: Sequence[FreshnessView], graph: Graph, now: datetime, folder: str = ""
) -> Report:
    """Return the report of promises: one that is late or missed failed.

    A promise that is inherited is skipped when it is not kept, since nobody promised more; one of
    which it is not known how it stands is an error.
    """
    counts = {state: sum(view.state is state for view in views) for state in State}
    headline = ", ".join(f"{number:,} {state}" for state, number in counts.items() if number)
    return Report(
        title="products freshness",
        headline=headline or "nothing has a promise",
        cases=tuple(_case(view, _where(view, graph), now, folder) for view in views),
        properties={view.name: _properties(view) for view in views},
    )


def _where(view: FreshnessView, graph: Graph) -> Where:
    declared = graph.sources if view.is_source else graph.products
    return declared[view.name].where


def _case(view: FreshnessView, where: Where, now: datetime, folder: str) -> Case:
    state = CaseState.PASSED
    if view.state is State.UNKNOWN:
        state = CaseState.ERROR
    elif view.state.is_broken:
        state = CaseState.SKIPPED if view.inherited_from else CaseState.FAILED
    return Case(
        group=view.name,
        name="freshness",
        state=state,
        message=f"{view.state}: {standing_line(view, now)}",
        text="\n".join(cause_line(view, cause) for cause in view.causes),
        file=placed(where.file, folder),
        line=where.line,
    )


def _properties(view: FreshnessView) -> dict[str, str]:
    values: Iterable[tuple[str, str]] = (
        ("freshness", view.freshness),
        ("state", str(view.state)),
        ("due", view.due.isoformat() if view.due else ""),
        ("as of", view.as_of.isoformat() if view.as_of else ""),
        ("inherited from", view.inherited_from),
    )
    return {name: value for name, value in values if value}
