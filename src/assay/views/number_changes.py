"""What a change did to the numbers: what its own environment publishes, beside another one."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from assay.build.compared_columns import DiffOptions
from assay.build.workspace import Workspace
from assay.errors import UsageError
from assay.views.check import DetailView, FindingKind, FindingView, Level
from assay.views.diff import diffs
from assay.views.diff_views import DiffView
from assay.views.words.diff import row_text, summary
from assay.views.words.figures import shown, total_text

_LISTED = 3  # groups, and rows, of each product


def number_findings(
    workspace: Workspace, against: str, names: Collection[str] | None
) -> Iterator[FindingView]:
    """Yield a finding for each product whose published data differs from that in an environment.

    Products that were not built in both are left out. `names` are the products to look at, None
    for all. Raises UsageError when nothing could be compared.
    """
    here = workspace.environment
    hint = (
        "`products materialize --env NAME` builds a change in an environment; name it with --env."
    )
    if here == against:
        raise UsageError(f"--data would compare {here} with itself", hint=hint)
    published = workspace.catalog.pointers(here)
    if not published:
        raise UsageError(f"--data: nothing is published in {here}", hint=hint)
    others = workspace.catalog.pointers(against)
    differing = [
        name
        for name in workspace.graph.order
        if name in published
        and name in others
        and published[name].version != others[name].version
        and (names is None or name in names)
    ]
    options = DiffOptions(limit=_LISTED)
    for view in diffs(workspace, differing, against, "published", options, lenient=True).views:
        if view.differs or view.notes:
            yield _finding(workspace, view)


def _finding(workspace: Workspace, view: DiffView) -> FindingView:
    where = workspace.graph.products[view.product].where
    return FindingView(
        kind=FindingKind.NUMBERS,
        level=Level.NOTE,
        name=view.product,
        what=summary(view).replace("rows  ", "rows ", 1),
        file=where.file,
        line=where.line,
        details=tuple(_details(view)),
    )


def _details(view: DiffView) -> Iterator[DetailView]:
    texts = {
        "note": view.notes,
        "sum of": [total_text(total) for total in view.totals if total.by],
        "by": [f"{_pairs(total.group)}  {total_text(total)}" for total in view.groups[:_LISTED]],
        "row": [row_text(row) for row in view.rows[:_LISTED]] if not view.groups else [],
        "affects": [", ".join(view.affects)] if view.affects else [],
    }
    for label, lines in texts.items():
        yield from (DetailView(label=label, text=line) for line in lines)


def _pairs(group: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {shown(value)}" for name, value in group.items())
