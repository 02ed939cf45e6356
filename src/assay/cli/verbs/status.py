"""The verb `products status`: what is published, and whether it is up to date."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from assay.build.mixtures import mixtures_by_pins
from assay.build.workspace import Workspace
from assay.cli.opening import note_unknown, opened, promises_of, selected
from assay.cli.options import ENV, EXCLUDE, JSON, NOW, SELECT, options
from assay.cli.printing import print_json, table
from assay.decisions import Decision
from assay.facts import short
from assay.plan.as_of import as_of
from assay.plan.ladder import plan
from assay.plan.observed import Observed
from assay.views.freshness import FreshnessView, awaited_by, late_above
from assay.views.products import ProductViews
from assay.views.status import StatusView, status_of, status_of_undeclared
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
        statuses = _statuses(workspace, observed, steps, promises)
        if not (select or exclude):
            statuses += [status_of_undeclared(v) for v in workspace.undeclared().values()]
    if as_json:
        return print_json(statuses)
    headers = ("product", "state", "readers see", "as of", "rows", "promise", "because")
    table(headers, (_row(status, observed.now) for status in statuses))
    return None


def _statuses(
    workspace: Workspace,
    observed: Observed,
    steps: Mapping[str, Decision],
    promises: Mapping[str, FreshnessView],
) -> list[StatusView]:
    """Return the status of each product, with notes about its inputs."""
    graph, catalog, environment = workspace.graph, workspace.catalog, workspace.environment
    views = ProductViews(graph, observed.facts, as_of(graph, observed), observed.now)
    now = workspace.clock()
    held_inputs = views.with_held_inputs(graph.products)
    mixtures = mixtures_by_pins(catalog, graph, environment)
    late_inputs = late_above(graph, promises)
    unfinished = set(catalog.unfinished(environment))
    statuses = []
    for name, decision in steps.items():
        notes = [
            f"parts of {held_input} that it is made of are held back"
            for held_input in held_inputs.get(name, ())
        ]
        notes += map(str, mixtures.get(name, ()))
        status = status_of(
            graph.products[name],
            views.plan(name, decision),
            views.readers(name),
            now,
            notes=notes,
            unfinished=name in unfinished,
            promise=promises.get(name),
            late_inputs=late_inputs.get(name, ()),
            awaited_by=awaited_by(promises.get(name), promises),
        )
        statuses.append(status)
    return statuses


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
