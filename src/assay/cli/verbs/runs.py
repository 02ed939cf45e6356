"""The verb `products runs`: what was run, when, how it came out, and how long it took."""

import click

from assay.cli.opening import opened
from assay.cli.options import ENV, JSON, options
from assay.cli.printing import print_json, table
from assay.times import shown_while
from assay.views.runs import RunView, came_out, runs_of
from assay.views.words.numbers import second


@click.command("runs")
@options(ENV, JSON)
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=20,
    show_default=True,
    metavar="N",
    help="List the last N runs.",
)
def verb(env: str | None, as_json: bool, limit: int) -> None:
    """List the last runs: when each was, how it came out, and how long it took."""
    with opened(env, last_good=True) as workspace:
        runs = runs_of(workspace.catalog, workspace.environment, limit)
    if as_json:
        return print_json(runs)
    return table(
        ("started", "took", "state", "came out", "command"),
        map(_row, runs),
        less=("took", "command"),
    )


def _row(view: RunView) -> tuple[object, ...]:
    took = None if view.seconds is None else shown_while(round(view.seconds, 1))
    return second(view.started_at), took, view.state, came_out(view), view.asked
