"""The verb `products status`: what readers see, and whether it is what it should be."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from assay.build.mixtures import mixtures_by_pins
from assay.build.workspace import Workspace
from assay.cli.opening import opened, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options, say
from assay.cli.printing import table
from assay.decisions import Decision
from assay.facts import short
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.views.products import ProductViews
from assay.views.status import StatusView, status_of, status_of_undeclared
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
    """Say for each product what readers see, and whether it is what it should be."""
    with opened(env, now, last_good=True) as workspace:
        observed = workspace.observe()
        request = selected(workspace, observed, select, exclude)
        steps = plan(workspace.graph, observed, request).steps
        statuses = _statuses(workspace, observed, steps)
        if not (select or exclude):
            statuses += [status_of_undeclared(v) for v in workspace.undeclared().values()]
    if as_json:
        return say(statuses)
    headers = ("product", "state", "readers see", "as of", "rows", "promised", "because")
    table(headers, map(_row, statuses))
    return None


def _statuses(
    workspace: Workspace, observed: Observed, steps: Mapping[str, Decision]
) -> list[StatusView]:
    graph, catalog, environment = workspace.graph, workspace.catalog, workspace.environment
    views, now = ProductViews(graph, observed.facts), workspace.clock()
    held_inputs = views.with_held_inputs(graph.products)
    mixtures = mixtures_by_pins(catalog, graph, environment)
    unfinished = set(catalog.unfinished(environment))
    return [
        status_of(
            graph.products[name],
            views.plan(name, decision),
            views.readers(name),
            now,
            notes=[
                *(
                    f"parts of {held} that it is made of are held back"
                    for held in held_inputs.get(name, ())
                ),
                *map(str, mixtures.get(name, ())),
            ],
            unfinished=name in unfinished,
        )
        for name, decision in steps.items()
    ]


def _row(status: StatusView) -> tuple[object, ...]:
    readers = status.readers
    return (
        status.plan.product,
        status.state,
        short(readers.version if readers else "nothing"),
        day(status.as_of),
        readers.rows if readers else None,
        status.freshness,
        status.because,
    )
