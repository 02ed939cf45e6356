"""The verb `products plan`: what a run would do, and why."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.cli.opening import opened, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json, print_lines
from assay.plan.as_of import as_of
from assay.plan.ladder import plan
from assay.text import clean
from assay.views.products import ProductViews
from assay.views.results import PlanView, ResultKind
from assay.views.statuses import spent_budgets
from assay.views.words.results import lines


@click.command("plan")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
@click.option("--force", is_flag=True, help="Show what `materialize --force` would do.")
@click.option("--from-start", is_flag=True, help="Show what `materialize --from-start` would do.")
def verb(
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
    force: bool,
    from_start: bool,
) -> None:
    """Show what `materialize` would do, and why. Changes nothing."""
    with opened(env, now) as workspace:
        observed = workspace.observe()
        request = selected(workspace, observed, select, exclude, force=force, from_start=from_start)
        steps = plan(workspace.graph, observed, request).steps
        reaches = as_of(workspace.graph, observed)
        views = ProductViews(workspace.graph, observed.facts, reaches, observed.now)
        planned = [views.planned(name, decision) for name, decision in steps.items()]
        spent = spent_budgets(workspace)
    if as_json:
        return print_json(planned)
    for name in sorted(spent.keys() & steps.keys()):
        click.echo(clean(f"  note: {name}: {spent[name]}"), err=True)
    width = max(map(len, steps), default=0)
    changes = [view for view in planned if _is_shown(view)]
    print_lines(line for view in changes for line in lines(view, width))
    if count := len(planned) - len(changes):
        click.echo(f"  unchanged  {count} product{'s' if count > 1 else ''}")
    return None


def _is_shown(view: PlanView) -> bool:
    """Return whether a product gets a line; the others are only counted."""
    return view.result is not ResultKind.UNCHANGED or view.pinned or bool(view.held_parts)
