"""The verb `products status`: what is published, and whether it is up to date."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.build.workspace import Workspace
from assay.cli.opening import opened, promises_of, selected_names
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json, table
from assay.facts import short
from assay.plan.ladder import plan
from assay.plan.request import Request
from assay.text import clean
from assay.views.sources import SourceStatusView, listed_sources, source_statuses
from assay.views.status import StatusView, status_of_undeclared
from assay.views.statuses import statuses
from assay.views.words.freshness import standing_cell
from assay.views.words.numbers import count_of, day


@click.command("status")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
def verb(
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Show which version of each product is published, and whether it is up to date.

    Sources are listed too: whether the last run read them as they are now.
    """
    with opened(env, now, last_good=True) as workspace:
        observed = workspace.observe()
        _note_parent(workspace)
        chosen = selected_names(workspace, observed, select, exclude)
        request = Request(products=chosen & workspace.graph.products.keys())
        steps = plan(workspace.graph, observed, request).steps
        promises = promises_of(workspace, observed, None if select or exclude else steps)
        views = statuses(workspace, observed, steps, promises)
        sources = listed_sources(workspace.graph, chosen)
        read = source_statuses(workspace, observed, sources, promises)
        if not (select or exclude):
            views += [status_of_undeclared(v) for v in workspace.undeclared().values()]
    if as_json:
        return print_json([*views, *read])
    headers = ("product", "state", "readers see", "as of", "rows", "promise", "because")
    less = ("rows", "readers see", "promise")
    rows = [_row(status, observed.now) for status in views]
    rows += [_source_row(status, observed.now) for status in read]
    table(headers, rows, less=less)
    return None


def _note_parent(workspace: Workspace) -> None:
    """Print what a trial environment was created from, and when."""
    if workspace.environment == workspace.config.environment:
        return
    for each in workspace.catalog.environments.all():
        if each.name == workspace.environment and each.parent:
            text = f"{each.name} was created from {each.parent} on {each.created_at:%Y-%m-%d %H:%M}"
            click.echo(clean(f"  {text}"), err=True)


def _row(status: StatusView, now: datetime) -> tuple[object, ...]:
    readers = status.readers
    return (
        status.plan.product,
        status.state,
        short(readers.version if readers else "nothing"),
        day(status.as_of),
        readers.rows if readers else None,
        standing_cell(status.promise, now),
        status.because,
    )


def _source_row(status: SourceStatusView, now: datetime) -> tuple[object, ...]:
    files = count_of(status.files, "file") if status.files else ""
    return (
        status.product,
        status.state,
        files,
        day(status.as_of),
        None,
        standing_cell(status.promise, now),
        status.because,
    )
