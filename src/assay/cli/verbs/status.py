"""The verb `products status`: what is published, and whether it is up to date."""

from collections.abc import Sequence
from datetime import datetime

import click

from assay.cli.opening import note_unknown, opened, promises_of, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json, table
from assay.facts import short
from assay.plan.ladder import plan
from assay.views.status import StatusView, status_of_undeclared
from assay.views.statuses import statuses
from assay.views.words.freshness import standing_cell
from assay.views.words.numbers import day


@click.command("status")
@options(SELECT, EXCLUDE, ENV, NOW, JSON)
def verb(
    select: Sequence[str],
    exclude: Sequence[str],
    env: str | None,
    now: datetime | None,
    as_json: bool,
) -> None:
    """Show which version of each product is published, and whether it is up to date."""
    with opened(env, now, last_good=True) as workspace:
        observed = workspace.observe()
        note_unknown(workspace)
        request = selected(workspace, observed, select, exclude)
        steps = plan(workspace.graph, observed, request).steps
        promises = promises_of(workspace, observed, None if select or exclude else steps)
        views = statuses(workspace, observed, steps, promises)
        if not (select or exclude):
            views += [status_of_undeclared(v) for v in workspace.undeclared().values()]
    if as_json:
        return print_json(views)
    headers = ("product", "state", "readers see", "as of", "rows", "promise", "because")
    less = ("rows", "readers see", "promise")
    table(headers, (_row(status, observed.now) for status in views), less=less)
    return None


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
