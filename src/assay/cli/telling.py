"""Tells people about incidents at the end of a verb; what goes wrong with that is a note."""

import click

from assay.build.workspace import Workspace
from assay.events import Outcome, held_parts
from assay.plan.observed import Observed
from assay.text import clean


def tell_people(
    workspace: Workspace, observed: Observed | None = None, outcome: Outcome | None = None
) -> None:
    """Tell people what is wrong now and what is over; `observed` is what a run began with."""
    if not (observed and outcome and _is_quiet(workspace, observed, outcome)):
        from assay.watch.telling import tell  # not needed as long as nothing is wrong

        tell(workspace, observed or workspace.observe(), outcome, note=_note)
    note_misfits(workspace)


def note_misfits(workspace: Workspace) -> None:
    """Print notes on conditions of routes that fit nothing: nobody is told because of them."""
    if not workspace.config.notify:
        return
    from assay.watch.notify import misfits_of  # not needed without routes

    for problem in misfits_of(workspace):
        _note(problem)


def _is_quiet(workspace: Workspace, observed: Observed, outcome: Outcome) -> bool:
    """Return whether all is as it was, and nothing was, or can be, wrong: there is no news."""
    graph, results = workspace.graph, outcome.results
    return (
        not graph.has_promises
        and outcome.changed_nothing
        and results.keys() >= graph.products.keys()
        and not any(held_parts(result.end) for result in results.values())
        and not any(state.missing for state in observed.sources.values())
        and not workspace.catalog.has_news(workspace.environment)
    )


def _note(text: str) -> None:
    click.echo(clean(f"  note: {text}", keep_lines=True), err=True)
