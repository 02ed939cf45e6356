"""Tells people about incidents at the end of a verb; what goes wrong with that is a note."""

import click

from assay.build.workspace import Workspace
from assay.events import Outcome
from assay.plan.observed import Observed
from assay.text import clean
from assay.watch.notify import misfits_of
from assay.watch.telling import tell


def tell_people(
    workspace: Workspace, observed: Observed | None = None, outcome: Outcome | None = None
) -> None:
    """Tell people what is wrong now and what is over; `observed` is what a run began with."""
    tell(workspace, observed or workspace.observe(), outcome, note=_note)
    note_misfits(workspace)


def note_misfits(workspace: Workspace) -> None:
    """Print notes on conditions of routes that fit nothing: nobody is told because of them."""
    for problem in misfits_of(workspace):
        _note(problem)


def _note(text: str) -> None:
    click.echo(clean(f"  note: {text}", keep_lines=True), err=True)
