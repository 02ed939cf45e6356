"""Opens the project for a verb and selects products; notes for the user go to stderr."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import click

from assay.build.selection import names_for, request_for
from assay.build.workspace import Workspace, open_workspace
from assay.decisions import Decision
from assay.errors import UsageError
from assay.plan.observed import Observed
from assay.plan.request import Request
from assay.text import clean
from assay.views.freshness import FreshnessView


@contextmanager
def opened(
    env: str | None = None,
    now: datetime | None = None,
    *,
    create: bool = False,
    reads: bool = True,
    last_good: bool = False,
    needs_catalog: bool = True,
) -> Iterator[Workspace]:
    """Open the project at or above the working directory.

    A note is printed if its declarations cannot be read and the last readable ones are used.
    """
    with open_workspace(
        env,
        now,
        create=create,
        reads=reads,
        last_good=last_good,
        needs_catalog=needs_catalog,
    ) as workspace:
        if workspace.project.outdated:
            click.echo(clean(f"  note: {workspace.project.outdated}"), err=True)
        yield workspace


def note_earlier(workspace: Workspace, now: datetime | None) -> None:
    """Print a note if --now is before the last release: what was published then is not known."""
    try:
        workspace.check_now(now, releases=False)
    except UsageError:
        text = "--now is before the last release: shown is what is published and observed today, as if it were then"
        click.echo(f"  note: {text}", err=True)


def selected(
    workspace: Workspace,
    observed: Observed,
    select: Iterable[str],
    exclude: Iterable[str] = (),
    *,
    force: bool = False,
    part_range: str = "",
    from_start: bool = False,
) -> Request:
    """Return the request for the selected products; print a note if selectors match none."""
    request = request_for(
        workspace,
        observed,
        select,
        exclude,
        force=force,
        part_range=part_range,
        from_start=from_start,
    )
    selectors = [*select, *exclude]
    if selectors and not request.products:
        click.echo(clean(f"  nothing matches {' '.join(selectors)}"), err=True)
    return request


def promises_of(
    workspace: Workspace, observed: Observed, steps: Mapping[str, Decision] | None = None
) -> Mapping[str, FreshnessView]:
    """Return how promises stand, by product or source; `steps` are all decisions, if known."""
    if not workspace.graph.has_promises:
        return {}
    from assay.views import promises  # a project without promises needs none of it

    return promises.promises_of(workspace, observed, steps)


def selected_names(
    workspace: Workspace, observed: Observed, select: Sequence[str], exclude: Sequence[str] = ()
) -> frozenset[str]:
    """Return the selected products and sources; print a note if selectors match none."""
    names = names_for(workspace, observed, select, exclude)
    if (select or exclude) and not names:
        click.echo(clean(f"  nothing matches {' '.join([*select, *exclude])}"), err=True)
    return names
